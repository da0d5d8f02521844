"""The finished runs below a folder, and the settings in which they differ.

A part that differs is given by its label (``ordering`` is ``random``), a setting by its dotted key
(``operator.softness`` is 0.1), and only for runs that have it. The keys in ``FACE`` describe the
**face**. A ``seed`` of anything else is a repetition. All other settings are the **strategy**.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetting import files
from forgetting.analysis.curve import ForgettingCurve, figures, read_curve
from forgetting.analysis.measure import CURVE, SUMMARY
from forgetting.errors import RequestError
from forgetting.film.recipe import EXECUTION_KEYS
from forgetting.film.run_folder import PLAN, RECIPE, RunFolder, RunState, read_run
from forgetting.film.segments import SegmentStore
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.parts import TARGET, part_label
from forgetting.printable import shell_command

FACE = ("latent", "generator", "noise", "source", "classifier")
"""The keys of a config that describe whose picture is forgotten."""


@dataclass(frozen=True)
class FinishedRun:
    """A run with a finished film.

    Args:
        folder: of the run.
        name: of the folder.
        state: its plan, recipe, segments and film.
        summary: what was measured.
        curve: what was measured frame by frame; None if nothing was.
        settings: those in which the compared runs differ, by dotted key.
    """

    folder: Path
    name: str
    state: RunState
    summary: Mapping[str, Any]
    curve: ForgettingCurve | None
    settings: Mapping[str, str]

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
        return _label(self._face_settings()) or "one face"

    @property
    def strategy(self) -> str:
        """The label of its strategy."""
        settings = self._other_settings()
        unseeded = {key: value for key, value in settings.items() if not key.endswith(".seed")}
        return _label(unseeded) or "one strategy"

    @property
    def title(self) -> str:
        """The label of its strategy and face."""
        return _label(self._other_settings() | self._face_settings()) or self.name

    def _face_settings(self) -> dict[str, str]:
        return {key: value for key, value in self.settings.items() if key.partition(".")[0] in FACE}

    def _other_settings(self) -> dict[str, str]:
        return {
            key: value for key, value in self.settings.items() if key.partition(".")[0] not in FACE
        }


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
    settings = differences([run.config for run in runs])
    runs = [replace(run, settings=own) for run, own in zip(runs, settings, strict=True)]
    return sorted(
        runs, key=lambda run: [_sort_key(text) for text in (run.strategy, run.face, run.name)]
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
    return FinishedRun(path, name, state, summary, curve, {})


def differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return for every config its settings for the keys in which the configs differ.

    They are in the order of the configs' keys.
    """
    settings: list[dict[str, str]] = [{} for _ in configs]
    ignored = (*EXECUTION_KEYS, "plan")
    compared = [
        {key: value for key, value in config.items() if key not in ignored} for config in configs
    ]
    _collect_differences(compared, "", settings)
    return settings


def _collect_differences(
    nodes: Sequence[Any], key: str, settings: Sequence[dict[str, str]]
) -> None:
    """Add to ``settings`` in what nodes of several configs differ.

    Args:
        nodes: what each config holds below ``key``.
        key: dotted; empty for the whole config.
        settings: of each config.
    """
    if all(node == nodes[0] for node in nodes):
        return
    numbers_by_part: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        if isinstance(node, Mapping):
            numbers_by_part.setdefault(str(node.get(TARGET)), []).append(number)
    if len(numbers_by_part) > 1 or sum(map(len, numbers_by_part.values())) < len(nodes):
        for node, own in zip(nodes, settings, strict=True):
            is_part = isinstance(node, Mapping)
            own[key] = part_label(node.get(TARGET, "set")) if is_part else str(node)
    # Only configs with the same part have the same settings to differ in.
    for numbers in numbers_by_part.values():
        alike = [nodes[number] for number in numbers]
        for name in dict.fromkeys(name for node in alike for name in node if name != TARGET):
            _collect_differences(
                [node.get(name) for node in alike],
                f"{key}.{name}" if key else str(name),
                [settings[number] for number in numbers],
            )


def _label(settings: Mapping[str, str]) -> str:
    """Return settings as a label, such as ``random``, ``seed 3`` or ``softness 0.1, seed 3``."""
    words = []
    for key, value in settings.items():
        name = key.rpartition(".")[2]
        words.append(value if "." not in key or name == "name" else f"{name} {value}")
    return ", ".join(words)


def _sort_key(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts seed 10 after seed 9."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in text.split()]
