"""The contract of operators, and what all of them share.

An operator computes what replaces the activations ``x`` of units that are ablated. Everything is
one formula, ``lerp(x, operator(x), ablation)`` with an ablation in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from forgetting.errors import check_range
from forgetting.models.generator import Edit, Generator

SOFTNESS = 0.06
"""The default softness: a unit fades in about 45 frames of a film of 30 s, so nothing pops."""


class Operator(Protocol):
    """Computes the replacement of units that are ablated."""

    @property
    def constant(self) -> bool:
        """Whether the replacement does not depend on the activations that it replaces."""
        ...

    @property
    def softness(self) -> float:
        """The share of the ranks' axis in [0, 1] that a unit takes to fade; at 0 units switch."""
        ...

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the function that computes replacements for the face ``ws`` [1, L, W].

        It gets the activations [B, C, H, W] of a layer, and the layer. Its result has any shape
        that broadcasts to the activations. It is called once for every layer where it is
        ``constant``. It becomes part of compiled graphs, so it must not branch on values.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """The settings of every operator.

    Args:
        softness: share of the ranks' axis that a unit takes to fade; at 0 units switch.
    """

    constant: ClassVar[bool] = False
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        check_range("operator.softness", self.softness, 0.0, 1.0)
