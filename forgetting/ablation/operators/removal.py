"""What a dying unit becomes.

Everything is one formula, ``lerp(x, operator(x), ablation)``; an operator only says what is there when a unit is
gone. ``bind`` gives it the generator and the face, and returns the function from a layer's output [B, C, H, W] to
what its units say once dead, in any shape that broadcasts to it.

``softness`` is the share of the whole way (from nothing to ``schedule.until``) that one unit takes to fade: at 0
units switch, and the picture pops.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol

from torch import Tensor

from forgetting.ablation import activations
from forgetting.errors import check_range
from forgetting.models import unit_kinds
from forgetting.models.generator import Edit, Generator
from forgetting.parts import part

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
        """What the units of a layer say once they are gone; of a ``constant`` one, asked once for every layer."""
        ...


def _check(softness: float) -> None:
    check_range("operator.softness", softness, 0.0, 1.0)


@part("operator/zero")
@dataclass(frozen=True)
class Zero:
    """Silence."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: x.new_zeros(1)


@part("operator/level")
@dataclass(frozen=True)
class Level:
    """A fixed value: for the picture, -1 is black and 1 is white."""

    constant: ClassVar[bool] = True
    level: float = -1.0
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)
        check_range("operator.level", self.level, -1e6, 1e6)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: x.new_full((1,), self.level)


@part("operator/prune")
@dataclass(frozen=True)
class Prune:
    """Its weights go, its bias and noise stay: the unit says the same for everybody."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: unit_kinds.bias_only_output(generator, layer).to(x)


@part("operator/mean")
@dataclass(frozen=True)
class Mean:
    """Its spatial mean: the unit keeps its level and loses its picture."""

    constant: ClassVar[bool] = False
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return lambda x, layer: x.mean(dim=(2, 3), keepdim=True)


@part("operator/average")
@dataclass(frozen=True)
class Average:
    """Its mean map over many faces: the unit forgets this face and remembers everybody."""

    constant: ClassVar[bool] = True
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        _check(self.softness)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        maps = cache(lambda kind: activations.average_maps(generator, kind))
        return lambda x, layer: maps(layer.kind)[layer.name].to(x)
