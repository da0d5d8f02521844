"""What a film shows depends on no clock: it would depend on what else runs on the machine."""

import ast

import pytest

from helpers import ROOT

READS_A_CLOCK = {
    "film/forecast.py": "says how long a long film will take",
    "film/folder_lock.py": "stops waiting for a lock",
    "film/render.py": "writes how long a film took into its summary",
    "jobs/new_folders.py": "names the folder of a run",
    "jobs/ray/executor.py": "says how long a film will take",
    "jobs/ray/worker.py": "says how long a segment took",
    "jobs/run.py": "says how long a film took",
    "jobs/sweep.py": "says when a run failed",
    "result_cache.py": "removes what nobody used for the longest time",
}
"""Module -> what it needs a clock for; none of it reaches a frame.

The command line is not listed: it says how long things take.
"""

CLOCKS = {"time", "datetime", "timeit", "profile", "cProfile", "sched"}
"""Modules of Python that hold clocks."""

STOPWATCHES = {"benchmark", "enable_timing", "elapsed_time", "max_autotune", "do_bench", "Timer"}
"""Names by which torch times alternatives and takes the fastest."""


def modules():
    package = ROOT / "forgetting"
    return [(path.relative_to(package).as_posix(), path) for path in package.rglob("*.py")]


def clocks_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in CLOCKS)
        elif isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            yield node.module


def stopwatches_of(tree):
    """The names that torch's stopwatches go by, where they are not switched off."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in STOPWATCHES:
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield node.arg
        elif isinstance(node, ast.Attribute) and node.attr in STOPWATCHES:
            yield node.attr


def test_only_named_modules_read_a_clock():
    reading = {name for name, path in modules() if [*clocks_of(ast.parse(path.read_text()))]}
    assert {name for name in reading if not name.startswith("cli/")} == set(READS_A_CLOCK)


def test_nothing_is_chosen_by_a_stopwatch_of_torch():
    timing = {name: [*stopwatches_of(ast.parse(path.read_text()))] for name, path in modules()}
    assert {name: names for name, names in timing.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from time import perf_counter",
        "import datetime as d",
        "def f():\n    import timeit",
    ],
)
def test_a_clock_is_seen(source):
    assert [*clocks_of(ast.parse(source))]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("torch.backends.cudnn.benchmark = True", True),
        ("cudnn.flags(benchmark=old)", True),
        ("cudnn.flags(benchmark=False)", False),
        ("torch.cuda.Event(enable_timing=True)", True),
    ],
)
def test_a_stopwatch_is_seen(source, seen):
    assert bool([*stopwatches_of(ast.parse(source))]) == seen
