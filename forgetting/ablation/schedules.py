"""How loss runs over time.

A *curve* maps time [F] in [0, 1] to loss [F] in [0, 1]; most run from (0, 0) to (1, 1), some come back on the way. A
:class:`Schedule` puts a curve into a film, or one after another in *acts*: it holds at both ends, runs towards
forgetting, back, or there and back, and says how far to go.

To add a curve, write a frozen dataclass with such a ``__call__``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.parts import part

DIRECTIONS = ("forget", "remember", "there_and_back")


class ProgressCurve(Protocol):
    def progress(self, t: Tensor) -> Tensor:
        """[F] -> [F], both in [0, 1]."""
        ...


@part("curve/linear")
@dataclass(frozen=True)
class Linear:
    """The same loss at every moment."""

    def progress(self, t: Tensor) -> Tensor:
        return t


@part("curve/never")
@dataclass(frozen=True)
class Never:
    """Nothing is ever lost."""

    def progress(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)


@part("curve/ease")
@dataclass(frozen=True)
class Ease:
    """Slow at both ends: half a cosine."""

    def progress(self, t: Tensor) -> Tensor:
        return (1 - torch.cos(math.pi * t)) / 2


@part("curve/exponential")
@dataclass(frozen=True)
class Exponential:
    """Faster and faster by e^rate from first to last moment; a negative rate is slower and slower."""

    rate: float = 4.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.rate", self.rate, -50.0, 50.0)
        if self.rate == 0:
            raise RequestError("schedule.curve.rate must not be 0, which is schedule=linear")

    def progress(self, t: Tensor) -> Tensor:
        return torch.expm1(self.rate * t) / math.expm1(self.rate)


@part("curve/sigmoid")
@dataclass(frozen=True)
class Sigmoid:
    """A collapse in the middle, the sharper the larger ``steepness``."""

    steepness: float = 10.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.steepness", self.steepness, 0.1, 100.0)

    def progress(self, t: Tensor) -> Tensor:
        half = math.tanh(self.steepness / 4)
        return (torch.tanh(self.steepness / 2 * (t - 0.5)) / half + 1) / 2


@part("curve/gompertz")
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
        check_range("schedule.curve.ageing", self.ageing, 0.1, 50.0)
        check_range("schedule.curve.survivors", self.survivors, 1e-6, 0.99)

    def progress(self, t: Tensor) -> Tensor:
        grown = torch.expm1(self.ageing * t) / math.expm1(self.ageing)
        return (1 - self.survivors**grown) / (1 - self.survivors)


@part("curve/steps")
@dataclass(frozen=True)
class Steps:
    """Strokes: ``count`` sudden losses with stillness between them."""

    count: int = 8

    def __post_init__(self) -> None:
        check_int("schedule.curve.count", self.count, 1, 10_000)

    def progress(self, t: Tensor) -> Tensor:
        return (torch.floor(t * (self.count + 1)) / self.count).clamp(max=1.0)


@part("curve/keyframes")
@dataclass(frozen=True)
class Keyframes:
    """Through given points (time, loss), as often up and down as they say.

    Args:
        points: two or more pairs, both in [0, 1], time never running back.
        between: ``linear``, ``smooth`` (half a cosine between each two, which stands still at every point), or ``hold``
            (each stays until the next).
    """

    points: Sequence[Sequence[float]] = ((0.0, 0.0), (1.0, 1.0))
    between: str = "linear"

    def __post_init__(self) -> None:
        check_choice("schedule.curve.between", self.between, ("linear", "smooth", "hold"))
        if len(self.points) < 2 or any(len(point) != 2 for point in self.points):
            raise RequestError(
                f"schedule.curve.points must be two or more pairs [time, loss], got {self.points!r}"
            )
        for time, loss in self.points:
            check_range("a time in schedule.curve.points", time, 0.0, 1.0)
            check_range("a loss in schedule.curve.points", loss, 0.0, 1.0)
        if any(before[0] > after[0] for before, after in pairwise(self.points)):
            raise RequestError(
                f"the times in schedule.curve.points must not run back, got {[point[0] for point in self.points]}"
            )

    def progress(self, t: Tensor) -> Tensor:
        times, losses = (
            torch.tensor([point[k] for point in self.points], dtype=torch.float64) for k in (0, 1)
        )
        k = torch.searchsorted(times, t.double().contiguous(), right=True).clamp(1, len(times) - 1)
        share = ((t - times[k - 1]) / (times[k] - times[k - 1]).clamp_min(1e-12)).clamp(0, 1)
        if self.between == "hold":
            share = (share >= 1).double()
        elif self.between == "smooth":
            share = (1 - torch.cos(math.pi * share)) / 2
        return torch.lerp(losses[k - 1], losses[k], share)


@part("curve/oscillator")
@dataclass(frozen=True)
class Oscillator:
    """There and back again, ``periods`` times.

    Args:
        wave: ``sine``, ``triangle``, ``square`` or ``saw``; all begin at 0.
        grow: how far the first of them goes; they grow evenly to 1 (1: all alike).
    """

    periods: float = 4.0
    wave: str = "sine"
    grow: float = 1.0

    def __post_init__(self) -> None:
        check_range("schedule.curve.periods", self.periods, 0.01, 100_000.0)
        check_choice("schedule.curve.wave", self.wave, ("sine", "triangle", "square", "saw"))
        check_range("schedule.curve.grow", self.grow, 0.0, 1.0)

    def progress(self, t: Tensor) -> Tensor:
        phase = (t * self.periods) % 1.0
        loss = {
            "sine": (1 - torch.cos(2 * math.pi * phase)) / 2,
            "triangle": 1 - (2 * phase - 1).abs(),
            "square": (phase >= 0.5).to(t.dtype),
            "saw": phase,
        }[self.wave]
        return loss * (self.grow + (1 - self.grow) * t)


@part("schedule/act")
@dataclass(frozen=True)
class Act:
    """A part of a film with a name of its own.

    Args:
        name: of the act.
        until: share of the units that is gone where it ends.
        share: how long it takes, against the others.
        caption: what is written under the picture, if anything.
        curve: how its loss runs.
    """

    name: str
    until: float
    share: float = 1.0
    caption: str | None = None
    curve: ProgressCurve = field(default_factory=Linear)

    def __post_init__(self) -> None:
        check_range(f"the until of the act {self.name!r}", self.until, 0.0, 1.0)
        check_range(f"the share of the act {self.name!r}", self.share, 1e-6, 1e6)


@part("schedule/schedule")
@dataclass(frozen=True)
class Schedule:
    """A curve put into a film, or a film in acts.

    Args:
        curve: how loss runs over the moving part.
        until: share of units gone at the far end, in (0, 1].
        hold: share of the film that stands still at the start and at the end; one number or a pair.
        window: from and to which share of the film it moves; the same as ``hold``, told the other way.
        direction: ``forget``; ``remember`` runs backwards; ``there_and_back`` returns and closes a seamless loop.
        acts: one after the other, instead of ``curve`` and ``until``.
    """

    curve: ProgressCurve = field(default_factory=Linear)
    until: float = 1.0
    hold: float | Sequence[float] = 0.0
    window: Sequence[float] | None = None
    direction: str = "forget"
    acts: Sequence[Act] = ()

    def __post_init__(self) -> None:
        check_range("schedule.until", self.until, 1e-6, 1.0)
        check_choice("schedule.direction", self.direction, DIRECTIONS)
        if not all(isinstance(act, Act) for act in self.acts):
            raise RequestError(
                f"schedule.acts must be a list of forgetting.schedules.Act, got {self.acts!r}"
            )
        start, end = self.holds
        check_range("schedule.hold", start, 0.0, 1.0)
        check_range("schedule.hold", end, 0.0, 1.0)
        if start + end >= 1:
            raise RequestError(
                f"schedule.hold leaves no time to move: {start:g} + {end:g} must stay below 1"
            )

    @property
    def holds(self) -> tuple[float, float]:
        if self.window is not None:
            if (
                not isinstance(self.window, Sequence)
                or len(self.window) != 2
                or not 0 <= self.window[0] < self.window[1] <= 1
            ):
                raise RequestError(
                    f"schedule.window must be two shares of the film, the first one smaller, got {self.window!r}"
                )
            if self.hold:
                raise RequestError(
                    "schedule.window and schedule.hold say the same thing; leave out one of them"
                )
            return self.window[0], 1 - self.window[1]
        if isinstance(self.hold, (int, float)):
            return self.hold, self.hold
        if not isinstance(self.hold, Sequence) or len(self.hold) != 2:
            raise RequestError(
                f"schedule.hold must be one share of the film or two, got {self.hold!r}"
            )
        return self.hold[0], self.hold[1]

    @property
    def waypoints(self) -> tuple[float, ...]:
        """The shares of units gone that loss counts: 0 at 0, the next one at 1, and so on."""
        return (0.0, *(act.until for act in self.acts)) if self.acts else (0.0, self.until)

    @property
    def still_share(self) -> float:
        """Share of the film at the far end during which nothing moves any more."""
        count = 2001
        holds = self.holds if self.direction != "remember" else self.holds[::-1]
        loss = replace(self, direction="forget", window=None, hold=holds).progress(count).numpy()
        moving = np.flatnonzero(
            np.diff(np.interp(loss, range(len(self.waypoints)), self.waypoints))
        )
        return 1 - (int(moving[-1]) + 1) / (count - 1) if len(moving) else 0.0

    def time(self, frames: int) -> Tensor:
        """[F] float64 in [0, 1]: how far on its way, there or back, each frame is; it stands still at neither end."""
        k = torch.arange(frames, dtype=torch.float64)
        if self.direction == "there_and_back":
            # The frame after the last is the first again, so time runs to F, not to F - 1.
            return 1 - (2 * k / frames - 1).abs()
        t = k / max(frames - 1, 1)
        return 1 - t if self.direction == "remember" else t

    def progress(self, frames: int) -> Tensor:
        """[F] float64: how much of the way is gone at each frame, in [0, 1]; in acts, from 0 to as many as there are."""
        start, end = self.holds if self.direction != "remember" else self.holds[::-1]
        t = ((self.time(frames) - start) / (1 - start - end)).clamp(0.0, 1.0)
        if not self.acts:
            return self.curve.progress(t)
        begins, number = self.act_starts, torch.zeros(frames, dtype=torch.int64)
        for begin in begins[1:-1]:
            number += t >= begin
        loss = torch.zeros(frames, dtype=torch.float64)
        for k, act in enumerate(self.acts):
            inside = number == k
            loss[inside] = k + act.curve.progress(
                (t[inside] - begins[k]) / (begins[k + 1] - begins[k])
            )
        return loss

    @property
    def act_starts(self) -> list[float]:
        """When each act begins, as shares of the moving time; the last is 1."""
        whole = sum(act.share for act in self.acts)
        return [sum(act.share for act in self.acts[:k]) / whole for k in range(len(self.acts))] + [
            1.0
        ]
