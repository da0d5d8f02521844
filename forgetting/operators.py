"""What a dying unit becomes.

Everything is one formula, ``lerp(x, operator(x), ablation)``; an operator only says what is there when a unit is
gone. ``bind`` gives it the generator and the face, and returns the function from a layer's output [B, C, H, W] to
what its units say once dead, in any shape that broadcasts to it.

``softness`` is the share of the whole way (from nothing to ``schedule.until``) that one unit takes to fade: at 0
units switch, and the picture pops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from forgetting import statistics
from forgetting.errors import RequestError, within
from forgetting.generators import Edit, Generator
from forgetting.units import Layer, Units

SOFTNESS = 0.06
"""About 45 frames a unit in a film of 30 seconds: enough that nothing pops."""


class Operator(Protocol):
    @property
    def constant(self) -> bool:
        """Whether what a dead unit says is the same whatever it heard."""
        ...

    @property
    def softness(self) -> float: ...

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """What the units of a layer say once they are gone."""
        ...


def _check(softness: float) -> None:
    within("operator.softness", softness, 0.0, 1.0)


@dataclass(frozen=True)
class Zero:
    """Silence."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: x.new_zeros(1)


@dataclass(frozen=True)
class Prune:
    """Its weights go, its bias and noise stay: the unit says the same for everybody."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        rest = {layer.name: generator.rest(layer) for layer in generator.layers}
        return lambda x, layer: rest[layer.name]


@dataclass(frozen=True)
class Mean:
    """Its spatial mean: the unit keeps its level and loses its picture."""

    constant: ClassVar[bool] = False
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: x.mean(dim=(2, 3), keepdim=True)


@dataclass(frozen=True)
class Average:
    """Its mean map over many faces: the unit forgets this face and remembers everybody."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        maps = {name: half.float() for name, half in statistics.average_maps(generator).items()}
        return lambda x, layer: maps[layer.name]


def damage(dead: Edit, units: Units, ablation: Tensor) -> Edit:
    """The edit that damages a batch of faces by ``ablation`` [B, U] in [0, 1], one row a face."""
    rows = units.split(ablation)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        row = rows[layer.name]
        if len(row) != len(x):
            raise RequestError(f"there are {len(row)} rows of ablation for {len(x)} faces; give one row a face")
        if not row.any():
            return x  # an untouched layer stays as it is, bit for bit
        return x.lerp_(dead(x, layer), row[:, :, None, None])  # [B, C, H, W]

    return edit
