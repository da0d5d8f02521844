"""The crew of a cluster: turns a film into tasks, and writes what comes back into the folder of the run.

The plan says all of a film, so a worker needs nothing else: it loads the network once, and makes whatever segments it is given. What
comes back is written under the names that this process would have given it, and joined here.
"""

from __future__ import annotations

import re
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
from forgetting.input_files import located
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
    sent: dict[str, Any] = field(default_factory=dict)  # what stands for the bytes of a file, by its name
    lock: Lock = field(default_factory=Lock)
    segments: int = 0  # made by now, of all films
    frames: int = 0
    begun: float = field(default_factory=time.monotonic)

    def told(self) -> str:
        """How it is going: nodes, segments, frames a second."""
        nodes, rate = self.queue.nodes, self.frames / max(time.monotonic() - self.begun, 1e-3)
        return f"on {nodes} node{'s' if nodes != 1 else ''}, {self.segments} segments made, {rate:.1f} frames/s"

    def tell(self, batch: Sequence[range]) -> None:
        """That these are made."""
        with self.lock:
            self.segments, self.frames = self.segments + len(batch), self.frames + sum(map(len, batch))

    def __call__(self, config: Mapping[str, Any], known: Plan | None) -> There:
        with self.lock:
            self.films += 1
            turn, files = self.films, Files.of(config)
            for name in files.names:
                if name not in self.sent:
                    self.sent[name] = self.queue.team.shared(located(name).read_bytes())
            blobs = [self.sent[name] for name in files.names]
        arguments = [dict(config), None if known is None else packed(known), files.names, *blobs]
        (task,) = self.queue.submit([Task(f"film {turn}", turn, "prepare", arguments)])
        data, follows = task.future.result()
        return There(self, turn, unpacked(data), follows, files, blobs)


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
            return Task(f"film {self.turn}", self.turn, "segments", arguments, lambda made: keep(made, reel.folder))

        batches = _batches(segments, reel.film.segment)

        def made() -> Iterator[Sequence[range]]:
            if self.follows:  # one after the other: each begins with what the one before has left
                for batch in batches:
                    self.crew.queue.submit([task(batch)])[0].future.result()
                    yield batch
                return
            tasks = {one.future: batch for one, batch in zip(self.crew.queue.submit(map(task, batches)), batches, strict=True)}
            try:
                for future in as_completed(tasks):
                    future.result()
                    yield tasks[future]
            finally:
                for future in tasks:  # of a film that has failed nothing more is needed
                    future.cancel()

        def frames() -> Iterator[int]:
            for batch in made():
                self.crew.tell(batch)
                yield from (frame for segment in batch for frame in segment)

        for _ in track(frames(), lambda: f"filming {self.crew.told()}", sum(map(len, segments))):
            pass

    def measure(self, plan: Plan, how: Measuring, folder: Path, **told: Any) -> None:
        arguments = [packed(plan), how, told, self.files.names, *self.blobs]
        task = Task(f"film {self.turn}", self.turn, "measure", arguments, lambda made: keep(made, folder))
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


def _states(reel: Reel) -> dict[str, bytes]:
    """What the next segment begins with."""
    return {path.name: path.read_bytes() for path in sorted(reel.folder.glob("state-*"))[-1:]}


def keep(made: Mapping[str, bytes], folder: Path) -> None:
    """Write what came back; segments last, for where one is all that belongs to it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in sorted(made.items(), key=lambda one: bool(re.match(r"\d+-", one[0]))):
        with cache.whole(folder / Path(name).name) as piece:
            piece.write_bytes(data)
