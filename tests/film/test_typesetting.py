"""Typesetting: lines, sizes, and masks that cut nothing off."""

import numpy as np
import pytest

from forgetting.film.fonts import Font
from forgetting.film.typesetting import SMALLEST, break_lines, sizes, wrap


def letters(text):
    """A measure by which every character is one wide."""
    return float(len(text))


def test_lines_break_between_words():
    assert wrap("the fine lines go first", 10, letters) == ["the fine", "lines go", "first"]
    assert wrap("unbreakable word", 5, letters) == ["unbreakable", "word"]
    assert wrap("", 5, letters) == [""]


def test_scripts_without_spaces_break_between_characters():
    assert wrap("忘却の河を渡る。", 3, letters) == ["忘却の", "河を渡", "る。"]
    assert wrap("あ「い」う", 2, letters) == ["あ", "「い」", "う"], "brackets stay with their word"


def test_lines_are_of_equal_length():
    block = break_lines("what bias and noise still paint when all is gone", Font(), 20, 340)
    lengths = [Font().at(20).getlength(line) for line in block.lines]
    assert len(lengths) == 2
    assert max(lengths) < 1.25 * min(lengths)


@pytest.mark.parametrize("text", ["Ågjpq ÇŞ\nẬỆ ÿ", "WAVE fjord Ǻ", "ij", "  \n\nx", "Ἃ"])
@pytest.mark.parametrize("align", ["left", "centre", "right"])
def test_masks_cut_nothing_off(text, align):
    """The mask holds as much ink as the same letters in a picture with wide margins."""
    block = break_lines(text, Font(), 24, 10**4, align)
    assert block.mask.shape == (block.height, block.width)
    alone = [break_lines(line, Font(), 24, 10**4).mask.sum() for line in block.lines]
    assert block.mask.sum() == pytest.approx(sum(alone), rel=0.02)
    assert block.mask.max() <= 1
    inner = Font().at(96).getmask(block.lines[0], mode="L")
    if len(block.lines) == 1:
        expected = np.asarray(inner, np.float32).sum() / 255 / 16
        assert block.mask.sum() == pytest.approx(expected, rel=0.03)


def test_sizes_become_smaller():
    assert list(sizes(8)) == [8, 7, 6]
    assert list(sizes(5)) == [5]
    assert list(sizes(200))[-1] == SMALLEST
