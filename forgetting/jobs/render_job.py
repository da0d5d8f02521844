"""A film that an executor is ready to render, and what renders it in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.analysis.measure import MeasureSettings, measure_film, observers
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
        self,
        plan: Plan,
        store: SegmentStore,
        segments: Sequence[range],
        since: float,
        measure: MeasureSettings,
    ) -> None:
        """Render segments of the film of ``plan`` into ``store``.

        Args:
            plan: of the film.
            store: where segments are written.
            segments: ranges of positions in the film.
            since: when work on the film began, on the clock of ``time.monotonic``.
            measure: what is measured meanwhile; it is kept beside the segments.
        """
        ...

    def measure(
        self,
        plan: Plan,
        settings: MeasureSettings,
        store: SegmentStore,
        folder: Path,
        **summary: Any,
    ) -> None:
        """Measure what was not measured while the film was rendered, and write the results.

        Args:
            plan: of the film.
            settings: what is measured.
            store: the segments of the film.
            folder: where the results are written.
            summary: further entries of the summary.
        """
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
        self,
        plan: Plan,
        store: SegmentStore,
        segments: Sequence[range],
        since: float,
        measure: MeasureSettings,
    ) -> None:
        """Render segments here."""
        source = self.source.with_plan(plan, store.folder)
        render_segments(source, store, segments, since, observers(measure, store))

    def measure(
        self,
        plan: Plan,
        settings: MeasureSettings,
        store: SegmentStore,
        folder: Path,
        **summary: Any,
    ) -> None:
        """Measure the rest of the film here."""
        measure_film(self.source.with_plan(plan, None), settings, folder, store, **summary)
