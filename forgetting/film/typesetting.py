"""Typesetting: text is broken into lines, made small enough for its box, and drawn into a mask."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from forgetting.errors import RequestError
from forgetting.film import texts
from forgetting.film.fonts import Font, font_errors

LEADING = 1.3
"""Distance of two baselines, in sizes of the font."""

SMALLEST = 6
"""The smallest size that text is set in, in pixels."""

_OPENING = ("Ps", "Pi")
_CLOSING = ("Pe", "Pf", "Po", "Pd", "Lm", "Mn", "Mc", "Me")
"""Categories of characters that end no line, and of those that begin none."""

FINENESS = 4
"""Letters are drawn so many times as large and scaled down, so small ones are evenly spaced."""

Mask = NDArray[np.float32]
"""How much of a pixel letters cover, [H, W] in [0, 1]."""


@dataclass(frozen=True)
class TextBlock:
    """Lines of text, set in a font at a size.

    Args:
        lines: the lines; empty ones are gaps.
        font: of the letters.
        size: of the font, in pixels.
        align: ``left``, ``centre`` or ``right``.
    """

    lines: tuple[str, ...]
    font: Font
    size: int
    align: str = "left"

    @property
    def width(self) -> int:
        """The width of what is drawn, in pixels."""
        return self._ink[2] - self._ink[0]

    @property
    def height(self) -> int:
        """The height of what is drawn, in pixels."""
        return self._ink[3] - self._ink[1]

    @property
    def ascent(self) -> int:
        """The pixels from the top of what is drawn to the first baseline."""
        return -self._ink[1]

    @property
    def last_baseline(self) -> int:
        """The pixels from the top of what is drawn to the last baseline."""
        return self._baselines[-1] - self._ink[1]

    @property
    def descent(self) -> int:
        """The pixels from the last baseline to the bottom of what is drawn."""
        return self._ink[3] - self._baselines[-1]

    @cached_property
    def mask(self) -> Mask:
        """The letters: how much of each pixel they cover, [height, width] in [0, 1]."""
        left, top, _, _ = self._ink
        size = FINENESS * max(self.width, 1), FINENESS * max(self.height, 1)
        picture = Image.new("L", size)
        draw, font = ImageDraw.Draw(picture), self.font.at(FINENESS * self.size)
        for x, y, line in zip(self._starts, self._baselines, self.lines, strict=True):
            corner = FINENESS * (x - left), FINENESS * (y - top)
            with font_errors(self.font):
                draw.text(corner, line, 255, font, anchor="ls")
        return np.asarray(picture.reduce(FINENESS), np.float32) / np.float32(255)

    @cached_property
    def _extents(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of every line, from the start of its baseline."""
        font, extents = self.font.at(FINENESS * self.size), list[tuple[int, int, int, int]]()
        for line in self.lines:
            with font_errors(self.font):
                box = font.getbbox(line or " ", anchor="ls")
            left, top, right, bottom = (side / FINENESS for side in box)
            if max(right - left, bottom - top) > 20 * self.size * (len(line) + 1):
                raise RequestError(
                    f"the letters of {self.font.path} are many times as large as the font says; "
                    "name another with film.font=PATH"
                )
            extents.append((floor(left), floor(top), ceil(right), ceil(bottom)))
        return extents

    @cached_property
    def _starts(self) -> list[int]:
        """The x of every line, from the left edge of the block."""
        widths = [right for _, _, right, _ in self._extents]
        shares = {"left": 0.0, "centre": 0.5, "right": 1.0}
        return [round((max(widths) - width) * shares[self.align]) for width in widths]

    @property
    def _baselines(self) -> list[int]:
        """The y of every line, from the first baseline."""
        return [round(number * LEADING * self.size) for number in range(len(self.lines))]

    @cached_property
    def _ink(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of all lines, from the start of the first baseline."""
        boxes = [
            (x + left, y + top, x + right, y + bottom)
            for x, y, (left, top, right, bottom) in zip(
                self._starts, self._baselines, self._extents, strict=True
            )
        ]
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


def break_lines(text: str, font: Font, size: int, width: int, align: str = "left") -> TextBlock:
    """Return a text in lines as equal as words allow; only a word may be wider than ``width``.

    Args:
        text: in one or several lines.
        font: of the letters.
        size: of the font, in pixels.
        width: of the widest line, in pixels.
        align: ``left``, ``centre`` or ``right``.
    """
    fine = font.at(FINENESS * size)

    def measure(line: str) -> float:
        with font_errors(font):
            return fine.getlength(line) / FINENESS

    lines = [
        line
        for paragraph in texts.normalised(text).splitlines()
        for line in _balanced(paragraph.strip(), width, measure)
    ]
    return TextBlock(tuple(lines), font, size, align)


def sizes(size: int) -> Iterator[int]:
    """Yield a size in pixels and smaller ones, down to the smallest that text is set in."""
    yield size
    while size > SMALLEST:
        size = max(SMALLEST, min(size - 1, round(0.94 * size)))
        yield size


def no_room(what: str, width: int, height: int) -> RequestError:
    """Return the error of a text that does not fit at any size."""
    return RequestError(
        f"{what} does not fit into {width} x {height} pixels, which is its room in this film; "
        "write a shorter text, or make a larger film with film.size or film.canvas"
    )


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Return the lines of a text; a word that is wider than ``width`` has a line of its own.

    Args:
        text: one paragraph.
        width: of the widest line.
        measure: returns the width of a line.
    """
    lines = [""]
    for space, word in _words(text):
        longer = f"{lines[-1]}{space}{word}" if lines[-1] else word
        if lines[-1] and measure(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _balanced(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Return the lines of a text, as equal in length as words allow."""
    lines = wrap(text, width, measure)
    low, high = 0.0, width
    while len(lines) > 1 and high - low > 1:
        middle = (low + high) / 2
        narrower = wrap(text, middle, measure)
        if len(narrower) > len(lines) or max(map(measure, narrower)) > middle:
            low = middle
        else:
            lines, high = narrower, middle
    return lines


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Yield the pieces between which a line may break, each with the space before it.

    Scripts without spaces may break between any two of their characters.
    """
    for word in text.split():
        space, piece = " ", ""
        for character in word:
            if piece and _may_break(piece[-1], character):
                yield space, piece
                space, piece = "", ""
            piece += character
        yield space, piece


def _may_break(before: str, after: str) -> bool:
    """Return whether a line may break between two characters of a word."""
    return (
        unicodedata.east_asian_width(before) in ("W", "F")
        and unicodedata.category(before) not in _OPENING
        and unicodedata.category(after) not in _CLOSING
    )
