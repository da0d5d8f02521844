"""Rows are timed in interleaved rounds, each in a process of its own."""

import itertools
import os
import time
from dataclasses import dataclass

import pytest

from rounds import Timings, busy_line, interleave, print_table, time_rows, times_as_fast
from stopwatch import Lap, MachineTime


def runs(rounds, seed=0, names="abcd"):
    """The order in which tasks run, round by round."""
    order = []
    interleave({name: lambda name=name: order.append(name) for name in names}, rounds, seed)
    return [order[k : k + len(names)] for k in range(0, len(order), len(names))]


def test_every_task_runs_once_in_every_round():
    assert all(sorted(order) == list("abcd") for order in runs(7))
    counter = itertools.count()
    results = interleave({name: lambda: next(counter) for name in "ab"}, 3)
    assert sorted(results["a"] + results["b"]) == list(range(6))
    assert [len(results[name]) for name in "ab"] == [3, 3]


def test_the_order_is_drawn_by_the_seed_and_every_second_round_is_reversed():
    assert runs(6) == runs(6) != runs(6, seed=1)
    orders = runs(6)
    assert orders[1::2] == [order[::-1] for order in orders[::2]]
    assert len({tuple(order) for order in runs(20)}) > 4


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_drift_slows_all_rows_alike(seed):
    """Every task takes the same work; the machine slows down by one unit with every task."""
    clock = itertools.count()
    times = interleave({name: lambda: next(clock) for name in "abcd"}, 4, seed)
    assert len({sum(times[name]) for name in times}) == 1


@dataclass(frozen=True)
class Sleeper:
    seconds: float
    count: int = 2

    def start(self):
        def sleep():
            time.sleep(self.seconds)
            return os.getpid(), os.getppid()

        return sleep


@dataclass(frozen=True)
class Broken:
    early: bool
    count: int = 1

    def start(self):
        if self.early:
            os._exit(7)
        return lambda: os._exit(7)


@pytest.mark.slow
def test_rows_run_in_processes_of_their_own():
    timings = time_rows({"short": Sleeper(0.02), "long": Sleeper(0.2)}, 4)
    short, long = timings["short"], timings["long"]
    assert len({os.getpid(), short.result[0], long.result[0]}) == 3
    assert short.result[1] == long.result[1] == os.getpid()
    assert len(short.laps) == len(long.laps) == 4
    assert min(long.seconds) >= 0.1 > 0.01 <= min(short.seconds)  # of one of two pictures
    assert max(long.processor_seconds) < 0.1
    assert short.peak_memory > 2**20
    assert times_as_fast(long, long) == "1"
    line = busy_line(timings)
    assert line.startswith(("Other processes took", "How busy the machine was is not known"))


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_a_row_whose_process_ends_is_named(early):
    with pytest.raises(RuntimeError, match="'broken' ended with 7"):
        time_rows({"whole": Sleeper(0), "broken": Broken(early)}, 1)


def timings(*seconds):
    return Timings([Lap(s, s, MachineTime(s, 0, s)) for s in seconds], 1, 0, None)


def test_rows_are_compared_within_their_rounds():
    base, row = timings(2, 4, 8, 2), timings(1, 2, 4, 1)
    assert times_as_fast(base, row) == "2.00 (2.00-2.00)"
    assert times_as_fast(row, base) == "0.50 (0.50-0.50)"
    assert times_as_fast(base, timings(4, 2, 2, 4)) == "not told apart"
    assert base.spread.median == 3


def test_tables_are_aligned(capsys):
    print_table(["row", "ms"], [["original", "208 (201-215)"], ["ours", "39"]])
    assert capsys.readouterr().out.splitlines() == [
        "row                   ms",
        "original   208 (201-215)",
        "ours                  39",
    ]
