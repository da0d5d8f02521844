"""Plan -> film: the only file that runs a network over time.

The way of one frame: its row of the plan goes to the engine, bytes come back and go to the encoder of the segment they
belong to, in a thread of its own, while the next frame is made. A frame never looks at another, so any frame can be
had alone, and segments can be made in any order and on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators.removal import Operator
from forgetting.ablation.plan import Plan
from forgetting.engines.engine import Engine, EngineInfo, Frame, Rendered
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film.compositor import Compositor
from forgetting.film.images import fit
from forgetting.film.segments import SegmentStore
from forgetting.film.writer_thread import consume_in_thread
from forgetting.models.activity import Activity
from forgetting.models.generator import Generator
from forgetting.progress import track


def plan_frames(engine: Engine, plan: Plan, indices: Iterable[int]) -> Iterator[Frame]:
    """The frames [H, W, 3] of those indices, in order."""
    return engine(plan.row(index) for index in indices)


RECORDING_STEP = 12
"""Frames from one at which the listener is asked to the next: half a second."""


class FrameSource(Protocol):
    """Everything that makes finished frames."""

    @property
    def layout(self) -> Compositor: ...
    @property
    def engine(self) -> EngineInfo: ...
    @property
    def sequential(self) -> bool:
        """Whether frames follow from the frames before them, so that no part of the film can be made alone."""
        ...

    def ready(self, plan: Plan, folder: Path | None) -> FrameSource:
        """The same for a plan that was made before; what it needs to go on with after an interruption it may keep in ``folder``."""
        ...

    def shots(self, indices: Sequence[int]) -> Iterator[Rendered]:
        """The pictures of those frames, in order, and what the cells of the map say."""
        ...

    def compared(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Those frames as they come from the network, each with the picture that they are to be compared with."""
        ...


def composed_frames(stage: FrameSource, indices: Sequence[int]) -> Iterator[Frame]:
    """Those frames of the film, as they are written."""
    for index, shot in zip(indices, stage.shots(indices), strict=True):
        yield stage.layout.compose(index, *shot)


