"""Operators that remove what a unit contributes, or what is special about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.operators.operator import OperatorSettings
from forgetting.errors import check_range
from forgetting.models import unit_kinds
from forgetting.models.generator import Edit, Generator
from forgetting.parts import part


@part("operator/zero")
@dataclass(frozen=True)
class Zero(OperatorSettings):
    """Replaces activations by 0.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: x.new_zeros(1)


@part("operator/level")
@dataclass(frozen=True)
class Level(OperatorSettings):
    """Replaces activations by a constant.

    Args:
        level: the constant; for the picture -1 is black and 1 is white.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True
    level: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.level", self.level, -1e6, 1e6)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: x.new_full((1,), self.level)


@part("operator/prune")
@dataclass(frozen=True)
class Prune(OperatorSettings):
    """Replaces activations by those without incoming weights: bias and noise alone, for every face.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: unit_kinds.bias_only_output(generator, layer).to(x)


@part("operator/mean")
@dataclass(frozen=True)
class Mean(OperatorSettings):
    """Replaces a unit's map by its spatial mean: the level stays, the structure goes.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: x.mean(dim=(2, 3), keepdim=True)


@part("operator/average")
@dataclass(frozen=True)
class Average(OperatorSettings):
    """Replaces a unit's map by its mean map over many faces.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement; maps are averaged when the first layer of a kind needs them."""
        maps = cache(lambda kind: activations.average_maps(generator, kind))
        return lambda x, layer: maps(layer.kind)[layer.name].to(x)
