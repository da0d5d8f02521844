"""Progress of long work, told to whoever wants to show it.

The library calls :func:`track` around its loops and knows nothing of terminals; the command line sets
:data:`display`. Nothing is shown unless somebody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


Description = str | Callable[[], str]
"""What is going on; where it changes, a function that tells what it is now."""


def _silent(items: Iterable[T], what: Description, total: int | None) -> Iterable[T]:
    return items


display: ContextVar[Callable[..., Iterable]] = ContextVar("display", default=_silent)  # type: ignore[type-arg]


def track(items: Iterable[T], what: Description, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` while the display, if there is one, tells how ``what`` is going."""
    yield from display.get()(items, what, total)
