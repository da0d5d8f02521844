"""A face and an operator as one torch module, for whatever compiles, captures or batches it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forgetting.engines import to_bytes
from forgetting.generators import Edit, Synthesis
from forgetting.operators import Operator
from forgetting.units import Layer, Units


class Picture(nn.Module):
    """Rows of ablation [B, U] -> frames [B, H, W, 3] uint8: no branches, nothing written in place.

    ``synthesis`` is of one face. It begins with a constant wherever it can (see ``begin``); layers before that have
    no say any more. That the constant is really one matters: OpenVINO 2026.4 computes a constant first layer once, and
    then lets the edit write into it.
    """

    def __init__(self, units: Units, dead: Edit, synthesis: Synthesis) -> None:
        super().__init__()
        self.units, self.dead, self.synthesis = units, dead, synthesis

    def forward(self, rows: Tensor) -> Tensor:
        ablation = self.units.split(rows)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            a = ablation[layer.name][:, :, None, None]  # the formula of `damage`
            return x * (1 - a) + self.dead(x, layer) * a

        return to_bytes(self.synthesis.repeated(len(rows))(edit))


def placed(operator: Operator, dead: Edit, layers: tuple[Layer, ...], device: str, dtype: torch.dtype) -> Edit:
    """``dead`` for states on another device or in another precision: what is constant is brought there once."""
    if not operator.constant:
        return dead
    empty = {layer.name: torch.empty(1, layer.channels, *layer.size) for layer in layers}
    constants = {layer.name: dead(empty[layer.name], layer).to(device, dtype) for layer in layers}
    return lambda x, layer: constants[layer.name]
