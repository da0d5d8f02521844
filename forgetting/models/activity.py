"""How active the cells of a memory map are: computed in the graph, or beside it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from forgetting.models.units import PICTURE, Layer

MAX_CELLS = 4096
"""Cells of a layer at most: of single synapses, each is the mean of several."""

MAX_SAMPLES = 64
"""Of a large map not every value is listened to: to read it all once more would take a tenth of the film's time."""

Activity = NDArray[np.float32]
"""[M]: what every cell says, cell after cell, layer after layer."""


def map_layers(groups: Iterable[Iterable[Layer]]) -> tuple[Layer, ...]:
    """The layers that a map of several groups of units has: each once, in their order, without the picture."""
    return tuple(
        {layer.name: layer for group in groups for layer in group if layer != PICTURE}.values()
    )


def units_per_cell(layer: Layer) -> int:
    """How many units share a cell."""
    return -(-layer.channels // MAX_CELLS)


def cell_count(layer: Layer) -> int:
    """How many cells a layer has."""
    return -(-layer.channels // units_per_cell(layer))


def pool_cells(values: Tensor, layer: Layer) -> Tensor:
    """[..., C] -> [..., cells]: the mean over the units of each cell."""
    share, count = units_per_cell(layer), cell_count(layer)
    if share == 1:
        return values
    padded = F.pad(values, (0, count * share - layer.channels))
    padded = padded.reshape(*values.shape[:-1], count, share).sum(dim=-1)
    return padded / (layer.channels - share * torch.arange(count, device=values.device)).clamp(
        max=share
    ).to(values)


def cell_activity(x: Tensor, layer: Layer) -> Tensor:
    """[B, C, H, W] -> [B, cells]: how loud each cell is, the root mean square in at most ``PLACES`` places each way."""
    if x.shape[2] * x.shape[3] == 1:
        return pool_cells(x[:, :, 0, 0].abs().float(), layer)
    down, across = (max(1, size // MAX_SAMPLES) for size in layer.size)
    return pool_cells(x[:, :, ::down, ::across].float().square().mean(dim=(2, 3)).sqrt(), layer)
