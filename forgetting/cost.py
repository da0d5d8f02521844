"""What a picture costs, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from forgetting.generators import Generator


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Multiply-adds of one picture by step, ``mapping`` first; torch counts products and convolutions, nothing else."""
    with FlopCounterMode(display=False) as counter:
        generator.mapping(torch.zeros(1, generator.z_dim))
    costs = {"mapping": counter.get_total_flops() // 2}
    state: tuple[Tensor, ...] = ()
    for step in generator.bind(ws.clone()).steps:
        with FlopCounterMode(display=False) as counter:
            state = step.run(state)
        costs[step.name] = counter.get_total_flops() // 2
    return costs
