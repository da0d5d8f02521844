"""Multiply-adds of a picture, layer by layer; torch counts only products and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from forgetting.models.generator import Generator
from forgetting.models.units import Layer

T = TypeVar("T")


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Return the multiply-adds of a picture by step.

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


def count_multiply_adds(run: Callable[[], T]) -> tuple[T, int]:
    """Return what ``run`` returns, and the multiply-adds that it took."""
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_total_flops() // 2
