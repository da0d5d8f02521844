"""An ablation task as one torch module, which can be traced, captured or batched."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forgetting.ablation.edits import (
    AblationTask,
    BoundOperator,
    recording_edit,
    traceable_edit,
)
from forgetting.engines.engine import to_bytes
from forgetting.models.generator import Generator, Synthesis, edited_picture
from forgetting.models.units import Layer


class FrameModule(nn.Module):
    """Rows [B, R] -> frames [B, H, W, 3] uint8, and activity [B, M] of the cells of ``layers``.

    There are no branches on values, and nothing is written in place. ``synthesis`` is of one face;
    it begins with a constant wherever it can (see
    :func:`~forgetting.engines.prefix_reuse.truncate_prefix`). That the constant is a leaf of the
    graph matters: OpenVINO 2026.4 computes a constant first layer once, and then lets the edit
    write into it.
    """

    def __init__(
        self, bound: Sequence[BoundOperator], synthesis: Synthesis, layers: Sequence[Layer] = ()
    ) -> None:
        super().__init__()
        self.bound, self.synthesis, self.layers = bound, synthesis, layers

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Render a batch."""
        edit, recorded = recording_edit(traceable_edit(self.bound, rows), self.layers)
        picture = edited_picture(self.synthesis.repeated(len(rows)), edit)
        return to_bytes(picture), *recorded()


class PerFrameModule(nn.Module):
    """Rows [B, R] and faces [B, L, W] -> the same; binds the faces on the way."""

    def __init__(
        self, bound: Sequence[BoundOperator], generator: Generator, layers: Sequence[Layer] = ()
    ) -> None:
        super().__init__()
        self.bound, self.generator, self.layers = bound, generator, layers

    def forward(self, rows: Tensor, ws: Tensor) -> tuple[Tensor, ...]:
        """Render a batch."""
        edit, recorded = recording_edit(traceable_edit(self.bound, rows), self.layers)
        picture = edited_picture(self.generator.bind(ws, edit), edit)
        return to_bytes(picture), *recorded()


def place_task(
    task: AblationTask, device: str, precision: str
) -> tuple[Generator, Tensor, list[BoundOperator]]:
    """Return network, face and bound operators on a device in a precision.

    Copies only what must change.
    """
    dtype, generator = getattr(torch, precision), task.generator
    bound = task.bind_operators(device, dtype)
    if (device, precision) != ("cpu", "float32"):
        generator = copy.deepcopy(generator).to(device, dtype)  # type: ignore[attr-defined]
    return generator, task.ws.to(device, dtype), bound
