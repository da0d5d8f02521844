"""Sheets of faces: every face once, in its place, within a size."""

import numpy as np
import pytest

from forgetting.analysis.faces.sheet import FaceSheet
from forgetting.film.contact_sheet import BACKGROUND


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (5, 3), (64, 8), (1024, 32)])
@pytest.mark.parametrize("shape", [(1024, 1024), (64, 64)])
def test_a_sheet_is_about_square(count, columns, shape):
    sheet = FaceSheet(count, shape)
    assert sheet.columns == columns
    assert max(sheet.frame.shape) < 5000


def test_every_face_stands_above_its_number():
    sheet = FaceSheet(5, (32, 48))
    height, width = sheet.cell
    assert width / height == pytest.approx(1.5, abs=0.01)
    empty = sheet.frame.copy()
    assert (empty == BACKGROUND).all()
    for number in range(5):
        sheet.draw(number, np.full((32, 48, 3), 40 * number + 50, np.uint8), str(number))
    drawn = sheet.frame
    for number in range(5):
        covered = (drawn == 40 * number + 50).all(axis=2)
        rows, columns = np.nonzero(covered)
        assert height * width <= covered.sum() <= height * width + 30
        below = drawn[rows.max() + 1 : rows.max() + height // 6, columns.min() : columns.max()]
        assert below.max() > 180, "its number"
