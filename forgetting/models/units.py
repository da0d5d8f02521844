"""Units and their addresses.

A *unit* is anything in a network that can be ablated. There are five kinds:

- ``channels``: an output channel of a layer, after noise, bias and activation;
- ``styles``: the modulation of an input channel;
- ``weights``: a single weight;
- ``mapping``: an output of a layer of the mapping network;
- ``picture``: the picture itself, whose single unit fades it out.

Names of layers begin with their kind and a slash, except those of channels.

Units are numbered 0..U-1, layer after layer. An *address* selects some of them: ``b64.conv1`` (a
layer), ``b64.*`` (a pattern of layers), ``b64.conv1:137`` (a unit), ``b64.conv1:0-99,200`` (ranges,
both ends included), ``styles/b64.*``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor

from forgetting.errors import RequestError, unknown_name

SLOPE = 0.2
"""The slope of the leaky ReLU for negative values."""

GAIN = 2**0.5
"""The factor after the leaky ReLU.

The leaky ReLU is positively homogeneous, so its input may be scaled instead of its output.
"""


@dataclass(frozen=True)
class UnitKind:
    """What is true of all units of a kind.

    Args:
        bound: whether binding a face folds them in, so that other ablation needs another binding.
        mapped: whether the memory map shows them.
        counted: whether they count in the share of ablated units.
    """

    bound: bool = False
    mapped: bool = True
    counted: bool = True


UNIT_KINDS: Mapping[str, UnitKind] = MappingProxyType(
    {
        "channels": UnitKind(),
        "styles": UnitKind(bound=True),
        "weights": UnitKind(bound=True),
        "mapping": UnitKind(bound=True),
        "picture": UnitKind(mapped=False, counted=False),
    }
)
"""All kinds of units by name, in the order in which their layers are listed."""


@dataclass(frozen=True)
class Layer:
    """A layer of a generator.

    Args:
        name: its name, which begins with the kind and a slash unless the units are channels.
        channels: number of units.
        size: height and width of the maps; (1, 1) for units that are no maps.
        parameters: number of values that belong to the layer.
        kind: of its units; a key of ``UNIT_KINDS``, or ``noise``, which has no units to ablate.
    """

    name: str
    channels: int
    size: tuple[int, int] = (1, 1)
    parameters: int = 0
    kind: str = "channels"

    @staticmethod
    def of_kind(kind: str, name: str, channels: int, size: tuple[int, int] = (1, 1)) -> Layer:
        """Return the layer of units of another kind than channels; ``name`` is without the kind."""
        return Layer(f"{kind}/{name}", channels, size, kind=kind)

    @staticmethod
    def from_name(name: str, channels: int, size: tuple[int, int]) -> Layer:
        """Return the layer of that full name, as a plan file describes it."""
        return Layer(name, channels, size, kind=kind_of_name(name))


def kind_of_name(name: str) -> str:
    """Return the kind of the units of a layer, by the layer's full name."""
    kind, slash, _ = name.partition("/")
    return kind if slash else "channels"


PICTURE = Layer.of_kind("picture", "", 1)
"""The layer of the picture's own unit."""


@dataclass(frozen=True)
class Units:
    """Numbers the units of several layers, in the order of the layers."""

    layers: tuple[Layer, ...]

    def __len__(self) -> int:
        """The number of units U."""
        return sum(layer.channels for layer in self.layers)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """The range of unit numbers of every layer, by the layer's name."""
        slices, start = {}, 0
        for layer in self.layers:
            slices[layer.name] = slice(start, start + layer.channels)
            start += layer.channels
        return slices

    @cached_property
    def layer_index(self) -> Tensor:
        """The number of every unit's layer, [U] int64."""
        counts = torch.tensor([layer.channels for layer in self.layers])
        return torch.repeat_interleave(torch.arange(len(self.layers)), counts)

    def split(self, values: Tensor) -> dict[str, Tensor]:
        """Return the parts [..., C] of ``values`` [..., U] by layer name."""
        return {name: values[..., units] for name, units in self.slices.items()}

    def select(self, addresses: str | Iterable[str]) -> Tensor:
        """Return which units at least one of the ``addresses`` selects, [U] bool.

        Raises:
            RequestError: an address that matches no unit; the message lists the layers.
        """
        addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        if not addresses:
            raise RequestError("no layers were selected; '*' selects all of them")
        selected = torch.zeros(len(self), dtype=torch.bool)
        for address in addresses:
            pattern, _, ranges = str(address).partition(":")
            names = [layer.name for layer in self.layers if fnmatchcase(layer.name, pattern)]
            if not names:
                raise unknown_name(
                    "layer", pattern, [layer.name for layer in self.layers], "this generator has"
                )
            for name in names:
                in_layer = torch.ones_like(selected[self.slices[name]])
                if ranges:
                    in_layer = _parse_ranges(address, ranges, len(in_layer))
                selected[self.slices[name]] |= in_layer
        return selected


def _parse_ranges(address: str, ranges: str, channels: int) -> Tensor:
    selected = torch.zeros(channels, dtype=torch.bool)
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise RequestError(
                f"unit address {address!r} is not understood at {part!r}; "
                "write layer:7 or layer:0-99,200"
            )
        low, high = int(first), int(last or first)
        if not low <= high < channels:
            raise RequestError(
                f"unit address {address!r} is out of range; "
                f"units of this layer are 0-{channels - 1}"
            )
        selected[low : high + 1] = True
    return selected
