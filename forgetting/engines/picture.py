"""A scene as one torch module, for whatever compiles, captures or batches it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forgetting.engines import to_bytes
from forgetting.generators import Generator, Synthesis
from forgetting.scene import Turned, traced
from forgetting.units import PICTURE


class Picture(nn.Module):
    """Rows [B, R] -> frames [B, H, W, 3] uint8: no branches, nothing written in place.

    ``synthesis`` is of one face. It begins with a constant wherever it can (see ``begin``); layers before that have
    no say any more. That the constant is really one matters: OpenVINO 2026.4 computes a constant first layer once, and
    then lets the edit write into it.
    """

    def __init__(self, knobs: Sequence[Turned], synthesis: Synthesis) -> None:
        super().__init__()
        self.knobs, self.synthesis = knobs, synthesis

    def forward(self, rows: Tensor) -> Tensor:
        edit = traced(self.knobs, rows)
        return to_bytes(edit(self.synthesis.repeated(len(rows))(edit), PICTURE))


class Moving(nn.Module):
    """Rows [B, R] and faces [B, L, W] -> frames [B, H, W, 3] uint8; the face is bound on the way."""

    def __init__(self, knobs: Sequence[Turned], generator: Generator) -> None:
        super().__init__()
        self.knobs, self.generator = knobs, generator

    def forward(self, rows: Tensor, ws: Tensor) -> Tensor:
        edit = traced(self.knobs, rows)
        return to_bytes(edit(self.generator.bind(ws, edit)(edit), PICTURE))


def placed(generator: Generator, device: str, dtype: torch.dtype) -> Generator:
    """A copy of the network on another device or in another precision."""
    copied: Generator = copy.deepcopy(generator).to(device, dtype)  # type: ignore[attr-defined]
    return copied
