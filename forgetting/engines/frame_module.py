"""A scene as one torch module, for whatever compiles, captures or batches it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, BoundOperator, recording_edit, traceable_edit
from forgetting.engines.engine import to_bytes
from forgetting.models.generator import Generator, Synthesis
from forgetting.models.units import PICTURE, Layer


class FrameModule(nn.Module):
    """Rows [B, R] -> frames [B, H, W, 3] uint8, and what cells say if the scene listens: no branches, nothing in place.

    ``synthesis`` is of one face. It begins with a constant wherever it can (see ``begin``); layers before that have
    no say any more. That the constant is really one matters: OpenVINO 2026.4 computes a constant first layer once, and
    then lets the edit write into it.
    """

    def __init__(
        self, targets: Sequence[BoundOperator], synthesis: Synthesis, layers: Sequence[Layer] = ()
    ) -> None:
        super().__init__()
        self.targets, self.synthesis, self.layers = targets, synthesis, layers

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        edit, levels = recording_edit(traceable_edit(self.targets, rows), self.layers)
        return to_bytes(edit(self.synthesis.repeated(len(rows))(edit), PICTURE)), *levels()


class PerFrameModule(nn.Module):
    """Rows [B, R] and faces [B, L, W] -> the same; the face is bound on the way."""

    def __init__(
        self, targets: Sequence[BoundOperator], generator: Generator, layers: Sequence[Layer] = ()
    ) -> None:
        super().__init__()
        self.targets, self.generator, self.layers = targets, generator, layers

    def forward(self, rows: Tensor, ws: Tensor) -> tuple[Tensor, ...]:
        edit, levels = recording_edit(traceable_edit(self.targets, rows), self.layers)
        return to_bytes(edit(self.generator.bind(ws, edit)(edit), PICTURE)), *levels()


def place_task(
    scene: AblationTask, device: str, precision: str
) -> tuple[Generator, Tensor, list[BoundOperator]]:
    """Network, face and targets of a scene on a device in a precision; what is there already is not copied."""
    dtype, generator = getattr(torch, precision), scene.generator
    targets = scene.turned(device, dtype)
    if (device, precision) != ("cpu", "float32"):
        generator = copy.deepcopy(generator).to(device, dtype)  # type: ignore[attr-defined]
    return generator, scene.ws.to(device, dtype), targets
