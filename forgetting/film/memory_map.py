"""The memory map: one cell for every unit, arranged by layer; how bright it is, is what the unit says now.

A dying unit glows, a dead one is black, and whoever is alive never is. The picture of the map is a table of colours looked
up by the number of the cell at every pixel, so a map of fifty thousand cells costs what one of fifty does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from forgetting.models.activity import Activity, cell_count, pool_cells
from forgetting.models.units import Layer

GROUND = (0, 0, 0)
COLD, WARM, EMBER = (
    np.array([150, 178, 205.0]),
    np.array([255, 250, 240.0]),
    np.array([255, 120, 32.0]),
)
"""Colours of a unit that says little, of one that says all it ever does, and of one that is dying."""

FAINT = 0.16
"""How bright a unit is that is alive and silent."""


@dataclass(frozen=True, eq=False)
class MemoryMap:
    """A map of ``layers`` on ``shape`` (height, width) pixels; ``reference`` [M] is what the cells say when all is intact."""

    layers: Sequence[Layer]
    reference: Activity
    where: NDArray[
        np.intp
    ]  # [H, W]: the cell at every pixel; the one behind the last is the ground

    @staticmethod
    def of(layers: Sequence[Layer], reference: Activity, shape: tuple[int, int]) -> MemoryMap:
        return MemoryMap(
            layers,
            _loudest(layers, reference),
            _arranged([cell_count(layer) for layer in layers], shape),
        )

    def draw(self, levels: Activity, gone: Mapping[str, Tensor]) -> NDArray[np.uint8]:
        """[H, W, 3]: the map while cells say ``levels`` and units are as far ``gone`` as that, layer name -> [C]."""
        dead = torch.cat([pool_cells(gone[layer.name], layer) for layer in self.layers]).numpy()
        said = np.clip(levels / self.reference, 0, 1) ** 0.6
        alive = (COLD + (WARM - COLD) * said[:, None]) * (
            (FAINT + (1 - FAINT) * said) * (1 - dead)
        )[:, None]
        glow = EMBER * (4 * dead * (1 - dead))[:, None]
        colours = np.zeros((len(dead) + 1, 4), np.uint8)
        colours[:-1, :3] = np.maximum(
            np.clip(np.maximum(alive, glow), 0, 255), (dead < 1)[:, None]
        )  # alive is never quite black
        colours[-1, :3] = GROUND
        found = (
            colours.view(np.uint32)[:, 0]
            .take(self.where)
            .view(np.uint8)
            .reshape(*self.where.shape, 4)
        )
        return np.asarray(
            Image.fromarray(found).convert("RGB")
        )  # twice as fast as slicing the fourth byte off


def _loudest(layers: Sequence[Layer], reference: Activity) -> Activity:
    """What counts as all a unit ever says: nearly the most that anybody in its layer does."""
    found, start = np.empty_like(reference), 0
    for layer in layers:
        part = slice(start, start + cell_count(layer))
        found[part] = max(float(np.quantile(reference[part], 0.95)), 1e-12)
        start += cell_count(layer)
    return found


def _arranged(counts: Sequence[int], shape: tuple[int, int]) -> NDArray[np.intp]:
    """The number of the cell at every pixel: a block of rows for every layer, as many columns as make cells largest."""
    height, width = shape
    gap = 0.6  # rows between layers

    def size(columns: int) -> float:
        rows = sum(-(-count // columns) for count in counts) + gap * (len(counts) - 1)
        return min(width / columns, height / rows)

    columns = max(range(1, max(counts) + 1), key=size)
    rows = sum(-(-count // columns) for count in counts) + gap * (len(counts) - 1)
    # Cells are a little wider or higher than square where that fills the picture.
    high, wide = min(height / rows, 1.6 * size(columns)), min(width / columns, 1.6 * size(columns))
    top, left = (height - high * rows) / 2, (width - wide * columns) / 2
    found = np.full(shape, sum(counts), np.intp)
    lines = max(1, round(0.12 * min(high, wide))) if min(high, wide) >= 4 else 0
    start, row = 0, 0.0
    across = np.round(left + wide * np.arange(columns + 1)).astype(int)
    for count in counts:
        for first in range(0, count, columns):
            y, y_end = round(top + high * row), round(top + high * (row + 1))
            inside = min(columns, count - first)
            # A last row that is not full stands in the middle.
            shift = (columns - inside) // 2
            for k in range(inside):
                found[
                    y : max(y + 1, y_end - lines),
                    across[shift + k] : max(across[shift + k] + 1, across[shift + k + 1] - lines),
                ] = start + first + k
            row += 1
        start += count
        row += gap
    return found
