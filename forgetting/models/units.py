"""The address of every unit.

A *unit* is one thing in a network that can die. There are four kinds: ``channels`` (an output channel of a layer, after
noise, bias and activation), ``styles`` (an input channel's modulation), ``weights`` (a single synapse) and ``mapping`` (a
neuron of the mapping network). Besides, the ``picture`` itself counts as a unit: what is left when all others are gone
can fade too. Layers of other kinds than channels have the kind in front of their name.

Units are numbered 0..U-1, layer after layer. An *address* names some of them: ``b64.conv1`` (a layer), ``b64.*`` (a glob
over layers), ``b64.conv1:137`` (one unit), ``b64.conv1:0-99,200`` (ranges, both ends included), ``styles/b64.*``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import Tensor

from forgetting.errors import RequestError, unknown_name

UNIT_KINDS = ("channels", "styles", "weights", "mapping", "picture")


@dataclass(frozen=True)
class Layer:
    """One layer of a generator: ``channels`` units, maps of ``size`` (height, width), its own ``parameters``.

    Units of other kinds have no maps; their size is 1 x 1.
    """

    name: str
    channels: int
    size: tuple[int, int] = (1, 1)
    parameters: int = 0

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0] if "/" in self.name else "channels"


PICTURE = Layer("picture/", 1)


@dataclass(frozen=True)
class Units:
    """All units of a generator, in the order of its layers."""

    layers: tuple[Layer, ...]

    def __len__(self) -> int:
        return sum(layer.channels for layer in self.layers)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Layer name -> where its units stand among all units."""
        slices, start = {}, 0
        for layer in self.layers:
            slices[layer.name] = slice(start, start + layer.channels)
            start += layer.channels
        return slices

    @cached_property
    def layer_index(self) -> Tensor:
        """[U] int64: the number of the layer that each unit belongs to."""
        counts = torch.tensor([layer.channels for layer in self.layers])
        return torch.repeat_interleave(torch.arange(len(self.layers)), counts)

    def split(self, values: Tensor) -> dict[str, Tensor]:
        """[..., U] -> layer name -> [..., C]."""
        return {name: values[..., where] for name, where in self.slices.items()}

    def select(self, addresses: str | Iterable[str]) -> Tensor:
        """[U] bool: the units that at least one of the ``addresses`` names.

        Raises:
            RequestError: an address that names nothing; the message lists the layers that exist.
        """
        addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        if not addresses:
            raise RequestError("no layers were chosen; '*' chooses all of them")
        chosen = torch.zeros(len(self), dtype=torch.bool)
        for address in addresses:
            pattern, _, ranges = str(address).partition(":")
            names = [layer.name for layer in self.layers if fnmatchcase(layer.name, pattern)]
            if not names:
                raise unknown_name(
                    "layer", pattern, [layer.name for layer in self.layers], "this generator has"
                )
            for name in names:
                inside = torch.ones_like(chosen[self.slices[name]])
                if ranges:
                    inside = _parse_ranges(address, ranges, len(inside))
                chosen[self.slices[name]] |= inside
        return chosen


def _parse_ranges(address: str, ranges: str, channels: int) -> Tensor:
    inside = torch.zeros(channels, dtype=torch.bool)
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise RequestError(
                f"unit address {address!r} is not understood at {part!r}; write layer:7 or layer:0-99,200"
            )
        low, high = int(first), int(last or first)
        if not low <= high < channels:
            raise RequestError(
                f"unit address {address!r} is out of range; units of this layer are 0-{channels - 1}"
            )
        inside[low : high + 1] = True
    return inside
