"""What a picture costs, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from forgetting.generators import Generator


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Multiply-adds of one picture by step; torch counts products and convolutions, nothing else.

    ``mapping`` and ``bind`` come first: what is done once for a face and not again for every frame.
    """
    with FlopCounterMode(display=False) as counter:
        generator.mapping(torch.zeros(1, generator.z_dim))
    costs = {"mapping": counter.get_total_flops() // 2}
    with FlopCounterMode(display=False) as counter:
        synthesis = generator.bind(ws.clone())
    costs["bind"] = counter.get_total_flops() // 2
    state: tuple[Tensor, ...] = ()
    for step in synthesis.steps:
        with FlopCounterMode(display=False) as counter:
            state = step.run(state)
        costs[step.name] = counter.get_total_flops() // 2
    return costs
