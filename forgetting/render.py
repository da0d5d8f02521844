"""Plan -> film: the only file that runs a network over time.

The way of one frame: its row of the plan goes to the engine, bytes come back and go to the encoder of the segment they
belong to, in a thread of its own, while the next frame is made. A frame never looks at another, so any frame can be
had alone, and segments can be made in any order and on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee

import numpy as np
from torch import Tensor

from forgetting.engines import Engine, Frame, Shot
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError
from forgetting.film import fit
from forgetting.generators import Generator
from forgetting.layout import Layout
from forgetting.operators import Operator
from forgetting.pipeline import alongside
from forgetting.plan import Plan
from forgetting.progress import track
from forgetting.scene import Knob, Scene
from forgetting.segments import Reel


def pictures(engine: Engine, plan: Plan, indices: Iterable[int]) -> Iterator[Frame]:
    """The frames [H, W, 3] of those indices, in order."""
    return engine(plan.row(index) for index in indices)


@dataclass(frozen=True)
class Stage:
    """Everything that makes finished frames: an engine, what stands beside the face, and the faces of a film in which they
    change - or several people at once, ``wall`` [columns, rows] of them."""

    engine: Engine
    layout: Layout
    faces: Callable[[int, int], Tensor] | None = None  # index, number of the person

    def shots(self, indices: Sequence[int]) -> Iterator[Shot]:
        """What the engine makes of those frames, in order; a wall is one picture, and what its people say on average."""
        columns, rows = self.layout.film.wall_size
        people = columns * rows
        asked = ((index, person) for index in indices for person in range(people))
        one, other = tee(asked)
        faces = None if self.faces is None else (self.faces(*who) for who in one)
        made = self.engine.shots((self.layout.plan.row(index) for index, _ in other), faces)
        if people == 1:
            return made
        panel = self.layout.film.panel(*self.layout.size)
        return (_hung([next(made) for _ in range(people)], columns, panel) for _ in indices)

    def finished(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Those frames of the film, as they are written."""
        for index, shot in zip(indices, self.shots(indices), strict=True):
            yield self.layout.compose(index, *shot)


def _hung(shots: Sequence[Shot], columns: int, panel: tuple[int, int]) -> Shot:
    """The pictures of several people as one, row after row."""
    rows = len(shots) // columns
    down, across = (np.linspace(0, size, n + 1).round().astype(int) for size, n in zip(panel, (rows, columns), strict=True))
    wall = np.zeros((*panel, 3), np.uint8)
    for number, (picture, _) in enumerate(shots):
        row, column = divmod(number, columns)
        place = slice(down[row], down[row + 1]), slice(across[column], across[column + 1])
        wall[place] = fit(picture, wall[place].shape[:2])
    levels = [level for _, level in shots if level is not None]
    return wall, np.mean(levels, axis=0, dtype=np.float32) if levels else None


def shoot(stage: Stage, reel: Reel, segments: Sequence[range]) -> None:
    """Make those segments of a film."""
    indices = [reel.film.indices[position] for segment in segments for position in segment]

    def write(arriving: Iterator[Shot]) -> None:
        # Composed here, beside the network and not in its way.
        finished = (stage.layout.compose(index, *shot) for index, shot in zip(indices, arriving, strict=False))
        for segment in segments:
            reel.write(segment, finished)

    alongside(track(stage.shots(indices), "filming", len(indices)), write)


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
        raise RequestError(f"the plan has {len(plan.tracks)} tracks, and there are {len(operators)} operators; give one for each")
    knobs = tuple(Knob(one, track.units) for one, track in zip(operators, plan.tracks, strict=True))
    engine = engine or Torch().start(Scene(generator, ws, knobs))
    return pictures(engine, plan, range(len(plan)) if indices is None else indices)
