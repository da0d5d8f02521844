"""Making and writing side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import Full, Queue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 0.7
"""Seconds that the writing thread gets to tidy up after an interruption."""


class _Stopped(Exception):
    """Thrown where items are taken once the making has failed."""


def consume_in_thread(
    items: Iterable[T], consume: Callable[[Iterator[T]], None], depth: int = 8
) -> None:
    """Call ``consume`` in a thread of its own on what ``items`` yields here, at most ``depth`` items behind.

    Whatever either side raises is raised here, and ends the other.
    """
    waiting: Queue[tuple[T] | None] = Queue(depth)
    stopped: list[bool] = []
    failed: list[Exception] = []

    def arriving() -> Iterator[T]:
        while (item := waiting.get()) is not None:
            if stopped:
                raise _Stopped
            yield item[0]
        if stopped:
            raise _Stopped

    def work() -> None:
        try:
            consume(arriving())
        except _Stopped:
            pass
        except Exception as error:
            failed.append(error)

    thread = Thread(target=work, name="writing", daemon=True)
    thread.start()

    def put(item: tuple[T] | None) -> None:
        while thread.is_alive():
            try:
                return waiting.put(item, timeout=0.1)
            except Full:
                continue

    try:
        for item in items:
            put((item,))
            if failed:
                break
        put(None)
    except BaseException:
        stopped.append(True)
        put(None)
        thread.join(PATIENCE)
        raise
    thread.join()
    if failed:
        raise failed[0]
