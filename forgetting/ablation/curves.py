"""Progress curves: how ablation progresses over time.

A curve maps time in [0, 1] to progress in [0, 1]. Most curves run from (0, 0) to (1, 1); some
return on the way. To add a curve, write a frozen dataclass with a method ``progress`` and the
decorator ``@part("curve/NAME")``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.parts import part


class ProgressCurve(Protocol):
    """Maps time to progress."""

    def progress(self, t: Tensor) -> Tensor:
        """Return the progress [F] in [0, 1] at the times ``t`` [F] in [0, 1]."""
        ...


@part("curve/linear")
@dataclass(frozen=True)
class Linear:
    """Progress at a constant rate."""

    def progress(self, t: Tensor) -> Tensor:
        """Return the time itself."""
        return t


@part("curve/never")
@dataclass(frozen=True)
class Never:
    """No progress at all."""

    def progress(self, t: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(t)


@part("curve/ease")
@dataclass(frozen=True)
class Ease:
    """Progress that is slow at both ends: half a cosine."""

    def progress(self, t: Tensor) -> Tensor:
        """Return half a cosine."""
        return (1 - torch.cos(math.pi * t)) / 2


@part("curve/exponential")
@dataclass(frozen=True)
class Exponential:
    """Progress that accelerates exponentially.

    Args:
        rate: the last moment is e^rate times as fast as the first; a negative rate slows down.
    """

    rate: float = 4.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.rate", self.rate, -50.0, 50.0)
        if self.rate == 0:
            raise RequestError("schedule.curve.rate must not be 0, which is schedule=linear")

    def progress(self, t: Tensor) -> Tensor:
        """Return a scaled exponential of time."""
        return torch.expm1(self.rate * t) / math.expm1(self.rate)


@part("curve/sigmoid")
@dataclass(frozen=True)
class Sigmoid:
    """Progress that happens mostly in the middle.

    Args:
        steepness: slope in the middle; the larger, the more sudden.
    """

    steepness: float = 10.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.steepness", self.steepness, 0.1, 100.0)

    def progress(self, t: Tensor) -> Tensor:
        """Return a scaled hyperbolic tangent of time."""
        half = math.tanh(self.steepness / 4)
        return (torch.tanh(self.steepness / 2 * (t - 0.5)) / half + 1) / 2


@part("curve/gompertz")
@dataclass(frozen=True)
class Gompertz:
    """Progress by the law of human mortality (Gompertz 1825): hazard grows exponentially with age.

    The share of survivors is S(t) = exp(-(a/b) (e^{bt} - 1)). Progress is 1 - S, scaled to end at
    1.

    Args:
        ageing: b, for the whole film as a unit of time; 8.7 doubles the hazard every 8 years in a
            life of 100.
        survivors: S(1), the share that would survive the film; it determines a.
    """

    ageing: float = 8.7
    survivors: float = 0.01

    def __post_init__(self) -> None:
        check_range("schedule.curve.ageing", self.ageing, 0.1, 50.0)
        check_range("schedule.curve.survivors", self.survivors, 1e-6, 0.99)

    def progress(self, t: Tensor) -> Tensor:
        """Return the scaled share of units that have not survived."""
        grown = torch.expm1(self.ageing * t) / math.expm1(self.ageing)
        return (1 - self.survivors**grown) / (1 - self.survivors)


@part("curve/steps")
@dataclass(frozen=True)
class Steps:
    """Progress in sudden steps, with stillness between them.

    Args:
        count: number of steps.
    """

    count: int = 8

    def __post_init__(self) -> None:
        check_int("schedule.curve.count", self.count, 1, 10_000)

    def progress(self, t: Tensor) -> Tensor:
        """Return a staircase."""
        return (torch.floor(t * (self.count + 1)) / self.count).clamp(max=1.0)


@part("curve/keyframes")
@dataclass(frozen=True)
class Keyframes:
    """Progress through given points; it may return.

    Args:
        points: two or more pairs (time, progress), both in [0, 1], with times that never decrease.
        between: ``linear`` interpolation; ``smooth``, half a cosine between two points; or
            ``hold``, which keeps the progress of a point until the next.
    """

    points: Sequence[Sequence[float]] = ((0.0, 0.0), (1.0, 1.0))
    between: str = "linear"

    def __post_init__(self) -> None:
        check_choice("schedule.curve.between", self.between, ("linear", "smooth", "hold"))
        if len(self.points) < 2 or any(len(point) != 2 for point in self.points):
            raise RequestError(
                "schedule.curve.points must be two or more pairs [time, progress], "
                f"got {self.points!r}"
            )
        for time, progress in self.points:
            check_range("a time in schedule.curve.points", time, 0.0, 1.0)
            check_range("a progress in schedule.curve.points", progress, 0.0, 1.0)
        times = [point[0] for point in self.points]
        if any(earlier > later for earlier, later in pairwise(times)):
            raise RequestError(f"the times in schedule.curve.points must not run back, got {times}")

    def progress(self, t: Tensor) -> Tensor:
        """Return the interpolated progress."""
        times, values = (
            torch.tensor([point[k] for point in self.points], dtype=torch.float64) for k in (0, 1)
        )
        k = torch.searchsorted(times, t.double().contiguous(), right=True).clamp(1, len(times) - 1)
        weight = ((t - times[k - 1]) / (times[k] - times[k - 1]).clamp_min(1e-12)).clamp(0, 1)
        if self.between == "hold":
            weight = (weight >= 1).double()
        elif self.between == "smooth":
            weight = (1 - torch.cos(math.pi * weight)) / 2
        return torch.lerp(values[k - 1], values[k], weight)


@part("curve/oscillator")
@dataclass(frozen=True)
class Oscillator:
    """Progress that goes and returns several times.

    Args:
        periods: how often it goes and returns.
        wave: ``sine``, ``triangle``, ``square`` or ``saw``; all begin at 0.
        grow: height of the first wave; heights grow evenly to 1, and at 1 all are the same.
    """

    periods: float = 4.0
    wave: str = "sine"
    grow: float = 1.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.periods", self.periods, 0.01, 100_000.0)
        check_choice("schedule.curve.wave", self.wave, ("sine", "triangle", "square", "saw"))
        check_range("schedule.curve.grow", self.grow, 0.0, 1.0)

    def progress(self, t: Tensor) -> Tensor:
        """Return waves."""
        phase = (t * self.periods) % 1.0
        wave = {
            "sine": (1 - torch.cos(2 * math.pi * phase)) / 2,
            "triangle": 1 - (2 * phase - 1).abs(),
            "square": (phase >= 0.5).to(t.dtype),
            "saw": phase,
        }[self.wave]
        return wave * (self.grow + (1 - self.grow) * t)
