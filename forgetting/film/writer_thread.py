"""A thread that writes, beside the thread that renders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Thread
from typing import TypeVar

import torch

T = TypeVar("T")

GRACE_SECONDS = 0.7
"""How long the writing thread may clean up after an interruption."""


class _StoppedError(Exception):
    """Raised in the writing thread when rendering has failed."""


def consume_in_thread(
    items: Iterable[T], consume: Callable[[Iterator[T]], None], depth: int = 8
) -> None:
    """Iterate over ``items`` here, and call ``consume`` on them in a thread of its own.

    What either side raises is raised here, and ends the other side. Torch runs in a single thread
    there: the network takes the other processors, and threads that wait for each other on busy
    processors take many times as long.

    Args:
        items: for example rendered frames.
        consume: gets an iterator over the items; need not exhaust it.
        depth: the most items that wait between the two threads.
    """
    queue: Queue[tuple[T] | None] = Queue(depth)
    stopped: list[bool] = []
    errors: list[Exception] = []

    def arriving() -> Iterator[T]:
        while (item := queue.get()) is not None:
            if stopped:
                raise _StoppedError
            yield item[0]
        if stopped:
            raise _StoppedError

    threads = torch.get_num_threads()

    def work() -> None:
        torch.set_num_threads(1)  # of this thread, and of those that are made later
        try:
            consume(arriving())
        except _StoppedError:
            pass
        except Exception as error:
            errors.append(error)
        finally:
            torch.set_num_threads(threads)

    thread = Thread(target=work, name="writing", daemon=True)
    thread.start()

    def put(item: tuple[T] | None) -> None:
        while thread.is_alive():
            try:
                return queue.put(item, timeout=0.1)
            except Full:
                continue

    try:
        for item in items:
            put((item,))
            if errors:
                break
        put(None)
    except BaseException:
        stopped.append(True)
        # The writing thread may be busy, and the queue full: nothing of it is needed any more.
        with suppress(Empty):
            while True:
                queue.get_nowait()
        with suppress(Full):
            queue.put_nowait(None)
        thread.join(GRACE_SECONDS)
        raise
    thread.join()
    if errors:
        raise errors[0]
