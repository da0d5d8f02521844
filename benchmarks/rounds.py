"""Rows of a table, timed in interleaved rounds, each in a process of its own.

The processes are started and warmed up one after another, and then compute one at a time. In every
round each row is timed once. The order of a round is drawn, and every second round runs the order
of the round before backwards, so that each of two rows comes first equally often, and a machine
that drifts slows all rows alike. What the timings say is decided in :mod:`paired_ratios`.
"""

from __future__ import annotations

import multiprocessing
import platform
import random
import resource
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol, TypeVar

from forgetting.engines.allocator import keep_memory
from paired_ratios import MIN_ROUNDS, Spread, ratio_text
from stopwatch import Lap, Stopwatch, other_work_line

T = TypeVar("T")

ROUNDS = 5
"""How often every row is timed, if the command line does not say otherwise."""


def add_rounds(parser: ArgumentParser) -> None:
    """Add the option ``--rounds`` to a benchmark's command line."""
    text = f"how often every row is timed; ratios need {MIN_ROUNDS}"
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, choices=range(1, 1001), metavar="N", help=text
    )


class Row(Protocol):
    """A row of a table: something that computes pictures."""

    @property
    def count(self) -> int:
        """The number of pictures that one call computes."""
        ...

    def start(self) -> Callable[[], object]:
        """Load everything and warm up; return the function that is timed.

        What it returns in the last round comes back in ``Timings.result``, so it can be pickled.
        """
        ...


@dataclass(frozen=True)
class Timings:
    """What was measured of a row.

    Args:
        laps: one for every round.
        count: the number of pictures in each.
        peak_memory: the most bytes that the row's process used.
        result: what the row computed in the last round.
    """

    laps: Sequence[Lap]
    count: int
    peak_memory: int
    result: Any

    @property
    def seconds(self) -> list[float]:
        """The seconds of a picture in every round."""
        return [lap.seconds / self.count for lap in self.laps]

    @property
    def processor_seconds(self) -> list[float]:
        """The seconds of a picture in every round, of all threads together."""
        return [lap.processor_seconds / self.count for lap in self.laps]

    @property
    def spread(self) -> Spread:
        """The median of ``seconds`` and their spread."""
        return Spread.of(self.seconds)


def interleave(
    tasks: Mapping[str, Callable[[], T]], rounds: int, seed: int = 0
) -> dict[str, list[T]]:
    """Run all tasks in every round.

    Args:
        tasks: by name.
        rounds: how often each is run.
        seed: draws the order.

    Returns:
        What every task returned, round by round.
    """
    results: dict[str, list[T]] = {name: [] for name in tasks}
    order, draws = [*tasks], random.Random(seed)
    for number in range(rounds):
        if number % 2:
            order.reverse()
        else:
            draws.shuffle(order)
        for done, name in enumerate(order):
            _show(f"round {number + 1} of {rounds}, {done + 1} of {len(order)}: {name}")
            results[name].append(tasks[name]())
    _show("")
    return results


def time_rows(rows: Mapping[str, Row], rounds: int, seed: int = 0) -> dict[str, Timings]:
    """Time all rows, each in a process of its own; return what was measured by their names.

    Args:
        rows: by name.
        rounds: how often each is timed.
        seed: draws the order.
    """
    with ExitStack() as stack:
        processes = dict[str, _RowProcess]()
        for name, row in rows.items():
            _show(f"starting {name}")
            processes[name] = _RowProcess(name, row)
            stack.callback(processes[name].stop)
            processes[name].receive()  # the next row starts when this one is warm
        laps = interleave({name: process.time for name, process in processes.items()}, rounds, seed)
        return {
            name: Timings(laps[name], rows[name].count, *process.finish())
            for name, process in processes.items()
        }


class _RowProcess:
    """The process of a row, seen from that of the benchmark."""

    def __init__(self, name: str, row: Row) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.name = name
        self.link, far_end = spawn.Pipe()
        self.process = spawn.Process(target=_run_row, args=(row, far_end), daemon=True)
        self.process.start()
        far_end.close()  # so that a process that ends is noticed

    def time(self) -> Lap:
        """Let the row compute, and return how long that took."""
        self.link.send(True)
        lap: Lap = self.receive()
        return lap

    def finish(self) -> tuple[int, Any]:
        """Return the peak memory and the last result."""
        self.link.send(False)
        memory, result = self.receive()
        return memory, result

    def receive(self) -> Any:
        """Wait for what the process sends.

        Raises:
            RuntimeError: it ended instead.
        """
        try:
            return self.link.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            raise RuntimeError(f"the process of the row {self.name!r} ended with {code}") from None

    def stop(self) -> None:
        """End the process."""
        self.link.close()
        self.process.terminate()
        self.process.join()


def _run_row(row: Row, link: Connection) -> None:
    """Run in the process of a row: start it, then time it whenever that is asked for."""
    keep_memory()
    compute, result = row.start(), None
    link.send(None)
    while link.recv():
        watch = Stopwatch()
        result = compute()
        link.send(watch.lap())
    link.send((peak_memory(), result))


def peak_memory() -> int:
    """Return the most bytes that this process has used.

    On Linux ``getrusage`` includes what the parent had used before.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def laps_of_rounds(timings: Mapping[str, Timings]) -> list[tuple[Lap, ...]]:
    """Return the laps of all rows in each round."""
    return [*zip(*(row.laps for row in timings.values()), strict=True)]


def busy_line(timings: Mapping[str, Timings]) -> str:
    """Return a line that says how busy the machine was with other work during the rounds."""
    return other_work_line(laps_of_rounds(timings))


def times_as_fast(base: Timings, row: Timings) -> str:
    """Return how many times as fast as ``base`` a row is, as a table shows it."""
    return "1" if row is base else ratio_text(base.seconds, row.seconds)


def print_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    for first, *others in (heads, *lines):
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        print("   ".join([f"{first:{widths[0]}}", *cells]), flush=True)


def _show(progress: str) -> None:
    """Show on a terminal what is done at the moment."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)
