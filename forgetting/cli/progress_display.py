"""How progress is shown: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from forgetting.printable import printable
from forgetting.progress import Description, duration

T = TypeVar("T")

LINE_SECONDS = 60.0
"""Seconds between two lines of progress."""


def hide(items: Iterable[T], what: Description, total: int | None) -> Iterator[T]:
    """Iterate without showing anything."""
    yield from items


def show_bar(
    console: Console, items: Iterable[T], what: Description, total: int | None
) -> Iterator[T]:
    """Iterate under a progress bar."""

    def describe() -> str:
        return printable(what() if callable(what) else what)

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(describe(), total=total)
        for item in items:
            yield item
            bar.update(task, advance=1, description=describe())


def print_lines(
    say: Callable[[str], None], items: Iterable[T], what: Description, total: int | None
) -> Iterator[T]:
    """Iterate and say a line at the start, then one a minute: share, rate and time left."""

    def describe() -> str:
        return printable(what() if callable(what) else what)

    say(f"{describe()} ...")
    started = printed = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - printed >= LINE_SECONDS:
            printed = now
            say(f"{describe()}: {_share(count, total, now - started)}")


def _share(count: int, total: int | None, seconds: float) -> str:
    """Return ``120 of 720 (17 %), 2.0/s, 5 min left``."""
    rate = count / max(seconds, 1e-9)
    shown = f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"
    if total is None:
        return f"{count}, {shown}"
    left = (total - count) / max(rate, 1e-9)
    return f"{count} of {total} ({100 * count / total:.0f} %), {shown}, {duration(left)} left"
