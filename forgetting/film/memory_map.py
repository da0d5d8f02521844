"""The memory map: one cell for every unit, arranged by layer; the more active a unit, the brighter.

A unit that is being ablated glows, an ablated unit is black, and an intact unit never is. The
picture is a table of colours indexed by the number of the cell at every pixel, so a map of fifty
thousand cells costs as much as a map of fifty.
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

BACKGROUND = (0, 0, 0)
QUIET, ACTIVE, GLOW = (
    np.array([150, 178, 205.0]),
    np.array([255, 250, 240.0]),
    np.array([255, 120, 32.0]),
)
"""Colours of a hardly active unit, a fully active unit, and a unit that is being ablated."""

FAINT = 0.16
"""Brightness of an intact unit without any activity."""

LAYER_GAP = 0.6
"""Rows between two layers."""


@dataclass(frozen=True, eq=False)
class MemoryMap:
    """A memory map of one size.

    Args:
        layers: whose units it shows.
        reference: the activity [M] at which cells have their full brightness.
        cells: [H, W], the number of the cell at every pixel; M is the background.
    """

    layers: Sequence[Layer]
    reference: Activity
    cells: NDArray[np.intp]

    @staticmethod
    def of(layers: Sequence[Layer], intact: Activity, shape: tuple[int, int]) -> MemoryMap:
        """Return the map of these layers.

        Args:
            layers: whose units it shows.
            intact: the activity [M] of the cells without any ablation.
            shape: height and width in pixels.
        """
        counts = [cell_count(layer) for layer in layers]
        return MemoryMap(layers, _full_brightness(layers, intact), _arrange_cells(counts, shape))

    def draw(self, activity: Activity, ablation: Mapping[str, Tensor]) -> NDArray[np.uint8]:
        """Return the map as [H, W, 3].

        Args:
            activity: [M] of the cells.
            ablation: layer name -> how far its units are ablated, [C] in [0, 1].
        """
        ablated = torch.cat(
            [pool_cells(ablation[layer.name], layer) for layer in self.layers]
        ).numpy()
        level = np.clip(activity / self.reference, 0, 1) ** 0.6
        brightness = (FAINT + (1 - FAINT) * level) * (1 - ablated)
        active = (QUIET + (ACTIVE - QUIET) * level[:, None]) * brightness[:, None]
        glow = GLOW * (4 * ablated * (1 - ablated))[:, None]
        colours = np.zeros((len(ablated) + 1, 4), np.uint8)
        # A unit that is not fully ablated is never quite black.
        darkest = (ablated < 1)[:, None]
        colours[:-1, :3] = np.maximum(np.clip(np.maximum(active, glow), 0, 255), darkest)
        colours[-1, :3] = BACKGROUND
        pixels = colours.view(np.uint32)[:, 0].take(self.cells).view(np.uint8)
        # Converting is twice as fast as slicing off the fourth byte.
        picture = Image.fromarray(pixels.reshape(*self.cells.shape, 4))
        return np.asarray(picture.convert("RGB"))


def _full_brightness(layers: Sequence[Layer], intact: Activity) -> Activity:
    """Return for every cell the activity of full brightness: nearly the largest of its layer."""
    full, start = np.empty_like(intact), 0
    for layer in layers:
        cells = slice(start, start + cell_count(layer))
        full[cells] = max(float(np.quantile(intact[cells], 0.95)), 1e-12)
        start += cell_count(layer)
    return full


def _arrange_cells(counts: Sequence[int], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the number of the cell at every pixel.

    Every layer is a block of rows. The number of columns is the one that makes the cells largest.

    Args:
        counts: cells of every layer.
        shape: height and width in pixels.
    """
    height, width = shape

    def cell_size(columns: int) -> float:
        return min(width / columns, height / _row_count(counts, columns))

    columns = max(range(1, max(counts) + 1), key=cell_size)
    rows, size = _row_count(counts, columns), cell_size(columns)
    # Cells are a little wider or higher than square where that fills the picture.
    cell_height, cell_width = min(height / rows, 1.6 * size), min(width / columns, 1.6 * size)
    top, left = (height - cell_height * rows) / 2, (width - cell_width * columns) / 2
    cells = np.full(shape, sum(counts), np.intp)
    smaller_side = min(cell_height, cell_width)
    line = max(1, round(0.12 * smaller_side)) if smaller_side >= 4 else 0
    edges = np.round(left + cell_width * np.arange(columns + 1)).astype(int)
    start, row = 0, 0.0
    for count in counts:
        for first in range(0, count, columns):
            y, y_end = round(top + cell_height * row), round(top + cell_height * (row + 1))
            in_row = min(columns, count - first)
            # The last row of a layer is centred where it is not full.
            shift = (columns - in_row) // 2
            for k in range(in_row):
                x, x_end = edges[shift + k], edges[shift + k + 1]
                down = slice(y, max(y + 1, y_end - line))
                cells[down, x : max(x + 1, x_end - line)] = start + first + k
            row += 1
        start += count
        row += LAYER_GAP
    return cells


def _row_count(counts: Sequence[int], columns: int) -> float:
    """Return the rows of all layers in so many columns, with the gaps between layers."""
    return sum(-(-count // columns) for count in counts) + LAYER_GAP * (len(counts) - 1)
