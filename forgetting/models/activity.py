"""Activity of the cells of a memory map, computed in the graph of a network or beside it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from forgetting.models.units import UNIT_KINDS, Layer

MAX_CELLS = 4096
"""The largest number of cells of a layer; of single weights, each cell is the mean of several."""

MAX_SAMPLES = 64
"""The largest number of values that are read of a map each way, if its size is a multiple of it.

To read all of a large map once more would take a tenth of the film's time.
"""

Activity = NDArray[np.float32]
"""[M], or [M, A, A] in A x A areas: of every cell, cell after cell, layer after layer."""


def map_layers(groups: Iterable[Iterable[Layer]]) -> tuple[Layer, ...]:
    """Return the layers of a map of several groups of units: each once, in their order."""
    layers = (layer for group in groups for layer in group)
    return tuple({layer.name: layer for layer in layers if UNIT_KINDS[layer.kind].mapped}.values())


def units_per_cell(layer: Layer) -> int:
    """Return how many units share a cell."""
    return -(-layer.channels // MAX_CELLS)


def cell_count(layer: Layer) -> int:
    """Return how many cells a layer has."""
    return -(-layer.channels // units_per_cell(layer))


def pool_cells(values: Tensor, layer: Layer) -> Tensor:
    """Return the mean [..., cells] of ``values`` [..., C] over the units of each cell."""
    share, count = units_per_cell(layer), cell_count(layer)
    if share == 1:
        return values
    padded = F.pad(values, (0, count * share - layer.channels))
    padded = padded.reshape(*values.shape[:-1], count, share).sum(dim=-1)
    units = (layer.channels - share * torch.arange(count, device=values.device)).clamp(max=share)
    return padded / units.to(values)


def cell_activity(x: Tensor, layer: Layer, areas: int = 1) -> Tensor:
    """Return the activity of each cell of maps [B, C, H, W], [B, cells, areas, areas].

    It is the root mean square over the values of each area, of which about ``MAX_SAMPLES`` are read
    each way of the whole map; of units that are no maps, the absolute value. A map with fewer
    values than areas repeats them.
    """
    if x.shape[2] * x.shape[3] == 1:
        values = pool_cells(x[:, :, 0, 0].abs().float(), layer)
        return values[:, :, None, None].expand(-1, -1, areas, areas)
    down, across = (max(1, size // MAX_SAMPLES) for size in layer.size)
    squares = _every(x, down, across).float().square()
    if areas == 1:
        return pool_cells(squares.mean(dim=(2, 3)).sqrt(), layer)[:, :, None, None]
    means: Tensor = F.adaptive_avg_pool2d(squares, (areas, areas)).sqrt()
    cells = pool_cells(means.flatten(2).transpose(1, 2), layer).transpose(1, 2)
    return cells.reshape(*cells.shape[:2], areas, areas)


def _every(x: Tensor, down: int, across: int) -> Tensor:
    """Return every ``down``-th row and every ``across``-th column of maps [B, C, H, W]."""
    if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return x[:, :, ::down, ::across]
    # In a graph that computes in half precision, a compiler computes in float32 what leads to an
    # output and not into a convolution, so that everything in front of a plain slice would be
    # computed in float32, at half the speed and with other bits. This is a slice by a convolution.
    ones = x.new_ones(x.shape[1], 1, 1, 1)
    return F.conv2d(x, ones, stride=(down, across), groups=x.shape[1])
