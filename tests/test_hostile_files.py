"""Files that are meant to harm: each is refused in one sentence, and nothing else happens.

Nothing in them is executed, no connection is opened, nothing is written outside of the folder, no
file takes five seconds or 300 MB, and none spoils another's.
"""

import csv
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

import guarded
import hostile_files
from forgetting import dependencies
from forgetting.analysis import comparison
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery.site import make_gallery
from forgetting.errors import ForgettingError
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.jobs import sweep
from forked import needs_fork
from helpers import THREE_FRAMES, compose_config, gallery_data, render_config

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
