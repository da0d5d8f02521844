"""Executors render the segments that a run lacks: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.analysis.measure import MeasureSettings, measure_film
from forgetting.dependencies import import_extra
from forgetting.film.render import FrameSource, render_segments
from forgetting.film.segments import SegmentStore
from forgetting.jobs.job import Job


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


class Executor(Protocol):
    """Starts render jobs."""

    def start(self, job: Job, plan_of_run: Plan | None) -> RenderJob:
        """Prepare a job; its plan is ``plan_of_run``, or a new one."""
        ...

    def status(self) -> str:
        """Return a few words for the progress line: where the work runs and how fast."""
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


class LocalExecutor:
    """Renders in this process."""

    def start(self, job: Job, plan_of_run: Plan | None) -> LocalJob:
        """Prepare a job here."""
        return LocalJob(job.prepare(plan_of_run))

    def status(self) -> str:
        """Return where the work runs."""
        return "in this process"


@contextmanager
def start_executor(cluster: Any) -> Iterator[Executor]:
    """Yield the executor of a cluster, or that of this process.

    Unfinished work is dropped when the block ends.

    Args:
        cluster: the settings of a cluster, or None.

    Raises:
        RequestError: Ray is not installed, or no node has room for a worker.
        ForgettingError: no cluster answers at the address.
    """
    if cluster is None:
        yield LocalExecutor()
        return
    import_extra("ray", "ray")
    from forgetting.jobs.ray.executor import RayExecutor

    with closing(RayExecutor(cluster)) as executor:
        yield executor
