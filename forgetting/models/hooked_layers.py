"""Which modules of any ``nn.Module`` are layers, and what shape their activations have.

The module is run once to record which convolutions and linear layers it calls, in which order,
and what they return. A layer is such a module with the normalisations and activations that
directly follow it, so that its units are those after bias and activation, as in our own networks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

WEIGHTED = (_ConvNd, nn.Linear)
"""Modules that are layers."""

FOLLOWING = (
    *(
        getattr(nn.modules.activation, name)
        for name in nn.modules.activation.__all__
        if name != "MultiheadAttention"
    ),
    _NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.modules.dropout._DropoutNd,
    nn.Identity,
)
"""Modules that belong to the layer whose output they get."""


@dataclass(frozen=True)
class HookedLayer:
    """A layer of a module.

    Args:
        modules: called one after another; the first one has the weights.
        call: how many calls of the last one there are before this one.
        shape: of what the last one returns, [C, ...]; of a linear layer, the channels come last.
    """

    modules: tuple[nn.Module, ...]
    call: int
    shape: tuple[int, ...]

    @property
    def weighted(self) -> _ConvNd | nn.Linear:
        """The module that has the weights."""
        return cast(_ConvNd, self.modules[0])

    @property
    def is_linear(self) -> bool:
        """Whether the layer is a linear one, whose features are its channels."""
        return isinstance(self.weighted, nn.Linear)

    def to_maps(self, x: Tensor) -> Tensor:
        """Return what the layer returns as maps [B, C, H, W]."""
        if self.returns_maps:
            return x  # of whatever size: classifiers take pictures of any size
        if self.is_linear:
            x = x.movedim(-1, 1)
        return x.reshape(*x.shape[:2], *self.size)

    def from_maps(self, maps: Tensor) -> Tensor:
        """Return the inverse of :meth:`to_maps`."""
        if self.returns_maps:
            return maps
        if self.is_linear:
            return maps.reshape(len(maps), self.shape[-1], *self.shape[:-1]).movedim(1, -1)
        return maps.reshape(len(maps), *self.shape)

    @property
    def returns_maps(self) -> bool:
        """Whether what the layer returns are maps already."""
        return len(self.shape) == 3 and not self.is_linear

    @property
    def channels(self) -> int:
        """The number of units."""
        return self.shape[-1 if self.is_linear else 0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the maps; more or fewer than two dimensions are laid out in two."""
        space = self.shape[:-1] if self.is_linear else self.shape[1:]
        return (math.prod(space[:-1]), space[-1]) if space else (1, 1)

    def incoming(self) -> Tensor:
        """Return the weights of each of its channels, [C, N]."""
        conv = self.weighted
        if isinstance(conv, _ConvTransposeNd):  # [in, out / groups, ...]
            return _swap_channels(conv.weight, conv.groups)
        return conv.weight.flatten(1)

    def input_weights(self) -> Tensor:
        """Return the weights that read each of its inputs or features, [C', M]."""
        conv = self.weighted
        if isinstance(conv, nn.Linear):
            return conv.weight.T
        if isinstance(conv, _ConvTransposeNd):
            return conv.weight.flatten(1)
        return _swap_channels(conv.weight, conv.groups)


def trace_layers(
    network: nn.Module, run: Callable[[], Tensor]
) -> tuple[dict[str, HookedLayer], Tensor]:
    """Run a network once, and return its layers by name, in the order of calls, and the picture.

    A module that is called again is another layer, ``NAME@2``.

    Args:
        network: whose modules are traced.
        run: runs the network and returns its picture.
    """
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    traced: list[tuple[str, HookedLayer, Tensor]] = []
    calls, layers_of = Counter[nn.Module](), Counter[str]()

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        call = calls[module]
        calls[module] += 1
        if not isinstance(output, Tensor) or output.ndim < 2:
            return
        if isinstance(module, WEIGHTED):
            layers_of[names[module]] += 1
            count = layers_of[names[module]]
            name = names[module] + (f"@{count}" if count > 1 else "")
            traced.append((name, HookedLayer((module,), call, tuple(output.shape[1:])), output))
            return
        for index, (name, layer, previous) in enumerate(traced):
            if inputs and inputs[0] is previous and output.shape == previous.shape:
                del traced[index]
                longer = replace(layer, modules=(*layer.modules, module), call=call)
                traced.append((name, longer, output))
                return

    hooked = [module for module in names if isinstance(module, (*WEIGHTED, *FOLLOWING))]
    with torch.inference_mode(), forward_hooks(hooked, record):
        image = run()
    return {name: layer for name, layer, _ in traced}, image


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Register a forward hook on modules for as long as the context lasts."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _swap_channels(weight: Tensor, groups: int) -> Tensor:
    """Return a weight [groups * A, B, ...] as [groups * B, A * ...]."""
    weight = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
    return weight.transpose(1, 2).flatten(0, 1).flatten(1)
