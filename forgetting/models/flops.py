"""Multiply-adds of a picture, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from forgetting.models.generator import Generator
from forgetting.models.units import Layer


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Return the multiply-adds of a picture by step; torch counts only products and convolutions.

    The first entries are ``mapping`` and ``bind``, which are computed once for a face; the last
    one is ``image``.
    """
    costs: dict[str, int] = {}

    def add(name: str) -> None:
        costs[name] = counter.get_total_flops() // 2 - sum(costs.values())

    def add_layer(x: Tensor, layer: Layer) -> Tensor:
        add(layer.name)
        return x

    with FlopCounterMode(display=False) as counter:
        generator.mapping(torch.zeros(1, generator.z_dim))
        add("mapping")
        synthesis = generator.bind(ws.clone())
        add("bind")
        synthesis(add_layer)
        add("image")
    return costs
