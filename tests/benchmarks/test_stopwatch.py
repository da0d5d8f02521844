"""Benchmarks say how busy the machine was, and read no clock that jumps."""

import ast
import subprocess
import sys
import time

import pytest

from helpers import ROOT
from stopwatch import Lap, MachineTime, Stopwatch, other_work, other_work_line

STAT = "cpu  4000 100 800 90000 500 20 80 300 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"


@pytest.fixture
def ticks(monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_CLK_TCK": 100}.get)


def test_machine_time_is_read_from_the_first_line(tmp_path, ticks):
    (tmp_path / "stat").write_text(STAT)
    assert MachineTime.read(tmp_path / "stat") == MachineTime(50, 3, 905)


@pytest.mark.parametrize(
    "text",
    ["", "cpu 1 2 3\n", "cpu a b c d e f g h\n", "cpu  0 0 0 0 0 0 0 0\n", "intr 1 2\n", None],
)
def test_machine_time_that_is_not_listed(tmp_path, ticks, text):
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert MachineTime.read(tmp_path / "stat") is None


def lap(processor, busy, stolen=0.0, idle=0.0):
    return Lap(1.0, processor, MachineTime(busy, stolen, idle))


def test_others_took_what_the_processors_did_beyond_what_is_timed():
    assert other_work([lap(1.5, 1.75, 0.1, 0.15)]) == pytest.approx((0.125, 0.05))
    # Ticks are coarse: short laps may seem busier themselves than the machine.
    assert other_work([lap(1.01, 1.0, 0, 1)]) == (0, 0)


def test_other_work_of_all_rounds_and_of_the_busiest():
    rounds = [[lap(1, 1, 0, 1), lap(2, 2)], [lap(1, 1.5, 0.5), lap(1, 1, 0, 1)]]
    assert other_work_line(rounds) == (
        "Other processes took 6% (at most 12% in a round) of the processors' time, "
        "and the hypervisor 6% (at most 12% in a round)."
    )


def test_other_work_that_is_not_listed():
    assert other_work_line([[Lap(1, 1, None)]]).startswith("How busy the machine was is not known")
    assert other_work_line([]).startswith("How busy the machine was is not known")


def test_a_lap_counts_this_process_and_its_children_as_its_own():
    work = "import time; start = time.process_time()\nwhile time.process_time() < start + 0.3: pass"
    watch = Stopwatch()
    subprocess.run([sys.executable, "-c", work], check=True)
    exec(work)
    lap = watch.lap()
    assert lap.processor_seconds >= 0.6
    assert lap.seconds >= 0.6
    if lap.machine is not None:
        assert lap.machine.busy >= 0.5  # in ticks


def test_a_clock_that_is_set_back_changes_no_lap(monkeypatch):
    watch = Stopwatch()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert watch.lap().seconds > 0


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_only_the_stopwatch_reads_clocks_and_none_that_jumps(path):
    """Scripts time everything with it, so none of them can time otherwise."""
    clocks = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit", "datetime"):
            clocks |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            clocks |= {alias.name for alias in node.names} & {"timeit", "datetime"}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time":
            clocks.add(node.attr)
    assert clocks == ({"perf_counter"} if path.name == "stopwatch.py" else set())
