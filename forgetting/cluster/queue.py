"""Who does what next: the tasks of all films in one queue, and workers that come and go.

Nothing here knows of any engine. A *team* says which seats there are now, gives tasks to workers, and tells what became of them; the queue
sees to it that every task is done once, that nobody idles while anything can be done, and that what is lost is done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from forgetting.errors import ForgettingError, Interrupted

log = logging.getLogger(__name__)

AHEAD = 2
"""Tasks that a worker holds: the one it is at, and one that it goes on with while the first is fetched."""

ATTEMPTS = 4
"""How often a task may be lost with its worker before it is taken for the reason."""


REST = 1.0
"""Seconds that a node gets no work after it lost a worker, twice as many every time until it has done some: of one that is gone nobody
knows it at first, and it would lose everything it is given."""


@dataclass(eq=False)
class Task:
    """A call of a worker's ``method``, and what becomes of it; ``film`` is whose it is, ``turn`` who goes first.

    ``taken`` is called with what it gave before the future is told, one task at a time.
    """

    film: str
    turn: int
    method: str
    arguments: Sequence[Any]
    taken: Callable[[Any], Any] = lambda made: made
    future: Future[Any] = field(default_factory=Future)
    lost: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a task: what it ``made``, or the ``error`` it failed with, or neither where it was lost with its worker.

    A worker that is ``done`` for gets no other.
    """

    task: Task
    made: Any = None
    error: Exception | None = None
    lost: bool = False


class Team(Protocol):
    def seats(self) -> Mapping[str, str]:
        """The workers that there are or could be now, each with the name of its node."""
        ...

    def give(self, worker: str, task: Task) -> None:
        """Let a worker do it, who begins to exist where it does not."""
        ...

    def outcomes(self, seconds: float) -> Sequence[tuple[str, Outcome]]:
        """What workers have done by now; waits for it, though no longer than that."""
        ...

    def shared(self, data: bytes) -> Any:
        """What stands for data that many tasks are given."""
        ...

    def dismiss(self, workers: Iterable[str]) -> None:
        """End them, whatever they are at."""
        ...

    def close(self) -> None:
        """No more work is to come."""
        ...


class Full(ForgettingError):
    """The disk of a worker's node is full."""


class Queue:
    """Gives tasks to a team until it is closed, in a thread of its own."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.waiting: deque[Task] = deque()
        self.given: dict[str, list[Task]] = {}  # worker -> what it holds, in order
        self.films: dict[str, str] = {}  # worker -> whose it did last, which it still has at hand
        self.full: set[str] = set()  # nodes that no work is given to
        self.resting: dict[str, tuple[float, float]] = {}  # node -> until when, and for how long
        self.changed = threading.Condition()
        self.closed: Exception | None = None  # why
        self.thread = threading.Thread(target=self._run, name="giving out work", daemon=True)
        self.thread.start()

    def submit(self, tasks: Iterable[Task]) -> list[Task]:
        """Let them be done."""
        tasks = list(tasks)
        with self.changed:
            if self.closed is None:
                self.waiting.extend(tasks)
                self.changed.notify()
                return tasks
        for task in tasks:
            task.future.set_exception(self.closed)
        return tasks

    def close(self) -> None:
        """End it, whatever anybody is at."""
        with self.changed:
            self.closed = self.closed or Interrupted("interrupted; what is finished is kept")
            self.changed.notify()
        self.thread.join()

    @property
    def nodes(self) -> int:
        """How many nodes are at work."""
        seats = self.team.seats()
        return len({seats[worker] for worker in self.given if worker in seats})

    def _run(self) -> None:
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(
                        lambda: self.closed or self.waiting or any(self.given.values())
                    )
                    if self.closed:
                        return
                self._give(self.team.seats())
                for worker, outcome in self.team.outcomes(0.2):
                    self._told(worker, outcome)
        except Exception as error:  # of the engine: nobody may wait for ever
            self.closed = error
        finally:
            with self.changed:
                for task in [
                    *self.waiting,
                    *(task for held in self.given.values() for task in held),
                ]:
                    if not task.future.cancelled():
                        task.future.set_exception(self.closed)
            self.team.dismiss(list(self.given))
            self.team.close()

    def _give(self, seats: Mapping[str, str]) -> None:
        """Give what waits to whoever holds least."""
        gone = [worker for worker in self.given if worker not in seats]
        for worker in gone:  # its node has left
            self.films.pop(worker, None)
            for lost in self.given.pop(worker):
                self._again(lost, False)
        self.team.dismiss(gone)
        for held in range(AHEAD):
            for worker, node in seats.items():
                idle = (
                    node not in self.full
                    and self.resting.get(node, (0.0, 0.0))[0] < time.monotonic()
                )
                if (
                    idle
                    and len(self.given.get(worker, ())) == held
                    and (task := self._next(worker))
                ):
                    self.given.setdefault(worker, []).append(task)
                    self.films[worker] = task.film
                    self.team.give(worker, task)

    def _next(self, worker: str) -> Task | None:
        """What a worker should do next: of the film that it has at hand; else of one that few others have, for to make a film ready costs
        as much as many frames; else of the one that was asked for first."""
        with self.changed:
            self.waiting = deque(
                task for task in self.waiting if not task.future.cancelled()
            )  # its film has failed
            if not self.waiting:
                return None
            mine, having = self.films.get(worker), Counter(self.films.values())
            task = min(
                self.waiting, key=lambda task: (task.film != mine, having[task.film], task.turn)
            )
            self.waiting.remove(task)
            return task

    def _told(self, worker: str, outcome: Outcome) -> None:
        task, node = outcome.task, self.team.seats().get(worker, "")
        if task not in self.given.get(worker, ()):
            return  # it was given to somebody else meanwhile
        if outcome.lost:
            self.films.pop(worker, None)
            seconds = self.resting.get(node, (0.0, REST / 2))[1] * 2
            self.resting[node] = (time.monotonic() + seconds, seconds)
            for held in reversed(self.given.pop(worker)):
                self._again(held, held is task)
            return
        self.given[worker].remove(task)
        self.resting.pop(node, None)
        if task.future.cancelled():
            return
        if isinstance(outcome.error, Full):
            self.full.add(node)
            log.info("%s", f"{outcome.error}; no more work is given to it")
            if not any(node not in self.full for node in self.team.seats().values()):
                task.future.set_exception(outcome.error)
            else:
                self._again(task, False)
        elif outcome.error is not None:
            task.future.set_exception(outcome.error)
        else:
            try:
                task.future.set_result(task.taken(outcome.made))
            except Exception as error:
                task.future.set_exception(error)

    def _again(self, task: Task, suspect: bool) -> None:
        """Put a task that was lost in front of the others; one that was being done may be the reason."""
        task.lost += suspect
        if task.lost >= ATTEMPTS:
            task.future.set_exception(
                ForgettingError(
                    f"{task.method} was lost {task.lost} times with whoever did it; have a look at the cluster's logs"
                )
            )
            return
        log.info(
            "%s", "somebody was lost in the middle of their work; what they held is done again"
        )
        with self.changed:
            self.waiting.appendleft(task)
