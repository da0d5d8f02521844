"""Files that are meant to harm: each is refused in one sentence, and nothing else happens.

Nothing in them is executed, no connection is opened, nothing is written outside of the folder, no
file takes five seconds or 300 MB, and none spoils another's.
"""

import contextlib
import csv
import importlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import guarded
import hostile_files
import hostile_inputs
from forgetting import dependencies
from forgetting.analysis import comparison
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery.site import make_gallery
from forgetting.cli.main import app
from forgetting.errors import ForgettingError
from forgetting.film.fonts import SHIPPED_FONT, resolve
from forgetting.film.images import read_image
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.jobs import sweep
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.checkpoints.inspect import inspect_file
from forgetting.models.classifier_file import ClassifierFile, inspect_classifiers
from forked import needs_fork
from helpers import DATA, THREE_FRAMES, compose_config, gallery_data, render_config
from hostile_experiments import HOSTILE_EXPERIMENTS
from hostile_names import obeyed

pytestmark = [pytest.mark.slow, needs_fork]

RUNS = {**hostile_files.RUNS, **hostile_files.FILMS}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with two good runs and all hostile ones; outside of it lies what links lead to."""
    folder = tmp_path_factory.mktemp("hostile") / "runs"
    for seed in (1, 2):
        config = compose_config(*THREE_FRAMES, "film.size=64", f"latent.seed={seed}")
        config["measure"] = {"names": "plain", "rate": 0}
        render_config(config, folder / f"good {seed}")
    hostile_files.write_outside(folder.parent / hostile_files.OUTSIDE)
    for number, (name, (_, build)) in enumerate(RUNS.items()):
        shutil.copytree(folder / "good 1", folder / name)
        # Another film, because of equal films only one is shown.
        hostile_files.replaced("    seed: 1\n", f"    seed: {100 + number}\n")(folder / name)
        build(folder / name)
    return folder


def read_one_at_a_time(folder: Path) -> dict[str, str]:
    """Return why every run cannot be read."""
    watch, reasons = guarded.Watch(), {}
    for path in (folder / name for name in RUNS):
        with watch(path.name):
            try:
                finished_runs(path)
            except ForgettingError as error:
                reasons[path.name] = str(error)
    return reasons


def read_together(folder: Path) -> dict[str, dict[str, str]]:
    """Return why every run is left out, by verb."""
    dependencies.import_extra("matplotlib.pyplot", "measures")
    temporary = folder.parent / "temporary"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    watch, reasons = guarded.Watch(folder, temporary), {}
    for verb, read in {
        "gallery": lambda unreadable: make_gallery(folder, None, unreadable),
        "compare": lambda unreadable: comparison.compare(folder, unreadable=unreadable),
        "sweep": lambda unreadable: sweep.run_statuses(folder, unreadable),
    }.items():
        unreadable = UnreadableRuns()
        with watch(verb, seconds=60):
            try:
                read(unreadable)
            except ForgettingError as error:
                raise AssertionError(sorted(unreadable.sentences(), key=len)[:4]) from error
        reasons[verb] = {path.name: reason for path, reason in unreadable.reasons.items()}
    return reasons


def check(reasons: dict[str, str], expected: dict[str, tuple[str, Any]]) -> None:
    """Raise unless every run has its own reason, in one sentence."""
    for name, (pattern, _) in expected.items():
        reason = reasons.pop(name, "")
        assert re.search(pattern or "^$", reason), (name, reason)
        assert "\n" not in reason, name
        assert len(reason) < 500 + 2 * len(name), name
    assert not reasons


def test_every_run_is_refused_in_a_sentence(runs):
    before = guarded.snapshot(runs.parent)
    reasons = guarded.run(read_one_at_a_time, runs)
    assert guarded.snapshot(runs.parent) == before
    films = dict.fromkeys(hostile_files.FILMS, ("", None))
    check(reasons, hostile_files.RUNS | films)


def test_no_run_spoils_another(runs):
    outside = guarded.snapshot(runs.parent / hostile_files.OUTSIDE)
    reasons = guarded.run(read_together, runs)
    assert guarded.snapshot(runs.parent / hostile_files.OUTSIDE) == outside
    films = gallery_data(runs / "gallery" / "runs.js")["works"]
    assert len(films) > 2
    rows = list(csv.DictReader((runs / "comparison.csv").read_text().splitlines()))
    assert {"good 1", "good 2"} <= {row["run"] for row in rows}
    check(reasons["gallery"], RUNS)
    films = {name: row for name, row in hostile_files.FILMS.items() if name.startswith("film")}
    check(reasons["compare"], {**hostile_files.RUNS, **films})
    read_by_sweep = {
        name: row
        for name, row in hostile_files.RUNS.items()
        if name.startswith(("plan", "recipe", "film"))
    }
    check(reasons["sweep"], read_by_sweep)


def test_the_command_line_names_them_at_the_end(runs, command_line, tmp_path):
    for name in ("good 1", "plan pipe", "curve of soup"):
        shutil.copytree(runs / name, tmp_path / "few" / name, copy_function=copy_pipe)
    for verb, left_out in {"gallery": 2, "compare": 2, "sweep": 1}.items():
        result = command_line(verb, str(tmp_path / "few"))
        assert result.exit_code == 1, result.output
        lines = result.output.splitlines()
        assert all("is left out: " in line for line in lines[-left_out:]), result.output
        assert sum("is left out: " in line for line in lines) == left_out
        assert "plan pipe" in "".join(lines[-left_out:])


def copy_pipe(source: str, copy: str) -> None:
    """Copy a file, or make another pipe."""
    if stat.S_ISFIFO(os.stat(source).st_mode):  # noqa: PTH116
        os.mkfifo(copy)
    else:
        shutil.copyfile(source, copy)


def read_each(paths: list[Path], kind: str) -> dict[str, str]:
    """Return why every file cannot be read, by its name and the number of what reads it."""
    readers, warm_up = READERS[kind]
    importlib.import_module("torchvision.models")
    for read in readers:
        for path in warm_up:
            with contextlib.suppress(ForgettingError):
                read(path)
    watch, reasons = guarded.Watch(), {}
    for path in paths:
        for number, read in enumerate(readers):
            with watch(f"{path.name} by reader {number}"):
                try:
                    read(path)
                except ForgettingError as error:
                    reasons[f"{path.name} by reader {number}"] = str(error)
    return reasons


GOOD = DATA / "photographs"

READERS: Mapping[str, tuple[list[Callable[[Path], Any]], list[Path]]] = {
    "weights": (
        [
            lambda path: [*inspect_file(path)],
            lambda path: [*inspect_classifiers(path)],
            lambda path: CheckpointFile(str(path)).load(),
            lambda path: ClassifierFile(str(path)).load(),
        ],
        [SHIPPED_FONT],
    ),
    "pictures": ([read_image], [*GOOD.glob("*")]),
    "fonts": ([lambda path: resolve(str(path))], [SHIPPED_FONT]),
}
"""Kind of files -> what reads them, and files that make it load what it needs."""


@pytest.mark.parametrize("kind", READERS)
def test_every_other_file_is_refused_in_a_sentence(tmp_path, kind):
    folder = tmp_path / kind
    folder.mkdir()
    builders = getattr(hostile_inputs, kind.upper())
    for name, build in builders.items():
        build(folder / name)
    before = guarded.snapshot(tmp_path)
    reasons = guarded.run(read_each, [folder / name for name in builders], kind)
    assert guarded.snapshot(tmp_path) == before
    for name, reason in reasons.items():
        assert "\n" not in reason, name
        assert len(reason) < 1300, name
        assert not obeyed(reason), name
    refused = {name.partition(" by reader ")[0] for name in reasons}
    assert refused == {*builders}


def compose_each(folders: list[Path], work: Path) -> dict[str, tuple[int, str]]:
    """Return exit code and output of a film with every experiment, made in the folder ``work``."""
    arguments = ["experiment=theirs", *THREE_FRAMES, "measure.names=none"]
    runner, results = CliRunner(), {}
    os.environ["SECRET"] = "a secret of mine"
    os.chdir(work)
    runner.invoke(app, ["render", "film.fps=0"])  # loads what it needs
    watch = guarded.Watch()
    for folder in folders:
        with watch(folder.name):
            result = runner.invoke(app, ["render", "--config-dir", str(folder), *arguments])
        results[folder.name] = result.exit_code, result.output
    return results


def test_every_experiment_is_refused_in_a_sentence(tmp_path, tmp_path_factory):
    marker, elsewhere = tmp_path / "marker", tmp_path / "elsewhere"
    folders = [tmp_path / "experiments" / name for name in HOSTILE_EXPERIMENTS]
    evil = f"# @package _global_\nhydra: {{job: {{env_set: {{IMAGEIO_FFMPEG_EXE: {marker}}}}}}}"
    elsewhere.mkdir()
    (elsewhere / "evil.yaml").write_text(evil)
    for folder, text in zip(folders, HOSTILE_EXPERIMENTS.values(), strict=True):
        (folder / "experiment").mkdir(parents=True)
        text = text.replace("MARKER", str(marker)).replace("ELSEWHERE", str(elsewhere))
        (folder / "experiment/theirs.yaml").write_text(text)
    before = guarded.snapshot(tmp_path)
    work = tmp_path_factory.mktemp("work")
    results = guarded.run(compose_each, folders, work)
    assert guarded.snapshot(tmp_path) == before
    assert not [*work.iterdir()]
    for name, (code, output) in results.items():
        assert code == 2, (name, output)
        assert len(output.strip().splitlines()) == 1, (name, output)
        assert "a secret of mine" not in output, name
