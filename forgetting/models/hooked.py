"""Any other ``nn.Module``: what its convolutions and linear layers say is caught on the way, by hooks.

The module is run once to see which of them are called, in what order, and what they return. A layer is such a module
with the normalisations and activations that directly follow it, so that a unit is cut where ours are: after bias and
activation. The last one, if what it returns has the picture's shape, belongs to the picture. All hooks of the house are
in this file, and they are there only while a picture is made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from forgetting.errors import RequestError, one_line
from forgetting.models.architectures.ops import check_ws, check_z, parameter_count
from forgetting.models.generator import Edit, ParameterLayer
from forgetting.models.unit_kinds import edit_weight
from forgetting.models.units import Layer

WEIGHTED = (_ConvNd, nn.Linear)
"""Modules that are layers."""

FOLLOWING = (
    *(
        getattr(nn.modules.activation, name)
        for name in nn.modules.activation.__all__
        if name != "MultiheadAttention"
    ),
    *(
        _NormBase,
        nn.GroupNorm,
        nn.LayerNorm,
        nn.LocalResponseNorm,
        nn.modules.dropout._DropoutNd,
        nn.Identity,
    ),
)
"""Modules that belong to the layer whose output they are given."""


@dataclass(frozen=True)
class HookedLayer:
    """Where a layer is: ``modules`` in a row, the first of which has the weights; ``call`` counts the calls of the last one
    before; ``shape`` [C, ...] is what that one returns, with channels behind where ``last`` says so."""

    modules: tuple[nn.Module, ...]
    call: int
    shape: tuple[int, ...]

    @property
    def weighted(self) -> _ConvNd | nn.Linear:
        return cast(_ConvNd, self.modules[0])

    def maps(self, x: Tensor) -> Tensor:
        """What the layer returns -> [B, C, H, W]. Of a linear layer, the features come last and are the channels."""
        if self.flat:
            return x  # of whatever size: what sees takes pictures of any
        if isinstance(self.weighted, nn.Linear):
            x = x.movedim(-1, 1)
        return x.reshape(*x.shape[:2], *self.size)

    def returned(self, maps: Tensor) -> Tensor:
        """The inverse of :meth:`maps`."""
        if self.flat:
            return maps
        if isinstance(self.weighted, nn.Linear):
            return maps.reshape(len(maps), self.shape[-1], *self.shape[:-1]).movedim(1, -1)
        return maps.reshape(len(maps), *self.shape)

    @property
    def flat(self) -> bool:
        """Whether what it returns are maps as they are."""
        return len(self.shape) == 3 and not isinstance(self.weighted, nn.Linear)

    @property
    def channels(self) -> int:
        return self.shape[-1 if isinstance(self.weighted, nn.Linear) else 0]

    @property
    def size(self) -> tuple[int, int]:
        """Of the maps; what has more or fewer than two dimensions is laid out in two."""
        space = self.shape[:-1] if isinstance(self.weighted, nn.Linear) else self.shape[1:]
        return (math.prod(space[:-1]), space[-1]) if space else (1, 1)

    def heard(self) -> Tensor:
        """[C, N]: the weights of each of its channels."""
        conv = self.weighted
        if isinstance(conv, _ConvTransposeNd):  # [in, out / groups, ...]
            return _swapped(conv.weight, conv.groups)
        return conv.weight.flatten(1)

    def hearing(self) -> Tensor:
        """[C', M]: the weights through which each of its inputs is heard; of a linear layer, its features."""
        conv = self.weighted
        if isinstance(conv, nn.Linear):
            return conv.weight.T
        if isinstance(conv, _ConvTransposeNd):
            return conv.weight.flatten(1)
        return _swapped(conv.weight, conv.groups)


class Hooked(nn.Module):
    """A module from latent [B, *shape] to image [B, C, H, W] as a generator; ``w`` is ``z``, drawn towards zero by psi.

    Args:
        shape: of the latent; without, that of the first layer's input.
        low, high: what the module paints black and white as.
        enter: what the latent becomes before the module is given it.
        leave: the picture [B, C, H, W] in what it returns.

    Raises:
        RequestError: it cannot be run, does not paint, or has no layers that hooks could reach.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int] | None = None,
        low: float = -1.0,
        high: float = 1.0,
        enter: Callable[[Tensor], Tensor] = torch.clone,
        leave: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.enter, self.leave = enter, leave or _image
        try:
            if isinstance(network, torch.jit.ScriptModule):
                raise NotImplementedError
            self.network, self.low, self.high = network.eval().requires_grad_(False), low, high
        except NotImplementedError:  # what torch.export makes has no eval()
            raise RequestError(
                "a scripted or exported program cannot be damaged: its layers are functions, which hooks do not reach; "
                "return the module it was made from"
            ) from None
        self.shape = tuple(shape) if shape else _guessed(network)
        self.z_dim, self.labels = math.prod(self.shape), 0
        self.places, image = self._seen()
        self.size = (image.shape[2], image.shape[3])
        self.layers = tuple(
            Layer(
                name,
                place.channels,
                place.size,
                0 if "@" in name else parameter_count(*place.modules),
            )
            for name, place in self.places.items()
            if place is not self.last
        )
        weighted = {place.weighted: name.partition("@")[0] for name, place in self.places.items()}
        self.parts = {
            f"weights/{name}": ParameterLayer(
                Layer(f"weights/{name}", module.weight.numel()), f"network.{name}.weight"
            )
            for module, name in weighted.items()
        }
        if not self.layers:
            raise RequestError(
                f"{type(network).__name__} calls no convolution or linear layer as a module besides the one that paints, "
                "so there is nothing to damage"
            )

    def _seen(self) -> tuple[dict[str, HookedLayer], Tensor]:
        """All layers by name, in the order in which they are done, and a picture."""
        names: dict[nn.Module, str] = {
            module: name for name, module in self.network.named_modules()
        }
        found: list[tuple[str, HookedLayer, Tensor]] = []
        calls, named = Counter[nn.Module](), Counter[str]()

        def see(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[module]
            calls[module] += 1
            if not isinstance(output, Tensor) or output.ndim < 2:
                return
            if isinstance(module, WEIGHTED):
                named[names[module]] += 1
                count = named[names[module]]
                place = HookedLayer((module,), call, tuple(output.shape[1:]))
                found.append((names[module] + (f"@{count}" if count > 1 else ""), place, output))
                return
            for index, (name, place, before) in enumerate(found):
                if inputs and inputs[0] is before and output.shape == before.shape:
                    del found[index]
                    found.append(
                        (name, replace(place, modules=(*place.modules, module), call=call), output)
                    )
                    return

        with (
            torch.inference_mode(),
            _hooks([m for m in names if isinstance(m, (*WEIGHTED, *FOLLOWING))], see),
        ):
            try:
                image = self.leave(self.network(self.enter(torch.zeros(1, *self.shape))))
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                what = one_line(error)
                raise RequestError(
                    f"{type(self.network).__name__} does not take a latent of shape {[1, *self.shape]} ({what}); say generator.shape=[...]"
                ) from None
        painted = found and found[-1][1].shape == tuple(image.shape[1:])
        self.last = found[-1][1] if painted else None
        return {name: place for name, place, _ in found}, image

    @property
    def mapping_parameters(self) -> int:
        return 0

    @property
    def image_parameters(self) -> int:
        """Everything that belongs to no layer."""
        return parameter_count(self.network) - sum(layer.parameters for layer in self.layers)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        check_z(z, self.z_dim)
        if label is not None:
            raise RequestError("a module of your own has no classes; let its factory choose one")
        return (psi * z)[:, None]  # [B, 1, z_dim]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> HookedSynthesis:
        check_ws(ws, 1, self.z_dim)
        return HookedSynthesis(
            self, ws[:, 0].reshape(-1, *self.shape), {} if edit is None else self.edited(edit)
        )

    def edited(self, edit: Edit) -> dict[str, Tensor]:
        """All weights whose synapses can die, by their names in the module, after an edit."""
        network = len("network.")
        return {
            part.weight[network:]: edit_weight(self.get_parameter(part.weight), part.layer, edit)
            for part in self.parts.values()
        }

    def rest(self, layer: Layer) -> Tensor:
        """What the followers make of the bias."""
        place = self.places[layer.name]
        bias, x = place.weighted.bias, torch.zeros(1, layer.channels, *layer.size)
        x = place.returned(x if bias is None else x + bias[None, :, None, None])
        for module in place.modules[1:]:
            x = module(x)
        return place.maps(x)

    def incoming(self, layer: Layer) -> Tensor:
        return self.places[layer.name].heard()

    def outgoing(self, layer: Layer) -> Tensor:
        """The weights of the first layer after it that has as many inputs, or as many after shuffling or flattening.

        Which layer hears which is nowhere written down in a module; where none fits, all units count alike.
        """
        names = list(self.places)
        for name in names[names.index(layer.name) + 1 :]:
            weights = self.places[name].hearing()
            if len(weights) == layer.channels:
                return weights
            if len(weights) == layer.channels * math.prod(layer.size):  # flattened
                return weights.reshape(layer.channels, -1)
            if layer.channels % len(weights) == 0:  # shuffled into more pixels
                return weights.repeat_interleave(layer.channels // len(weights), dim=0)
        return torch.ones(layer.channels, 1)


@dataclass(frozen=True)
class HookedSynthesis:
    """The synthesis of a hooked module. It is no chain: every picture runs the whole module."""

    generator: Hooked
    latent: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def folded(self) -> HookedSynthesis:
        return self

    def repeated(self, count: int) -> HookedSynthesis:
        return replace(self, latent=self.latent.expand(count, *self.latent.shape[1:]))

    def __call__(self, edit: Edit | None = None) -> Tensor:
        ends = {
            (place.modules[-1], place.call): (name, place)
            for name, place in self.generator.places.items()
        }
        layers = {layer.name: layer for layer in self.generator.layers}
        calls = Counter[nn.Module]()

        def damage(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            name, place = ends.get((module, calls[module]), ("", None))
            calls[module] += 1
            if edit is None or place is None or name not in layers:
                return output
            return place.returned(edit(place.maps(output), layers[name]))

        # Noise that a module draws is the same in every picture, or the film would flicker.
        with torch.random.fork_rng(devices=[]), _hooks({module for module, _ in ends}, damage):
            torch.manual_seed(0)
            network, given = self.generator.network, self.generator.enter(self.latent)
            image = self.generator.leave(
                functional_call(network, dict(self.weights), (given,))
                if self.weights
                else network(given)
            )
        return (image - self.generator.low) * (2 / (self.generator.high - self.generator.low)) - 1


def _swapped(weight: Tensor, groups: int) -> Tensor:
    """[groups * A, B, ...] -> [groups * B, A * ...]"""
    weight = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
    return weight.transpose(1, 2).flatten(0, 1).flatten(1)


@contextmanager
def _hooks(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _image(output: Any) -> Tensor:
    """The picture in what a module returned: a tensor [B, C, H, W], or the first in a tuple."""
    image = output[0] if isinstance(output, (tuple, list)) and output else output
    if not isinstance(image, Tensor) or image.ndim != 4 or not image.is_floating_point():
        what = (
            f"{image.dtype} {list(image.shape)}"
            if isinstance(image, Tensor)
            else type(image).__name__
        )
        raise RequestError(
            f"a generator must return images as floating-point [B, C, H, W], this module returned {what}"
        )
    return image


def _guessed(network: nn.Module) -> tuple[int, ...]:
    """The shape of the latent, by the first layer that is not behind another."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            return (module.in_features,)
        if isinstance(module, _ConvNd):
            return (module.in_channels, *(1,) * len(module.kernel_size))
    raise RequestError(
        f"{type(network).__name__} has no layer to tell the latent's shape by; say generator.shape=[...]"
    )
