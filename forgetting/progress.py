"""Progress of long work.

The library calls :func:`track` around its loops and knows nothing of terminals; the command line
sets :data:`display`. Nothing is displayed unless somebody sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

Description = str | Callable[[], str]
"""What is being done; where that changes, a function that returns what it is now."""


def _silent(items: Iterable[T], what: Description, total: int | None) -> Iterable[T]:
    return items


display: ContextVar[Callable[..., Iterable]] = ContextVar("display", default=_silent)  # type: ignore[type-arg]


def track(items: Iterable[T], what: Description, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` while the display, if there is one, shows progress.

    Args:
        items: what is iterated over.
        what: is being done.
        total: number of items, if it is known.
    """
    yield from display.get()(items, what, total)


def duration(seconds: float) -> str:
    """Return a length of time in one unit or two: ``40 s``, ``5 min``, ``2 h 10 min``.

    >>> duration(7800)
    '2 h 10 min'
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")
