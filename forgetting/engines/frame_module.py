"""An ablation task as one torch module, which can be traced, captured or batched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, BoundOperator, recording_edit
from forgetting.engines.pixels import to_bytes
from forgetting.models.generator import Edit, Generator, Synthesis, edited_picture
from forgetting.models.units import Layer

EditOfRows = Callable[[Tensor], Edit]
"""Rows [B, R] -> an edit without branches on values, and nothing in place."""

MakePicture = Callable[[Synthesis, Edit], Tensor]
"""Makes the picture of a synthesis under an edit."""


def picture_bytes(synthesis: Synthesis, edit: Edit) -> Tensor:
    """Return the picture as bytes, [B, H, W, 3]."""
    return to_bytes(edited_picture(synthesis, edit))


class FrameModule(nn.Module):
    """Rows [B, R] -> pictures, and activity [B, M, A, A] of the cells of ``layers``, if any.

    There are no branches on values, and nothing is written in place. ``synthesis`` is of one face;
    it begins with a constant wherever it can (see
    :func:`~forgetting.engines.prefix_reuse.truncate_prefix`). That the constant is a leaf of the
    graph matters: OpenVINO 2026.4 computes a constant first layer once, and then lets the edit
    write into it.

    Args:
        edit_of: rows -> edit.
        synthesis: of the face.
        make: makes the pictures.
        layers: whose activity is recorded.
        areas: side of the grid of areas of a map.
    """

    def __init__(
        self,
        edit_of: EditOfRows,
        synthesis: Synthesis,
        make: MakePicture = picture_bytes,
        layers: Sequence[Layer] = (),
        areas: int = 1,
    ) -> None:
        super().__init__()
        self.edit_of, self.synthesis, self.make = edit_of, synthesis, make
        self.layers, self.areas = layers, areas

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Render a batch."""
        edit, recorded = _recording(self.edit_of(rows), self.layers, self.areas)
        return self.make(self.synthesis.repeated(len(rows)), edit), *recorded()


class PerFrameModule(nn.Module):
    """Rows [B, R] and faces [B, L, W] -> the same; binds the faces on the way."""

    def __init__(
        self,
        edit_of: EditOfRows,
        generator: Generator,
        make: MakePicture = picture_bytes,
        layers: Sequence[Layer] = (),
        areas: int = 1,
    ) -> None:
        super().__init__()
        self.edit_of, self.generator, self.make = edit_of, generator, make
        self.layers, self.areas = layers, areas

    def forward(self, rows: Tensor, ws: Tensor) -> tuple[Tensor, ...]:
        """Render a batch."""
        edit, recorded = _recording(self.edit_of(rows), self.layers, self.areas)
        return self.make(self.generator.bind(ws, edit), edit), *recorded()


def _recording(
    edit: Edit, layers: Sequence[Layer], areas: int
) -> tuple[Edit, Callable[[], tuple[Tensor, ...]]]:
    """Return an edit, and a function that returns what it recorded of ``layers``, if any."""
    if not layers:
        return edit, tuple
    edit, recorded = recording_edit(edit, layers, areas)
    return edit, lambda: (recorded(),)


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
