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
"""Seconds that captions and titles take to come and go."""


@dataclass(frozen=True)
class Caption:
    """A line that is to be read from one moment to another, in seconds."""

    text: str
    begin: float
    end: float

    def strength(self, now: float) -> float:
        """How far it is there, in [0, 1]."""
        return float(np.clip(min(now - self.begin, self.end - now) / FADE, 0, 1))


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
    """A caption, low in the picture."""
    height, width = frame.shape[:2]
    size, mode = max(12, round(0.042 * height)), "RGB" if frame.shape[2] == 3 else "RGBA"
    font = ImageFont.load_default(size)
    strip = slice(max(0, height - 3 * size), height)
    part = Image.fromarray(np.ascontiguousarray(frame[strip]))
    ink = Image.new("L", part.size, 0)
    pen = ImageDraw.Draw(ink)
    pen.text(
        (width // 2, part.size[1] // 2),
        text,
        255,
        font,
        anchor="mm",
        stroke_width=max(1, size // 10),
    )
    shade = Image.new("RGB", part.size, (0, 0, 0)).convert(mode)
    part.paste(shade, mask=ink.point(lambda value: round(value * 0.6 * strength)))
    ink = Image.new("L", part.size, 0)
    ImageDraw.Draw(ink).text((width // 2, part.size[1] // 2), text, 255, font, anchor="mm")
    part.paste(
        Image.new("RGB", part.size, (240, 238, 232)).convert(mode),
        mask=ink.point(lambda value: round(value * strength)),
    )
    found = frame.copy()
    found[strip] = np.asarray(part)
    return found


def draw_title(frame: Frame, text: str, strength: float) -> Frame:
    """A title on black, which gives way to the picture."""
    height, width = frame.shape[:2]
    card = Image.new("RGB", (width, height), (0, 0, 0))
    pen, size = ImageDraw.Draw(card), max(14, round(0.06 * height))
    font = ImageFont.load_default(size)
    while (
        size > 14 and max(pen.textlength(line, font) for line in text.splitlines()) > 0.86 * width
    ):
        size = round(0.9 * size)
        font = ImageFont.load_default(size)
    pen.multiline_text(
        (width / 2, height / 2),
        text,
        (236, 232, 226),
        font,
        anchor="mm",
        align="center",
        spacing=size // 2,
    )
    card = card.convert("RGB" if frame.shape[2] == 3 else "RGBA")
    return np.round(frame + (np.asarray(card).astype(np.float32) - frame) * strength).astype(
        np.uint8
    )