@dataclass(frozen=True)
class FaceFrames:
    """The stage of a face: an engine, what stands beside the face, and the faces of a film in which they change, by index and
    number of the person on a wall.

    A layout with a map has a ``listener``: the same engine with an ear, which is slower. It is asked at every ``EVERY``-th
    frame of the plan; what units say changes slowly, and between two such frames it goes evenly.
    """

    engine: Engine
    layout: Compositor
    faces: Callable[[int, int], Tensor] | None = None
    listener: Engine | None = None

    @property
    def sequential(self) -> bool:
        return False

    def ready(self, plan: Plan, folder: Path | None) -> FaceFrames:
        return replace(self, layout=replace(self.layout, plan=plan))

    @property
    def people(self) -> int:
        columns, rows = self.layout.film.grid_size
        return columns * rows

    def shots(self, indices: Sequence[int]) -> Iterator[Rendered]:
        """The pictures of those frames, in order, and what the cells of the map say; a wall is one picture."""
        made, asked = self._run(self.engine, indices), dict[int, Activity]()
        for index in indices:
            picture = self._hung(made)
            yield (
                picture,
                None if self.listener is None else self._levels(self.listener, index, asked),
            )

    def compared(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Those frames as the network paints them, each with the picture that would be there if nothing were gone."""
        intact = torch.zeros_like(self.layout.plan.row(0))
        if self.faces is None:
            whole = self._hung(self.engine.shots([intact]))
            for index, (picture, _) in zip(indices, self._run(self.engine, indices), strict=True):
                yield index, picture, whole
            return
        for index in indices:
            made = self._run(self.engine, [index]), self._run(self.engine, [index], intact)
            yield index, self._hung(made[0]), self._hung(made[1])

    def _run(
        self, engine: Engine, indices: Iterable[int], row: Tensor | None = None
    ) -> Iterator[Rendered]:
        """What an engine makes of those frames, or of this row instead of theirs, of one person after the other."""
        one, other = tee((index, person) for index in indices for person in range(self.people))
        faces = None if self.faces is None else (self.faces(*who) for who in one)
        return engine.shots(
            (self.layout.plan.row(index) if row is None else row for index, _ in other), faces
        )

    def _hung(self, made: Iterator[Rendered]) -> Frame:
        """The next picture; of several people, all of theirs as one."""
        pictures = [next(made)[0] for _ in range(self.people)]
        columns, _ = self.layout.film.grid_size
        return (
            pictures[0]
            if len(pictures) == 1
            else _wall(pictures, columns, self.layout.film.panel(*self.layout.size))
        )

    def _levels(self, listener: Engine, index: int, asked: dict[int, Activity]) -> Activity:
        """What the cells say at a frame; ``asked`` are the frames at which the listener was asked lately."""
        before = index // RECORDING_STEP * RECORDING_STEP
        after = min(before + RECORDING_STEP, len(self.layout.plan) - 1)
        for old in [at for at in asked if at not in (before, after)]:
            del asked[old]
        for at in (before, after):
            if at not in asked:
                found = [levels for _, levels in self._run(listener, [at]) if levels is not None]
                asked[at] = np.mean(found, axis=0, dtype=np.float32)
        share = np.float32((index - before) / max(after - before, 1))
        return (1 - share) * asked[before] + share * asked[after]


def _wall(pictures: Sequence[Frame], columns: int, panel: tuple[int, int]) -> Frame:
    """The pictures of several people as one, row after row."""
    rows = len(pictures) // columns
    down, across = (
        np.linspace(0, size, n + 1).round().astype(int)
        for size, n in zip(panel, (rows, columns), strict=True)
    )
    wall = np.zeros((*panel, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        place = slice(down[row], down[row + 1]), slice(across[column], across[column + 1])
        wall[place] = fit(picture, wall[place].shape[:2])
    return wall


def render_segments(
    stage: FrameSource, store: SegmentStore, segments: Sequence[range], since: float
) -> None:
    """Make those segments of a film; ``since`` is when work on them began, on the clock of ``time.monotonic``."""
    indices = [store.film.indices[position] for segment in segments for position in segment]

    def write(arriving: Iterator[Rendered]) -> None:
        # Composed here, beside the network and not in its way.
        finished = (
            stage.layout.compose(index, *shot)
            for index, shot in zip(indices, arriving, strict=False)
        )
        for segment in segments:  # who is killed has told of all that is not lost
            store.write(
                segment, finished, lambda: store.spend(segments[0], time.monotonic() - since)
            )

    consume_in_thread(track(stage.shots(indices), "filming", len(indices)), write)


def frames(
    generator: Generator,
    ws: Tensor,
    plan: Plan,
    operator: Operator | Sequence[Operator],
    indices: Iterable[int] | None = None,
    engine: Engine | None = None,
) -> Iterator[Frame]:
    """The frames of a plan for the one face ``ws`` [1, L, W], all of them or those of ``indices``, one at a time.

    A plan of several tracks wants an operator for each. Without an ``engine`` the reference runs them: torch in float32 on
    the CPU.
    """
    if len(ws) != 1:
        raise RequestError(f"a film shows one face, got ws for {len(ws)}")
    plan.check(generator)
    operators = operator if isinstance(operator, Sequence) else [operator]
    if len(operators) != len(plan.tracks):
        raise RequestError(
            f"the plan has {len(plan.tracks)} tracks, and there are {len(operators)} operators; give one for each"
        )
    targets = tuple(
        Target(one, track.units) for one, track in zip(operators, plan.tracks, strict=True)
    )
    engine = engine or TorchConfig().start(AblationTask(generator, ws, targets))
    return plan_frames(engine, plan, range(len(plan)) if indices is None else indices)
