"""A film that an executor is ready to render, and what renders it in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.analysis.measure import MeasureSettings, measure_film
from forgetting.film.render import FrameSource, render_segments
from forgetting.film.segments import SegmentStore


class RenderJob(Protocol):
    """One film that an executor is ready to render."""

    @property
    def plan(self) -> Plan:
        """The plan, which holds the film's recipe."""
        ...

    @property
    def sequential(self) -> bool:
        """Whether frames depend on earlier frames, so that segments must be rendered in order."""
        ...

    def render(
        self, plan: Plan, store: SegmentStore, segments: Sequence[range], since: float
    ) -> None:
        """Render segments of the film of ``plan`` into ``store``.

        ``since`` is when work on the film began, on the clock of ``time.monotonic``.
        """
        ...

    def measure(self, plan: Plan, settings: MeasureSettings, folder: Path, **summary: Any) -> None:
        """Measure the film and write the results, with ``summary``, into ``folder``."""
        ...


@dataclass(frozen=True)
class LocalJob:
    """A film that this process renders."""

    source: FrameSource

    @property
    def plan(self) -> Plan:
        """The plan, which holds the film's recipe."""
        return self.source.compositor.plan

    @property
    def sequential(self) -> bool:
        """Whether frames depend on earlier frames."""
        return self.source.sequential

    def render(
        self, plan: Plan, store: SegmentStore, segments: Sequence[range], since: float
    ) -> None:
        """Render segments here."""
        render_segments(self.source.with_plan(plan, store.folder), store, segments, since)

    def measure(self, plan: Plan, settings: MeasureSettings, folder: Path, **summary: Any) -> None:
        """Measure the film here."""
        measure_film(self.source.with_plan(plan, None), settings, folder, **summary)
