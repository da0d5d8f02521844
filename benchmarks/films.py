"""Rows that make whole films: from the plan to the finished mp4, with all that lies in its folder.

A row is what stands behind ``forgetting render``. The network is loaded, the engine is started, and
the plan and the film are made before the first round; every round makes the film anew in an empty
folder. The film is not measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forgetting.ablation.plan import Plan
from forgetting.cli.hydra_verbs import compose_job
from forgetting.film.render import FrameSource
from forgetting.jobs import run
from forgetting.jobs.job import Job
from forgetting.jobs.render_job import LocalJob

FPS = 24

EVEN = ("schedule=linear", "schedule.until=0.6", "pacing=units", "film.ending=smudge")
"""Settings of a film that ablates as many units with every frame, as far as anything is visible."""


@dataclass(frozen=True)
class Prepared:
    """An executor that renders in this process, from a source that is prepared already."""

    source: FrameSource

    def start(self, job: Job, plan_of_run: Plan | None) -> LocalJob:
        """Return the film, which is ready to be rendered."""
        return LocalJob(self.source)

    def status(self) -> str:
        """Return where the work runs."""
        return "in this process"


@dataclass(frozen=True)
class Film:
    """A film of ``count`` frames; without ``settings`` it is the default film."""

    settings: tuple[str, ...]
    count: int

    @property
    def job(self) -> Job:
        """What ``forgetting render`` would make of these settings, not measured."""
        duration = f"film.duration={self.count / FPS!r}"
        return compose_job(
            (*self.settings, f"film.fps={FPS}", duration, "measure.names=none"), "render"
        )

    def start(self) -> Callable[[], None]:
        """Make the plan, and the film once; return what makes it again."""
        job = self.job
        source = job.prepare()

        def make() -> None:
            with tempfile.TemporaryDirectory() as folder:
                run.render(job, Path(folder) / "run", Prepared(source))

        make()  # engines compile some graphs when a frame first needs them
        return make
