"""Prefix reuse: at which layer a frame can start, as a function of its row alone.

In films by layer most of the network is either intact or fully ablated. The activation in front of
the first layer that is neither is then a constant of the face, and a frame can start there:

- a layer whose units are all intact, or all fully ablated, needs no row;
- where replacements do not depend on activations, a fully ablated layer cuts off everything in
  front of it, unless a part of the picture bypasses it.

No frame looks at another one: two frames with the same row start at the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.models.generator import Chain, Edit, State, Synthesis


@dataclass(frozen=True)
class ResumePoint:
    """A frame starts at the layer number ``layer``.

    Of the layers before, ``ablated`` are fully ablated, the others intact.
    """

    layer: int
    ablated: frozenset[int] = frozenset()


def resume_point(rows: Sequence[Tensor], cuts: bool) -> ResumePoint:
    """Return where the frame with these ``rows``, one [C] for every layer, can start.

    With ``cuts``, a fully ablated layer cuts off the layers in front of it.
    """
    if not any(bool(row.any()) for row in rows):
        return ResumePoint(0)  # intact frames are few, and not worth a graph of their own
    ablated = [bool((row == 1).all()) for row in rows]
    cut = max((k for k, full in enumerate(ablated) if full), default=0) if cuts else 0
    layer = cut
    while layer < len(rows) - 1 and (ablated[layer] or not bool(rows[layer].any())):
        layer += 1
    return ResumePoint(layer, frozenset(k for k in range(cut, layer) if ablated[k]))


def truncate_prefix(
    synthesis: Synthesis,
    replacement: Edit,
    start: ResumePoint,
    memory: torch.memory_format = torch.contiguous_format,
) -> Synthesis:
    """Return the synthesis that starts with the constant output of the layer ``start.layer``.

    Args:
        synthesis: of one face. Only a chain can be truncated; others are returned as they are.
        replacement: of the units that are fully ablated.
        start: where it starts.
        memory: the layout of the constant.
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
        if number == start.layer:
            constant = tuple(
                x.contiguous(memory_format=memory) if x.ndim == 4 else x for x in state
            )
            first = replace(step, run=_returning(constant))
            later = synthesis.steps[position + 1 :]
            return replace(synthesis, steps=(first, *later))
        if number in start.ablated:
            x = state[0]
            state = (replacement(x, step.layer).expand_as(x).clone(), *state[1:])
    raise AssertionError(f"a network of {number + 1} layers has no layer {start.layer}")


def _returning(constant: State) -> Callable[[State], State]:
    return lambda _: constant
