"""Who makes a film: this process, or others. The run knows what is to be done, a crew does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.analysis import measure as measuring
from forgetting.analysis.measure import MeasureSettings
from forgetting.film.render import FrameSource, render_segments
from forgetting.film.segments import SegmentStore
from forgetting.jobs import dream as dreams
from forgetting.jobs import portrait


class Making(Protocol):
    """A film that a crew is ready to make; ``plan`` is who dies when, with the recipe."""

    @property
    def plan(self) -> Plan: ...
    @property
    def sequential(self) -> bool:
        """Whether frames follow from the frames before them."""
        ...

    def shoot(
        self, plan: Plan, store: SegmentStore, segments: Sequence[range], since: float
    ) -> None:
        """Make those segments of the film of ``plan``; ``since`` is when work on them began."""
        ...

    def measure(self, plan: Plan, how: MeasureSettings, folder: Path, **told: Any) -> None:
        """Measure the film, see :func:`forgetting.analysis.measure.measure_film`."""
        ...


class Crew(Protocol):
    def __call__(self, config: Mapping[str, Any], known: Plan | None) -> Making:
        """Make ready what a config asks for: a new plan, or one that an earlier run of it made."""
        ...


def prepared(config: Mapping[str, Any], known: Plan | None = None) -> FrameSource:
    """What a config asks for, a face or a dream, ready to be filmed in this process."""
    return (
        dreams.prepare(config, known) if "dream" in config else portrait.prepare(config, known)
    ).stage


@dataclass(frozen=True)
class Here:
    """In this process."""

    stage: FrameSource

    @property
    def plan(self) -> Plan:
        return self.stage.layout.plan

    @property
    def sequential(self) -> bool:
        return self.stage.sequential

    def shoot(
        self, plan: Plan, store: SegmentStore, segments: Sequence[range], since: float
    ) -> None:
        render_segments(self.stage.ready(plan, store.folder), store, segments, since)

    def measure(self, plan: Plan, how: MeasureSettings, folder: Path, **told: Any) -> None:
        measuring.measure_film(self.stage.ready(plan, None), how, folder, **told)


def here(config: Mapping[str, Any], known: Plan | None) -> Here:
    """The crew of this process."""
    return Here(prepared(config, known))
