"""Schedules: when units are ablated in the course of a film.

A schedule fits a progress curve into a film, or several in *acts*. It sets how long the film holds
at both ends, in which direction it runs, and how many units are ablated at its far end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.curves import Linear, ProgressCurve
from forgetting.errors import RequestError, check_choice, check_range
from forgetting.parts import part

DIRECTIONS = ("forget", "remember", "there_and_back")


@part("schedule/act")
@dataclass(frozen=True)
class Act:
    """A named part of a film.

    Args:
        name: of the act.
        until: share of the units that is ablated at its end.
        share: how long it takes, relative to the other acts.
        caption: text under the picture, or None.
        curve: how it progresses.
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
    """A progress curve fitted into a film, or a film in acts.

    Args:
        curve: how the moving part of the film progresses.
        until: share of the units that is ablated at the far end, in (0, 1].
        hold: share of the film that holds still at the start and at the end: a number, or a pair.
        window: the share of the film at which motion starts and the share at which it ends; another
            way to set ``hold``.
        direction: ``forget`` starts intact; ``remember`` runs backwards; ``there_and_back`` returns
            and makes a seamless loop.
        acts: one after another, instead of ``curve`` and ``until``.
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
                "schedule.acts must be a list of acts, each with _target_: schedule/act, "
                f"got {self.acts!r}"
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
        """The shares of the film that hold still at the start and at the end."""
        if self.window is not None:
            if (
                not isinstance(self.window, Sequence)
                or len(self.window) != 2
                or not 0 <= self.window[0] < self.window[1] <= 1
            ):
                raise RequestError(
                    "schedule.window must be two shares of the film, the first one smaller, "
                    f"got {self.window!r}"
                )
            if self.hold:
                raise RequestError(
                    "schedule.window and schedule.hold set the same thing; leave out one of them"
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
        """The fractions that progress 0, 1, 2 and so on stand for: 0, then the end of every act."""
        return (0.0, *(act.until for act in self.acts)) if self.acts else (0.0, self.until)

    @property
    def still_share(self) -> float:
        """The share of the film at the far end during which nothing moves any more."""
        count = 2001
        holds = self.holds if self.direction != "remember" else self.holds[::-1]
        forwards = replace(self, direction="forget", window=None, hold=holds)
        progress = forwards.progress(count).numpy()
        fraction = np.interp(progress, range(len(self.waypoints)), self.waypoints)
        moving = np.flatnonzero(np.diff(fraction))
        return 1 - (int(moving[-1]) + 1) / (count - 1) if len(moving) else 0.0

    def time(self, frames: int) -> Tensor:
        """Return the distance of every frame from the intact end, [F] float64 in [0, 1].

        Holds are not part of it.
        """
        k = torch.arange(frames, dtype=torch.float64)
        if self.direction == "there_and_back":
            # The frame after the last is the first again, so time runs to F, not to F - 1.
            return 1 - (2 * k / frames - 1).abs()
        t = k / max(frames - 1, 1)
        return 1 - t if self.direction == "remember" else t

    def progress(self, frames: int) -> Tensor:
        """Return the progress of every frame, [F] float64.

        It runs from 0 to 1, in a film with acts from 0 to the number of acts.
        """
        start, end = self.holds if self.direction != "remember" else self.holds[::-1]
        t = ((self.time(frames) - start) / (1 - start - end)).clamp(0.0, 1.0)
        if not self.acts:
            return self.curve.progress(t)
        starts, number = self.act_starts, torch.zeros(frames, dtype=torch.int64)
        for act_start in starts[1:-1]:
            number += t >= act_start
        progress = torch.zeros(frames, dtype=torch.float64)
        for k, act in enumerate(self.acts):
            inside = number == k
            act_time = (t[inside] - starts[k]) / (starts[k + 1] - starts[k])
            progress[inside] = k + act.curve.progress(act_time)
        return progress

    @property
    def act_starts(self) -> list[float]:
        """When every act starts, as shares of the moving time; the last number is 1."""
        total = sum(act.share for act in self.acts)
        starts = [sum(act.share for act in self.acts[:k]) / total for k in range(len(self.acts))]
        return [*starts, 1.0]
