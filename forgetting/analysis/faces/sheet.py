"""A sheet of faces: small pictures in rows, each above its number."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, sqrt

import numpy as np
from PIL import Image, ImageDraw

from forgetting.engines.pixels import Frame
from forgetting.film.contact_sheet import BACKGROUND
from forgetting.film.fonts import Font
from forgetting.film.images import fit

LARGEST = 4096
"""About the longest side of a sheet, in pixels."""

CELLS = (96, 256)
"""The smallest and the largest height of a face."""

INK = (226, 222, 214)


@dataclass(frozen=True, eq=False)
class FaceSheet:
    """A sheet that faces are drawn on one after another; it holds no face in full size.

    Args:
        count: number of faces.
        shape: height and width of the network's pictures.
    """

    count: int
    shape: tuple[int, int]
    picture: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        size = (
            self._gap + self.columns * (self.cell[1] + self._gap),
            self._gap + ceil(self.count / self.columns) * self._step,
        )
        object.__setattr__(self, "picture", Image.new("RGB", size, BACKGROUND))

    @property
    def columns(self) -> int:
        """Faces beside each other: the sheet is about square."""
        height, width = self.shape
        return min(self.count, max(1, ceil(sqrt(self.count * height / width))))

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a face on the sheet."""
        smallest, largest = CELLS
        rows = ceil(self.count / self.columns)
        height = max(smallest, min(largest, LARGEST // rows))
        return height, max(1, round(height * self.shape[1] / self.shape[0]))

    @property
    def _gap(self) -> int:
        return max(6, self.cell[0] // 20)

    @property
    def _font_size(self) -> int:
        return max(13, self.cell[0] // 10)

    @property
    def _step(self) -> int:
        """Pixels from a row to the next."""
        return self.cell[0] + round(1.6 * self._font_size) + self._gap

    def draw(self, number: int, face: Frame, label: str) -> None:
        """Draw the face [H, W, 3] with this number, from 0, above its label."""
        row, column = divmod(number, self.columns)
        x, y = self._gap + column * (self.cell[1] + self._gap), self._gap + row * self._step
        self.picture.paste(Image.fromarray(fit(face, self.cell)), (x, y))
        middle = x + self.cell[1] / 2, y + self.cell[0] + 0.85 * self._font_size
        font = Font().at(self._font_size)
        ImageDraw.Draw(self.picture).text(middle, label, INK, font, anchor="mm")

    @property
    def frame(self) -> Frame:
        """The sheet as [H, W, 3]."""
        return np.asarray(self.picture)
