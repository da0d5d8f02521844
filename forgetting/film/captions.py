"""Captions: when they are shown, where they stand in a finished frame, and how they are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from forgetting.ablation.schedules import Schedule
from forgetting.engines.pixels import Frame
from forgetting.film import texts
from forgetting.film.fonts import Font
from forgetting.film.inks import DARK, LIGHT, Colour, contrasting_ink, paint
from forgetting.film.settings import FilmSettings
from forgetting.film.typesetting import LEADING, TextBlock, break_lines, no_room, sizes

FADE = 0.6
"""Seconds in which captions appear and disappear."""

SIZE = 0.032
"""Size of the letters, as a share of the frame's height; of narrow frames, of 16/9 of the width."""

MIN_SIZE = 12
"""The smallest size that captions begin with, in pixels; long ones are made smaller."""

EDGE = 0.045
"""Distance from the edge of the frame, as a share of its shorter side."""

IN_MARGIN = 0.75
"""How small letters may become to stand below the picture, as a share of their size."""

MIN_COLUMN = 9
"""The narrowest margin beside a picture in which captions stand, in sizes of the letters."""

LIGHTEST, DARKEST = 0.3, 0.7
"""How bright a picture may be behind light letters, and how dark behind dark ones, in [0, 1]: where
it is not, a soft shade lies between the two."""

TURN = (0.62, 0.66)
"""The brightness of a picture, in [0, 1], between which letters turn from light to dark."""


@dataclass(frozen=True)
class Caption:
    """A text that is shown from ``begin`` to ``end``, in seconds of the film."""

    text: str
    begin: float
    end: float

    def strength(self, second: float) -> float:
        """Return its opacity at a moment of the film, in [0, 1]."""
        return float(np.clip(min(second - self.begin, self.end - second) / FADE, 0, 1))


