"""The crew of a cluster: turns a film into tasks, and writes what comes back into the folder of the run.

The plan says all of a film, so a worker needs nothing else: it loads the network once, and makes whatever segments it is given. What
comes back is written under the names that this process would have given it, and joined here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from forgetting import cache
from forgetting.cluster.painter import Files, packed, unpacked
from forgetting.cluster.queue import Queue, Task
from forgetting.measuring import Measuring
from forgetting.plan import Plan
from forgetting.progress import track
from forgetting.segments import Reel


@dataclass
class Hired:
    """The crew of a cluster; films are made in the order in which they are asked for."""

    queue: Queue
    shared: bool
    films: int = 0
    lock: Lock = field(default_factory=Lock)

    def __call__(self, config: Mapping[str, Any], known: Plan | None) -> There:
        with self.lock:
            self.films += 1
            turn = self.films
        files = Files.of(config)
        arguments = [dict(config), None if known is None else packed(known), files.names, *map(self.queue.team.shared, files.read())]
        (task,) = self.queue.submit([Task(f"film {turn}", turn, "prepare", arguments)])
        data, follows = task.future.result()
        return There(self, turn, unpacked(data), follows, files, arguments[3:])


@dataclass(frozen=True)
class There:
    """A film that a cluster is ready to make."""

    crew: Hired
    turn: int
    plan: Plan
    follows: bool
    files: Files
    blobs: Sequence[Any]

    def shoot(self, plan: Plan, reel: Reel, segments: Sequence[range], since: float) -> None:
        """Make those segments; each is written into the folder of the reel as it comes back."""
        data, folder = self.crew.queue.team.shared(packed(plan)), str(reel.folder.parent.parent.resolve()) if self.crew.shared else None

        def task(batch: Sequence[range]) -> Task:
            ranges = [(segment.start, segment.stop) for segment in batch]
            arguments = [data, ranges, _states(reel) if self.follows else {}, folder, self.files.names, *self.blobs]
            return Task(f"film {self.turn}", self.turn, "segments", arguments, lambda made: _keep(made, reel.folder))

        batches = _batches(segments, reel.film.segment)
        count, begun, made = len(batches), time.monotonic(), [0, 0]

        def frames() -> Iterator[None]:
            if self.follows:  # one after the other: each begins with what the one before has left
                for batch in batches:
                    self.crew.queue.submit([task(batch)])[0].future.result()
                    yield from _told(batch, made)
                return
            tasks = {one.future: batch for one, batch in zip(self.crew.queue.submit(map(task, batches)), batches, strict=True)}
            for future in as_completed(tasks):
                future.result()
                yield from _told(tasks[future], made)

        def what() -> str:
            rate = made[1] / max(time.monotonic() - begun, 1e-3)
            nodes = self.crew.queue.nodes
            return f"filming on {nodes} node{'s' if nodes != 1 else ''}, {made[0]} of {count} pieces, {rate:.1f} frames/s"

        for _ in track(frames(), what, sum(map(len, segments))):
            pass

    def measure(self, plan: Plan, how: Measuring, folder: Path, **told: Any) -> None:
        arguments = [packed(plan), how, told, self.files.names, *self.blobs]
        task = Task(f"film {self.turn}", self.turn, "measure", arguments, lambda made: _keep(made, folder))
        self.crew.queue.submit([task])[0].future.result()


def _batches(segments: Sequence[range], frames: int) -> list[list[range]]:
    """Segments in groups of so many frames at least: stills are segments of one frame, and a task for each would be too little."""
    found: list[list[range]] = []
    for segment in segments:
        if found and sum(map(len, found[-1])) < frames and found[-1][-1].stop == segment.start:
            found[-1].append(segment)
        else:
            found.append([segment])
    return found


def _told(batch: Sequence[range], made: list[int]) -> Iterator[None]:
    made[0] += 1
    for _ in range(sum(map(len, batch))):
        made[1] += 1
        yield None


def _states(reel: Reel) -> dict[str, bytes]:
    """What the next segment begins with."""
    return {path.name: path.read_bytes() for path in sorted(reel.folder.glob("state-*"))[-1:]}


def _keep(made: Mapping[str, bytes], folder: Path) -> None:
    """Write what came back."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        with cache.whole(folder / Path(name).name) as piece:
            piece.write_bytes(data)
