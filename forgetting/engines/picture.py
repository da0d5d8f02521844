"""A face and an operator as one torch module, for whatever compiles, captures or batches it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forgetting.engines import to_bytes
from forgetting.generators import Edit, State, Step
from forgetting.operators import Operator
from forgetting.units import Layer, Units


class Picture(nn.Module):
    """Rows of ablation [B, U] -> frames [B, H, W, 3] uint8: no branches, nothing written in place.

    Begins with the constant ``state``, of batch 1, in which the layer of the first of ``steps`` says what it says
    before it is damaged. That a constant is really one matters: OpenVINO 2026.4 computes a constant first layer once,
    and then lets the edit write into it.
    """

    def __init__(self, units: Units, dead: Edit, state: State, steps: tuple[Step, ...]) -> None:
        super().__init__()
        self.units, self.dead, self.state, self.steps = units, dead, state, steps

    def forward(self, rows: Tensor) -> Tensor:
        ablation, state = self.units.split(rows), self.state
        for index, step in enumerate(self.steps):
            if index > 0:
                state = step.run(state)
            if step.layer is not None:
                a, x = ablation[step.layer.name][:, :, None, None], state[0]  # the formula of `damage`
                state = (x * (1 - a) + self.dead(x, step.layer) * a, *state[1:])
        return to_bytes(state[0])


def placed(operator: Operator, dead: Edit, layers: tuple[Layer, ...], device: str, dtype: torch.dtype) -> Edit:
    """``dead`` for states on another device or in another precision: what is constant is brought there once."""
    if not operator.constant:
        return dead
    empty = {layer.name: torch.empty(1, layer.channels, layer.resolution, layer.resolution) for layer in layers}
    constants = {layer.name: dead(empty[layer.name], layer).to(device, dtype) for layer in layers}
    return lambda x, layer: constants[layer.name]