@dataclass(frozen=True)
class Box:
    """A rectangle within a frame, in pixels from its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column beside it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height


def act_captions(schedules: Sequence[Schedule], film: FilmSettings) -> list[Caption]:
    """Return the captions of all acts of these schedules, with the seconds they are shown at."""
    captions = []
    for schedule in schedules:
        start, end = schedule.holds
        starts = schedule.act_starts
        for act, begin, until in zip(schedule.acts, starts, starts[1:], strict=False):
            if not act.caption:
                continue
            first, last = (
                film.duration * (start + (1 - start - end) * share) for share in (begin, until)
            )
            match schedule.direction:
                case "forget":
                    captions.append(Caption(act.caption, first, last))
                case "remember":
                    captions.append(
                        Caption(act.caption, film.duration - last, film.duration - first)
                    )
                case _:  # there and back: the act is seen twice, each time at double speed
                    captions.append(Caption(act.caption, first / 2, last / 2))
                    captions.append(
                        Caption(act.caption, film.duration - last / 2, film.duration - first / 2)
                    )
    return captions


def check_texts(film: FilmSettings, schedules: Sequence[Schedule]) -> None:
    """Raise unless the title of a film and the captions of its acts can be set in its font.

    Raises:
        RequestError: a text is too long, or holds characters that the font lacks.
    """
    if film.title_frames:
        film.text_font.check("film.title", film.title or "")
    for caption in (act.caption for schedule in schedules for act in schedule.acts if act.caption):
        _check_caption(caption, film.text_font)


def _check_caption(caption: object, font: Font) -> None:
    what = f"the caption {str(caption)!r:.60}"
    texts.check_text(what, caption, texts.MAX_CAPTION)
    font.check(what, str(caption))


@dataclass(frozen=True)
class _Placed:
    """A caption that is set: its block, and where the upper left corner of that lies."""

    block: TextBlock
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class CaptionSetter:
    """Draws the captions of a film into its finished frames.

    They stand in the margin of the canvas where there is room for all of them: below the picture,
    else at its right. Otherwise they stand in the lower left corner of the picture, on a soft shade
    where it is bright. All captions of a film have one place and one size.

    Args:
        captions: of the film.
        font: of the letters.
        frame: height and width of the finished frames.
        picture: where the picture lies in them.
        taken: columns at the right of the picture that something else covers.
        ground: colour of the canvas, in [0, 255], perhaps with alpha.
    """

    captions: Sequence[Caption]
    font: Font
    frame: tuple[int, int]
    picture: Box
    taken: int
    ground: tuple[int, ...]

    def draw(self, frame: Frame, second: float) -> Frame:
        """Return a frame [H, W, 3 or 4] with the captions of a moment of the film."""
        strengths = [caption.strength(second) for caption in self.captions]
        if not any(strengths):
            return frame
        drawn, (placed, inside) = frame.copy(), self._placed
        for text, strength in zip(placed, strengths, strict=True):
            if not strength:
                continue
            ink = _shade(drawn, text, strength) if inside else contrasting_ink(self.ground)
            paint(drawn, strength * text.block.mask, (text.top, text.left), ink)
        return drawn

    def check(self) -> None:
        """Raise where the captions cannot be set or do not fit.

        Raises:
            RequestError: letters are missing, or the captions do not fit at the smallest size.
        """
        for text in dict.fromkeys(caption.text for caption in self.captions):
            _check_caption(text, self.font)
        self._placed  # noqa: B018 (raises if they do not fit)

    @cached_property
    def _placed(self) -> tuple[list[_Placed], bool]:
        """The captions, and whether they stand upon the picture."""
        (height, width), picture = self.frame, self.picture
        size = max(MIN_SIZE, round(SIZE * min(height, width * 16 / 9)))
        edge, gap = max(2, round(EDGE * min(self.frame))), round(0.5 * size)
        left, top = max(edge, picture.left), picture.bottom + gap
        below = Box(left, top, width - edge - left, height - gap - top)
        for smaller in itertools.takewhile(lambda tried: tried >= IN_MARGIN * size, sizes(size)):
            if placed := self._place(below, smaller, upwards=False):
                return placed, False
        left = picture.right + 2 * gap
        bottom = min(picture.bottom, height - edge)
        beside = Box(left, picture.top, width - edge - left, bottom - picture.top)
        if beside.width >= MIN_COLUMN * size and (placed := self._place(beside, size)):
            return placed, False
        # They leave the upper half of the picture alone.
        left, top = picture.left + edge, picture.top + picture.height // 2
        right, bottom = picture.right - edge - self.taken, picture.bottom - edge
        within = Box(left, top, right - left, bottom - top)
        for smaller in sizes(size):
            if (placed := self._place(within, smaller)) is not None:
                return placed, True
        longest = max((caption.text for caption in self.captions), key=len)
        raise no_room(f"the caption {longest!r:.60}", within.width, within.height)

    def _place(self, area: Box, size: int, upwards: bool = True) -> list[_Placed] | None:
        """Return the captions within an area, or None if they do not fit at this size.

        Args:
            area: which lies within the frame.
            size: of the letters, in pixels.
            upwards: whether the first row of captions is the lowest.
        """
        if min(area.width, area.height) < size:
            return None
        blocks = [
            break_lines(
                caption.text,
                self.font,
                size,
                area.width,
                "right" if texts.is_right_to_left(caption.text) else "left",
            )
            for caption in self.captions
        ]
        rows = self._rows
        # Every row has room for its longest caption; rows are half a line apart.
        lines = [0.0] * (max(rows, default=-1) + 1)
        for block, row in zip(blocks, rows, strict=True):
            lines[row] = max(lines[row], len(block.lines) + 0.5)
        rise = max((block.ascent for block in blocks), default=0)
        depth = max((block.descent for block in blocks), default=0)
        height = rise + depth + round((sum(lines) - 1.5) * LEADING * size)
        if height > area.height or any(block.width > area.width for block in blocks):
            return None
        slack = min(size // 2, (area.height - height) // 2)
        placed = []
        for block, row in zip(blocks, rows, strict=True):
            before = round(sum(lines[:row]) * LEADING * size)
            top = area.top + slack + rise - block.ascent + before
            if upwards:  # the last lines stand on one baseline
                top = area.bottom - depth - block.last_baseline - before
            left = area.left if block.align == "left" else area.right - block.width
            placed.append(_Placed(block, top, left))
        return placed

    @cached_property
    def _rows(self) -> list[int]:
        """The row of every caption: captions that are shown at the same time have their own."""
        rows, ends = [0] * len(self.captions), list[float]()
        for number in sorted(range(len(rows)), key=lambda number: self.captions[number].begin):
            caption = self.captions[number]
            free = (row for row, end in enumerate(ends) if end <= caption.begin + 1e-9)
            rows[number] = next(free, len(ends))
            ends[rows[number] : rows[number] + 1] = [caption.end]
        return rows


def _shade(frame: Frame, text: _Placed, strength: float) -> Colour:
    """Lay a soft shade behind a caption, in place, where it needs one; return the ink for it.

    Ink and shade change gradually with the picture, and depend on this frame alone.
    """
    block, reach = text.block, 4 * text.block.size
    behind = frame[
        text.top : text.top + block.height, text.left : text.left + block.width, :3
    ].mean(axis=2)
    light, spread = float(behind.mean()) / 255, float(behind.std()) / 255
    turned = min(1.0, max(0.0, (light - TURN[0]) / (TURN[1] - TURN[0])))
    depths = {
        DARK: (1 - turned) * (1 - min(1.0, LIGHTEST / max(light + spread, 1e-6))),
        LIGHT: turned * (1 - min(1.0, (1 - DARKEST) / max(1 - light + spread, 1e-6))),
    }
    shape = Image.new("L", (block.width + 2 * reach, block.height + 2 * reach))
    wider = reach - block.size // 2
    shape.paste(255, (wider, wider, shape.width - wider, shape.height - wider))
    soft = np.asarray(shape.filter(ImageFilter.GaussianBlur(1.1 * block.size)), np.float32)
    for colour, depth in depths.items():
        if depth:
            mask = soft * np.float32(depth * strength / 255)
            paint(frame, mask, (text.top - reach, text.left - reach), colour)
    red, green, blue = (
        round(light + (dark - light) * turned) for light, dark in zip(LIGHT, DARK, strict=True)
    )
    return red, green, blue
