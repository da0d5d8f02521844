"""Plan -> film: the only file that runs a network over time.

The way of one frame: its row of the plan goes to the engine, bytes come back and go to the encoder of the segment they
belong to, in a thread of its own, while the next frame is made. A frame never looks at another, so any frame can be
had alone, and segments can be made in any order and on any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee

from torch import Tensor

from forgetting.engines import Engine, Frame, Shot
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError
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


def composed(engine: Engine, layout: Layout, indices: Iterable[int]) -> Iterator[Frame]:
    """The finished frames of those indices: with what stands beside the face, on the film's canvas."""
    now, then = tee(indices)
    for index, (frame, levels) in zip(now, engine.shots(layout.plan.row(index) for index in then), strict=False):
        yield layout.compose(index, frame, levels)


def shoot(engine: Engine, layout: Layout, reel: Reel, segments: Sequence[range]) -> None:
    """Make those segments of a film."""
    indices = [reel.film.indices[position] for segment in segments for position in segment]

    def write(arriving: Iterator[Shot]) -> None:
        # Composed here, beside the network and not in its way.
        finished = (layout.compose(index, *shot) for index, shot in zip(indices, arriving, strict=False))
        for segment in segments:
            reel.write(segment, finished)

    shots = engine.shots(layout.plan.row(index) for index in indices)
    alongside(track(shots, "filming", len(indices)), write)


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
