"""What a picture costs, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from forgetting.models.generator import Generator
from forgetting.models.units import Layer


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Multiply-adds of one picture by step; torch counts products and convolutions, nothing else.

    ``mapping`` and ``bind`` come first: what is done once for a face and not again for every frame; the last is ``image``.
    """
    costs: dict[str, int] = {}

    def count(name: str) -> None:
        costs[name] = counter.get_total_flops() // 2 - sum(costs.values())

    def at(x: Tensor, layer: Layer) -> Tensor:
        count(layer.name)
        return x

    with FlopCounterMode(display=False) as counter:
        generator.mapping(torch.zeros(1, generator.z_dim))
        count("mapping")
        synthesis = generator.bind(ws.clone())
        count("bind")
        synthesis(at)
        count("image")
    return costs
