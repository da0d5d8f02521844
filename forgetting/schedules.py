"""How loss runs over time.

A *curve* maps time [F] in [0, 1] to loss [F] in [0, 1], from (0, 0) to (1, 1). A :class:`Schedule` puts a curve
into a film: it holds at both ends, runs towards forgetting, back, or there and back, and says how far to go.

To add a curve, write a frozen dataclass with such a ``__call__``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from forgetting.errors import RequestError, one_of, whole, within

DIRECTIONS = ("forget", "remember", "there_and_back")


class Curve(Protocol):
    def __call__(self, t: Tensor) -> Tensor:
        """[F] -> [F], both in [0, 1], 0 at 0 and 1 at 1."""
        ...


@dataclass(frozen=True)
class Linear:
    """The same loss at every moment."""

    def __call__(self, t: Tensor) -> Tensor:
        return t


@dataclass(frozen=True)
class Ease:
    """Slow at both ends: half a cosine."""

    def __call__(self, t: Tensor) -> Tensor:
        return (1 - torch.cos(math.pi * t)) / 2


@dataclass(frozen=True)
class Exponential:
    """Faster and faster by e^rate from first to last moment; a negative rate is slower and slower."""

    rate: float = 4.0

    def __post_init__(self) -> None:
        within("schedule.curve.rate", self.rate, -50.0, 50.0)
        if self.rate == 0:
            raise RequestError("schedule.curve.rate must not be 0, which is schedule=linear")

    def __call__(self, t: Tensor) -> Tensor:
        return torch.expm1(self.rate * t) / math.expm1(self.rate)


@dataclass(frozen=True)
class Sigmoid:
    """A collapse in the middle, the sharper the larger ``steepness``."""

    steepness: float = 10.0

    def __post_init__(self) -> None:
        within("schedule.curve.steepness", self.steepness, 0.1, 100.0)

    def __call__(self, t: Tensor) -> Tensor:
        half = math.tanh(self.steepness / 4)
        return (torch.tanh(self.steepness / 2 * (t - 0.5)) / half + 1) / 2


@dataclass(frozen=True)
class Gompertz:
    """The law of human mortality (Gompertz 1825): the hazard grows exponentially with age.

    Survivors S(t) = exp(-(a/b) (e^{bt} - 1)). ``ageing`` is b over the whole film: 8.7 is a hazard that doubles every
    8 years in a life of 100. ``survivors`` is S(1), the share that would outlive the film; it fixes a. The loss
    1 - S is scaled to end at 1.
    """

    ageing: float = 8.7
    survivors: float = 0.01

    def __post_init__(self) -> None:
        within("schedule.curve.ageing", self.ageing, 0.1, 50.0)
        within("schedule.curve.survivors", self.survivors, 1e-6, 0.99)

    def __call__(self, t: Tensor) -> Tensor:
        grown = torch.expm1(self.ageing * t) / math.expm1(self.ageing)
        return (1 - self.survivors**grown) / (1 - self.survivors)


@dataclass(frozen=True)
class Steps:
    """Strokes: ``count`` sudden losses with stillness between them."""

    count: int = 8

    def __post_init__(self) -> None:
        whole("schedule.curve.count", self.count, 1, 10_000)

    def __call__(self, t: Tensor) -> Tensor:
        return (torch.floor(t * (self.count + 1)) / self.count).clamp(max=1.0)


@dataclass(frozen=True)
class Schedule:
    """A curve put into a film.

    Args:
        curve: how loss runs over the moving part.
        until: share of units gone at the far end, in (0, 1].
        hold: share of the film that stands still at the start and at the end; one number or a pair.
        direction: ``forget``; ``remember`` runs backwards; ``there_and_back`` returns and closes a seamless loop.
    """

    curve: Curve = field(default_factory=Linear)
    until: float = 1.0
    hold: float | Sequence[float] = 0.0
    direction: str = "forget"

    def __post_init__(self) -> None:
        within("schedule.until", self.until, 1e-6, 1.0)
        one_of("schedule.direction", self.direction, DIRECTIONS)
        start, end = self.holds
        within("schedule.hold", start, 0.0, 1.0)
        within("schedule.hold", end, 0.0, 1.0)
        if start + end >= 1:
            raise RequestError(f"schedule.hold leaves no time to move: {start:g} + {end:g} must stay below 1")

    @property
    def holds(self) -> tuple[float, float]:
        if isinstance(self.hold, (int, float)):
            return self.hold, self.hold
        if not isinstance(self.hold, Sequence) or len(self.hold) != 2:
            raise RequestError(f"schedule.hold must be one share of the film or two, got {self.hold!r}")
        return self.hold[0], self.hold[1]

    def loss(self, frames: int) -> Tensor:
        """[F] float64 in [0, 1]: how much of the way is gone at each frame."""
        k = torch.arange(frames, dtype=torch.float64)
        if self.direction == "there_and_back":
            # The frame after the last is the first again, so time runs to F, not to F - 1.
            t = 1 - (2 * k / frames - 1).abs()
        else:
            t = k / max(frames - 1, 1)
            t = 1 - t if self.direction == "remember" else t
        start, end = self.holds if self.direction != "remember" else self.holds[::-1]
        return self.curve(((t - start) / (1 - start - end)).clamp(0.0, 1.0))
