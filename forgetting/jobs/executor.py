"""Executors render the segments that a run lacks: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.dependencies import import_extra
from forgetting.jobs.job import Job
from forgetting.jobs.render_job import LocalJob, RenderJob
from forgetting.models.checkpoints.native import unchanged_weights


class Executor(Protocol):
    """Starts render jobs."""

    def start(self, job: Job, plan_of_run: Plan | None) -> RenderJob:
        """Prepare a job; its plan is ``plan_of_run``, or a new one."""
        ...

    def status(self) -> str:
        """Return a few words for the progress line: where the work runs and how fast."""
        ...


class LocalExecutor:
    """Renders in this process."""

    def start(self, job: Job, plan_of_run: Plan | None) -> LocalJob:
        """Prepare a job here."""
        with unchanged_weights():
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
