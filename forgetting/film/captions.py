"""Captions and titles: when they are shown, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from forgetting.ablation.schedules import Schedule
from forgetting.engines.engine import Frame
from forgetting.film.settings import FilmSettings

FADE = 0.6
"""Seconds in which captions and titles appear and disappear."""


@dataclass(frozen=True)
class Caption:
    """A line of text that is shown from ``begin`` to ``end``, in seconds of the film."""

    text: str
    begin: float
    end: float

    def strength(self, second: float) -> float:
        """Return its opacity at a moment of the film, in [0, 1]."""
        return float(np.clip(min(second - self.begin, self.end - second) / FADE, 0, 1))


def act_captions(schedules: Sequence[Schedule], film: FilmSettings) -> list[Caption]:
    """Return the captions of all acts of these schedules, with the seconds they are shown at."""
    captions = []
    for schedule in schedules:
        start, end = schedule.holds
        starts = schedule.act_starts
        for act, begin, until in zip(schedule.acts, starts, starts[1:], strict=False):
            if not act.caption:
                continue
            seconds = [
                film.duration * (start + (1 - start - end) * share) for share in (begin, until)
            ]
            if schedule.direction == "remember":
                seconds = [film.duration - second for second in seconds[::-1]]
            captions.append(Caption(act.caption, *seconds))
    return captions


def draw_caption(frame: Frame, text: str, strength: float) -> Frame:
    """Return a frame [H, W, 3 or 4] with a caption near its lower edge.

    Args:
        frame: the frame, which is not changed.
        text: of the caption.
        strength: its opacity in [0, 1].
    """
    height = frame.shape[0]
    size = max(12, round(0.042 * height))
    mode = "RGB" if frame.shape[2] == 3 else "RGBA"
    strip = slice(max(0, height - 3 * size), height)
    picture = Image.fromarray(np.ascontiguousarray(frame[strip]))
    shadow = _text_mask(picture.size, text, size, outline=max(1, size // 10))
    black = Image.new("RGB", picture.size, (0, 0, 0)).convert(mode)
    picture.paste(black, mask=shadow.point(lambda value: round(value * 0.6 * strength)))
    letters = _text_mask(picture.size, text, size)
    white = Image.new("RGB", picture.size, (240, 238, 232)).convert(mode)
    picture.paste(white, mask=letters.point(lambda value: round(value * strength)))
    captioned = frame.copy()
    captioned[strip] = np.asarray(picture)
    return captioned


def _text_mask(size: tuple[int, int], text: str, height: int, outline: int = 0) -> Image.Image:
    """Return a mask of ``size`` (width, height) with a centred line of text.

    Args:
        size: width and height of the mask.
        text: the line.
        height: of the font, in pixels.
        outline: pixels by which the letters are widened.
    """
    mask = Image.new("L", size, 0)
    centre, font = (size[0] // 2, size[1] // 2), ImageFont.load_default(height)
    ImageDraw.Draw(mask).text(centre, text, 255, font, anchor="mm", stroke_width=outline)
    return mask


def draw_title(frame: Frame, text: str, strength: float) -> Frame:
    """Return a frame [H, W, 3 or 4] behind a title on black.

    Args:
        frame: the frame.
        text: of the title, in one or several lines.
        strength: opacity of the black picture with the title, in [0, 1].
    """
    height, width = frame.shape[:2]
    card = Image.new("RGB", (width, height), (0, 0, 0))
    draw, size = ImageDraw.Draw(card), max(14, round(0.06 * height))
    font, lines = ImageFont.load_default(size), text.splitlines()
    while size > 14 and max(draw.textlength(line, font) for line in lines) > 0.86 * width:
        size = round(0.9 * size)
        font = ImageFont.load_default(size)
    draw.multiline_text(
        (width / 2, height / 2),
        text,
        (236, 232, 226),
        font,
        anchor="mm",
        align="center",
        spacing=size // 2,
    )
    card = card.convert("RGB" if frame.shape[2] == 3 else "RGBA")
    title = np.asarray(card).astype(np.float32)
    return np.round(frame + (title - frame) * strength).astype(np.uint8)
