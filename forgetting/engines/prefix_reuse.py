"""Where a frame has to begin: prefix reuse, as a function of the row alone.

In films by layer most of the network is either intact or gone. What a layer says before it is damaged is then a
constant of the face, and a frame may begin there:

- a layer all of whose units are intact, or all gone, needs no row;
- where the dead say something that does not depend on what they heard, a layer that is all gone cuts off everything
  before it, whatever state that is in - unless a part of the picture goes past it.

No frame looks at another: two frames with the same row begin in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.models.generator import Chain, Edit, State, Synthesis


@dataclass(frozen=True)
class ResumePoint:
    """A frame begins at ``layer`` (its number), after layers of which ``gone`` are all gone and the others intact."""

    layer: int
    gone: frozenset[int] = frozenset()


def resume_point(rows: Sequence[Tensor], cuts: bool) -> ResumePoint:
    """Where the frame with these ``rows``, one [C] a layer, may begin.

    ``cuts`` says that a layer which is all gone cuts off what is before it.
    """
    if not any(bool(row.any()) for row in rows):
        return ResumePoint(
            0
        )  # nothing is damaged: a film has few such frames, and they are worth no graph of their own
    gone = [bool((row == 1).all()) for row in rows]
    cut = max((k for k, dead in enumerate(gone) if dead), default=0) if cuts else 0
    layer = cut
    while layer < len(rows) - 1 and (gone[layer] or not bool(rows[layer].any())):
        layer += 1
    return ResumePoint(layer, frozenset(k for k in range(cut, layer) if gone[k]))


def truncate_prefix(
    synthesis: Synthesis,
    dead: Edit,
    where: ResumePoint,
    memory: torch.memory_format = torch.contiguous_format,
) -> Synthesis:
    """The synthesis that begins with the constant in which the layer ``where`` says what it says before it is damaged.

    Only a chain can begin anywhere; others run the whole way. ``dead`` is what units say that are gone. The
    constant is laid out as ``memory`` says.
    """
    if not isinstance(synthesis, Chain):
        return synthesis
    state: State = ()
    number = -1
    for position, step in enumerate(synthesis.steps):
        state = step.run(state)
        if step.layer is None:
            continue
        number += 1
        if number == where.layer:
            constant = tuple(
                x.contiguous(memory_format=memory) if x.ndim == 4 else x for x in state
            )
            return replace(
                synthesis,
                steps=(replace(step, run=_always(constant)), *synthesis.steps[position + 1 :]),
            )
        if number in where.gone:
            x = state[0]
            state = (dead(x, step.layer).expand_as(x).clone(), *state[1:])
    raise AssertionError(f"a network of {number + 1} layers has no layer {where.layer}")


def _always(constant: State) -> Callable[[State], State]:
    return lambda _: constant
