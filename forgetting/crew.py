"""Who makes a film: this process, or others. The run knows what is to be done, a crew does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from forgetting import experiment, measuring
from forgetting.dreaming import experiment as dreams
from forgetting.measuring import Measuring
from forgetting.plan import Plan
from forgetting.render import Stage, shoot
from forgetting.segments import Reel


class Making(Protocol):
    """A film that a crew is ready to make; ``plan`` is who dies when, with the recipe."""

    @property
    def plan(self) -> Plan: ...
    @property
    def follows(self) -> bool:
        """Whether frames follow from the frames before them."""
        ...

    def shoot(self, plan: Plan, reel: Reel, segments: Sequence[range], since: float) -> None:
        """Make those segments of the film of ``plan``; ``since`` is when work on them began."""
        ...

    def measure(self, plan: Plan, how: Measuring, folder: Path, **told: Any) -> None:
        """Measure the film, see :func:`forgetting.measuring.film`."""
        ...


class Crew(Protocol):
    def __call__(self, config: Mapping[str, Any], known: Plan | None) -> Making:
        """Make ready what a config asks for: a new plan, or one that an earlier run of it made."""
        ...


def prepared(config: Mapping[str, Any], known: Plan | None = None) -> Stage:
    """What a config asks for, a face or a dream, ready to be filmed in this process."""
    return (dreams.prepare(config, known) if "dream" in config else experiment.prepare(config, known)).stage


@dataclass(frozen=True)
class Here:
    """In this process."""

    stage: Stage

    @property
    def plan(self) -> Plan:
        return self.stage.layout.plan

    @property
    def follows(self) -> bool:
        return self.stage.follows

    def shoot(self, plan: Plan, reel: Reel, segments: Sequence[range], since: float) -> None:
        shoot(self.stage.ready(plan, reel.folder), reel, segments, since)

    def measure(self, plan: Plan, how: Measuring, folder: Path, **told: Any) -> None:
        measuring.film(self.stage.ready(plan, None), how, folder, **told)


def here(config: Mapping[str, Any], known: Plan | None) -> Here:
    """The crew of this process."""
    return Here(prepared(config, known))
