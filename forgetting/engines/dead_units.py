"""Dead units: those that are fully ablated to zero, which a smaller network can leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask, BoundOperator, split_rows
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.plan import Plan
from forgetting.models.generator import Edit
from forgetting.models.units import Layer

MIN_SHARE = 0.5
"""Share of all units that must be dead before leaving them out pays. With half of the units a frame
of the face model took 0.6 of the time, with 73 % of them 0.93."""

MIN_FRAMES = 60
"""Frames that must have these dead units: making another graph takes as long as a hundred frames,
and later films of the same face find it in the cache."""

SAMPLES = 240
"""The most rows of a plan that are looked at."""

MULTIPLE = 32
"""Channels that remain are a multiple of this, the width that convolutions are computed in."""


def choose_dead_units(plan: Plan, indices: Sequence[int]) -> Tensor | None:
    """Return which units [R] a film may leave out in its later frames, if that pays.

    They are the fully ablated ones of the least ablated frame that has ``MIN_SHARE`` of them.

    Args:
        plan: of the film.
        indices: of the frames that are in the film.
    """
    step = -(-len(indices) // SAMPLES)
    sampled = [*indices[::step]]
    ablated = plan.rows(sampled) == 1
    counts = ablated.sum(dim=1)
    enough = counts >= MIN_SHARE * ablated.shape[1]
    if not bool(enough.any()):
        return None
    least = int(counts.masked_fill(~enough, ablated.shape[1] + 1).argmin())
    dead = ablated[least]
    frames = step * int(ablated[:, dead].all(dim=1).sum())
    return dead if frames >= MIN_FRAMES else None


def can_leave_out(task: AblationTask) -> bool:
    """Return whether fully ablated units of a task are zero, so that nothing needs them."""
    return not task.rebinds and all(
        isinstance(target.operator, Zero) and layer.kind == "channels"
        for target in task.targets
        for layer in target.units.layers
    )


def remaining_channels(bound: Sequence[BoundOperator], dead: Tensor) -> dict[str, Tensor]:
    """Return the channels [N] that remain of every layer that loses some, by the layer's name.

    Args:
        bound: the operators of a task, all of channels.
        dead: which units [R] of its row are dead.
    """
    ablated = dict[str, Tensor]()
    for parts, _ in split_rows(bound, dead[None]):
        for name, part in parts.items():
            ablated[name] = ablated.get(name, torch.zeros_like(part[0])) | part[0]
    remaining = {}
    for name, gone in ablated.items():
        alive = len(gone) - int(gone.sum())
        count = min(len(gone), max(MULTIPLE, -(-alive // MULTIPLE) * MULTIPLE))
        # Sorted by whether they are dead, stably, so that the first ones are alive.
        kept = gone.to(torch.uint8).sort(stable=True).indices[:count]
        if count < len(gone):
            remaining[name] = kept.sort().values
    return remaining


def edit_of_remaining(
    bound: Sequence[BoundOperator], remaining: Mapping[str, Tensor]
) -> Callable[[Tensor], Edit]:
    """Return the function from rows [B, R] to the traceable edit of a network that lacks units.

    Args:
        bound: the operators, whose replacements are zero.
        remaining: the channels that remain of layers, by name.
    """

    def edit_of(rows: Tensor) -> Edit:
        split = split_rows(bound, rows)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            for parts, _ in split:
                if layer.name in parts:
                    a = parts[layer.name]
                    if layer.name in remaining:
                        a = a.index_select(1, remaining[layer.name])
                    x = x * (1 - a)[:, :, None, None]
            return x

        return edit

    return edit_of
