"""A scene as one torch module, for whatever compiles, captures or batches it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forgetting.engines import to_bytes
from forgetting.generators import Generator, Synthesis
from forgetting.scene import Scene, Turned, heard, traced
from forgetting.units import PICTURE, Layer


class Picture(nn.Module):
    """Rows [B, R] -> frames [B, H, W, 3] uint8, and what cells say if the scene listens: no branches, nothing in place.

    ``synthesis`` is of one face. It begins with a constant wherever it can (see ``begin``); layers before that have
    no say any more. That the constant is really one matters: OpenVINO 2026.4 computes a constant first layer once, and
    then lets the edit write into it.
    """

    def __init__(self, knobs: Sequence[Turned], synthesis: Synthesis, layers: Sequence[Layer] = ()) -> None:
        super().__init__()
        self.knobs, self.synthesis, self.layers = knobs, synthesis, layers

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        edit, levels = heard(traced(self.knobs, rows), self.layers)
        return to_bytes(edit(self.synthesis.repeated(len(rows))(edit), PICTURE)), *levels()


class Moving(nn.Module):
    """Rows [B, R] and faces [B, L, W] -> the same; the face is bound on the way."""

    def __init__(self, knobs: Sequence[Turned], generator: Generator, layers: Sequence[Layer] = ()) -> None:
        super().__init__()
        self.knobs, self.generator, self.layers = knobs, generator, layers

    def forward(self, rows: Tensor, ws: Tensor) -> tuple[Tensor, ...]:
        edit, levels = heard(traced(self.knobs, rows), self.layers)
        return to_bytes(edit(self.generator.bind(ws, edit)(edit), PICTURE)), *levels()


def placed(scene: Scene, device: str, precision: str) -> tuple[Generator, Tensor, list[Turned]]:
    """Network, face and knobs of a scene on a device in a precision; what is there already is not copied."""
    dtype, generator = getattr(torch, precision), scene.generator
    knobs = scene.turned(device, dtype)
    if (device, precision) != ("cpu", "float32"):
        generator = copy.deepcopy(generator).to(device, dtype)  # type: ignore[attr-defined]
    return generator, scene.ws.to(device, dtype), knobs
