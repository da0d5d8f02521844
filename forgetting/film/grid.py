"""A grid: several faces as one picture, with gaps between them, as on a wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetting.engines.pixels import Frame
from forgetting.film.images import fit

Cell = tuple[slice, slice]
"""Where a face stands in a grid: its rows of pixels and its columns."""

GAP = 0.03
"""Width of the gaps, as a share of a face's height."""


def gap(height: int, rows: int) -> int:
    """Return the pixels between two faces of a grid of this height; an even number."""
    return max(2, 2 * round(GAP * height / rows / 2))


def width(height: int, columns: int, rows: int, picture: tuple[int, int]) -> float:
    """Return the width of a grid of pictures of ``picture`` (height, width), unstretched."""
    between = gap(height, rows)
    face = (height - (rows - 1) * between) / rows
    return columns * face * picture[1] / picture[0] + (columns - 1) * between


def cells(shape: tuple[int, int], columns: int, rows: int) -> list[Cell]:
    """Return the cells of a grid of ``shape`` (height, width), row after row."""
    between = gap(shape[0], rows)
    down, across = (
        _sections(length, count, between)
        for length, count in zip(shape, (rows, columns), strict=True)
    )
    return [(row, column) for row in down for column in across]


def _sections(length: int, count: int, between: int) -> list[slice]:
    """Return ``count`` sections of a length with gaps between them; they differ by a pixel."""
    section = (length - (count - 1) * between) / count
    starts = [round(number * (section + between)) for number in range(count)]
    ends = [start - between for start in starts[1:]] + [length]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def arrange(
    pictures: Sequence[Frame], shape: tuple[int, int], columns: int, background: Sequence[int]
) -> Frame:
    """Return pictures as one of ``shape`` (height, width), row after row.

    Args:
        pictures: [h, w, 3] of the faces.
        shape: height and width of the grid.
        columns: number of faces beside each other.
        background: colour of the gaps.
    """
    picture = np.empty((*shape, 3), np.uint8)
    picture[:] = background[:3]
    for cell, face in zip(cells(shape, columns, len(pictures) // columns), pictures, strict=True):
        height, width = (part.stop - part.start for part in cell)
        picture[cell] = fit(face, (height, width))
    return picture
