"""Grids of faces: cells, gaps, and the shape of their film."""

from itertools import pairwise

import numpy as np
import pytest

from forgetting.film import grid
from forgetting.film.settings import FilmSettings
from helpers import noise_frame


@pytest.mark.parametrize("columns", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("picture", [(64, 64), (96, 64), (64, 96)])
def test_no_face_is_stretched_and_gaps_are_equal(columns, rows, picture):
    height, width = FilmSettings(size=512, grid=f"{columns}x{rows}").panel(*picture)
    assert height == 512
    assert width % 2 == 0
    cells = grid.cells((height, width), columns, rows)
    assert len(cells) == columns * rows
    for down, across in cells:
        shown = (across.stop - across.start) / (down.stop - down.start)
        assert shown == pytest.approx(picture[1] / picture[0], abs=0.04)
    gap = grid.gap(height, rows)
    assert gap >= 2
    for left, right in pairwise(cells[:columns]):
        assert right[1].start - left[1].stop == gap
    for upper, lower in pairwise(cells[::columns]):
        assert lower[0].start - upper[0].stop == gap
    assert (cells[0][0].start, cells[0][1].start) == (0, 0)
    assert (cells[-1][0].stop, cells[-1][1].stop) == (height, width)


def test_one_face_has_the_shape_that_it_always_had():
    for size, picture in ((512, (64, 48)), (97, (33, 71)), (None, (16, 16))):
        film = FilmSettings(size=size, format="png")
        height = size or 16 * 32
        assert film.panel(*picture) == (height, round(height * picture[1] / picture[0]))


def test_gaps_have_the_colour_of_the_background():
    faces = [noise_frame(number, (32, 32, 3)) for number in range(6)]
    picture = grid.arrange(faces, (96, 148), 3, (9, 8, 7))
    cells = grid.cells((96, 148), 3, 2)
    covered = np.zeros((96, 148), bool)
    for cell in cells:
        covered[cell] = True
    assert 0 < (~covered).mean() < 0.1
    assert (picture[~covered] == (9, 8, 7)).all()
