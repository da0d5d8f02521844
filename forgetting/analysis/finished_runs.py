"""The finished runs below a folder, and how they are called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetting import files
from forgetting.analysis.curve import ForgettingCurve, figures, read_curve
from forgetting.analysis.labels import RunLabels, label_runs
from forgetting.analysis.measure import CURVE, SUMMARY
from forgetting.analysis.words import natural_order
from forgetting.errors import RequestError
from forgetting.film.run_folder import PLAN, RECIPE, RunFolder, RunState, read_run
from forgetting.film.segments import SegmentStore
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.printable import shell_command


@dataclass(frozen=True)
class FinishedRun:
    """A run with a finished film.

    Args:
        folder: of the run.
        name: of the folder.
        state: its plan, recipe, segments and film.
        summary: what was measured.
        curve: what was measured frame by frame; None if nothing was.
        labels: how it is called among the runs that it is compared with.
    """

    folder: Path
    name: str
    state: RunState
    summary: Mapping[str, Any]
    curve: ForgettingCurve | None
    labels: RunLabels

    @property
    def film(self) -> Path:
        """The finished film."""
        assert self.state.film is not None
        return self.state.film

    @property
    def store(self) -> SegmentStore:
        """How the film is written."""
        return self.state.store

    @property
    def config(self) -> Mapping[str, Any]:
        """The config in the recipe."""
        return self.state.config

    @property
    def figures(self) -> dict[str, float]:
        """The figures of its summary."""
        return figures(self.summary)

    @property
    def seconds(self) -> float:
        """The length of the film."""
        return self.store.count / self.store.film.rate

    @property
    def face(self) -> str:
        """The label of its face."""
        return self.labels.face

    @property
    def strategy(self) -> str:
        """The label of its strategy."""
        return self.labels.strategy

    @property
    def title(self) -> str:
        """Its title."""
        return self.labels.title


def finished_runs(folder: Path, unreadable: UnreadableRuns | None = None) -> list[FinishedRun]:
    """Return all finished runs in a folder and in those below it, sorted by strategy and face.

    Links to folders are not followed. A folder with a recipe and no plan is none of a run.

    Args:
        folder: with the runs.
        unreadable: gets the runs that cannot be read; without it the first of them is an error.

    Raises:
        RequestError: there are no finished runs.
    """
    runs = []
    for path in _folders_with(folder, RECIPE, PLAN):
        with nullcontext() if unreadable is None else unreadable.leave_out(path):
            if (run := _read_finished(path, folder)) is not None:
                runs.append(run)
    if not runs:
        damaged = "; ".join(unreadable.sentences()[:3]) if unreadable else ""
        raise RequestError(
            f"there is no finished film in {folder}; "
            + (
                damaged
                or "to make some, run: "
                f"{shell_command('render', '-m', f'hydra.sweep.dir={folder}')}"
            )
        )
    labels = label_runs([run.config for run in runs])
    runs = [replace(run, labels=own) for run, own in zip(runs, labels, strict=True)]
    return sorted(
        runs, key=lambda run: [natural_order(text) for text in (run.strategy, run.face, run.name)]
    )


def _folders_with(folder: Path, *names: str) -> list[Path]:
    """Return the folder, and those below it, that hold something under each of these names."""
    return sorted(
        Path(parent)
        for parent, folders, entries in os.walk(folder, followlinks=False)
        if {*names} <= {*folders, *entries}
    )


def _read_finished(path: Path, below: Path) -> FinishedRun | None:
    """Return the finished run in a folder; None if its film is not finished.

    Raises:
        RequestError: a file of the run cannot be read.
    """
    if RunFolder(path).existing_plan() is None:
        return None
    state = read_run(path)
    if state.film is None:
        return None
    name = "-".join(path.relative_to(below).parts) or path.resolve().name
    name = name.encode(errors="replace").decode()  # names of folders can be bytes of any kind
    summary, curve = dict[str, Any](), None
    with suppress(FileNotFoundError):
        summary = files.require_json(path / SUMMARY)
    with suppress(FileNotFoundError):
        curve = read_curve(path / CURVE)
    return FinishedRun(path, name, state, summary, curve, RunLabels(name))
