"""Plan -> frames: the only file that runs a network over time.

The way of one frame: a row of the plan goes to the engine, and bytes come back. A frame never looks at another, so any
frame can be had alone and equals the same frame of the film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from forgetting.engines import Engine, Frame
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError
from forgetting.generators import Generator
from forgetting.operators import Operator
from forgetting.plan import Plan


def renderer(engine: Engine, plan: Plan) -> Callable[[int], Frame]:
    """The function from a frame's index to the frame [H, W, 3]."""

    def frame(index: int) -> Frame:
        if not 0 <= index < len(plan):
            raise RequestError(f"there is no frame {index}; the plan has frames 0-{len(plan) - 1}")
        return engine(plan.ablation[index])

    return frame


def frames(
    generator: Generator,
    ws: Tensor,
    plan: Plan,
    operator: Operator,
    indices: Iterable[int] | None = None,
    engine: Engine | None = None,
) -> Iterator[Frame]:
    """The frames of a plan for the one face ``ws`` [1, L, W], all of them or those of ``indices``, one at a time.

    Without an ``engine`` the reference runs them: torch in float32.
    """
    if len(ws) != 1:
        raise RequestError(f"a film shows one face, got ws for {len(ws)}")
    plan.check(generator)
    frame = renderer(engine or Torch().start(generator, ws, operator), plan)
    return map(frame, range(len(plan)) if indices is None else indices)
