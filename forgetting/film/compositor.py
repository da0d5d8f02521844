"""What stands beside the face: the memory map, the forgetting curve, captions; and the canvas that all of it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.engines.engine import Frame
from forgetting.film.captions import FADE, Caption, draw_caption, draw_title
from forgetting.film.images import cropped, fit
from forgetting.film.memory_map import MemoryMap
from forgetting.ablation.tracks import ENDINGS
from forgetting.film.settings import FilmSettings
from forgetting.models.activity import Activity, map_layers
from forgetting.models.units import PICTURE

INSET = 0.3
"""Height of the map that stands in a corner, as a share of the picture's."""

TITLE = 3.0
"""Seconds that a title stands before the film."""

POINTS = 400
"""Places of the film at which the forgetting curve is known; between them it is straight."""


@dataclass(frozen=True, eq=False)
class Compositor:
    """How the frames of a film are composed; ``size`` is the picture's height and width as it comes from the network."""

    film: FilmSettings
    plan: Plan
    size: tuple[int, int]
    captions: Sequence[Caption] = ()
    reference: Activity | None = None  # what the cells of the map say when all is intact

    def compose(self, index: int, picture: Frame, levels: Activity | None) -> Frame:
        """A finished frame, [H, W, 3], or [H, W, 4] with alpha."""
        face = self._captioned(index, self._solid(fit(picture, self.film.panel(*self.size))))
        frame = face if self.film.layout == "face" else self._beside(index, face, levels)
        if self.film.ending == "clear":
            frame = frame.copy()
            frame[..., 3] = np.round(frame[..., 3] * (1 - self._faint(self.plan.ablation_by_layer(index))))
        now = index / self.film.fps
        if self.film.title and now < TITLE:
            frame = draw_title(frame, self.film.title, float(np.clip((TITLE - now) / FADE, 0, 1)))
        return on_canvas(frame, self.film)

    def _solid(self, frame: Frame) -> Frame:
        """[H, W, 3] with as many channels as the film has, nothing of it transparent."""
        return (
            frame
            if self.film.channels == 3
            else np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8)))
        )

    def _beside(self, index: int, face: Frame, levels: Activity | None) -> Frame:
        assert levels is not None
        assert self.map is not None
        gone = self.plan.ablation_by_layer(index)
        remembered = self._solid(self._faded(gone, self.map.draw(levels, gone)))
        match self.film.layout:
            case "map":
                return self._captioned(index, remembered)
            case "inset":
                frame, (high, wide), margin = (
                    face.copy(),
                    remembered.shape[:2],
                    round(0.03 * face.shape[0]),
                )
                y, x = frame.shape[0] - high - margin, frame.shape[1] - wide - margin
                frame[y : y + high, x : x + wide] = remembered
                return frame
            case "diptych":
                return _row([face, remembered])
        return _row([face, remembered, self._solid(self._faded(gone, self._curve(index)))])

    @staticmethod
    def _faint(gone: Mapping[str, Tensor]) -> float:
        """How far the picture itself is gone, in [0, 1]."""
        return float(gone[PICTURE.name]) if PICTURE.name in gone else 0.0

    def _faded(self, gone: Mapping[str, Tensor], drawn: Frame) -> Frame:
        """What fades the picture in the end fades what stands beside it."""
        level = ENDINGS[self.film.ending]
        if level is None or not (faint := self._faint(gone)):
            return drawn
        return np.round(drawn + (127.5 * (level + 1) - drawn) * faint).astype(np.uint8)

    @cached_property
    def map(self) -> MemoryMap | None:
        if self.reference is None:
            return None
        return MemoryMap.of(
            map_layers(track.layers for track in self.plan.tracks),
            self.reference,
            map_shape(self.film, self.size),
        )

    @cached_property
    def _alive(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frames, and the share of units that is left at each."""
        frames = np.unique(
            np.linspace(0, len(self.plan) - 1, min(POINTS, len(self.plan))).round().astype(int)
        )
        return frames.astype(np.float64), np.array(
            [1 - self.plan.ablated_share(int(frame)) for frame in frames]
        )

    def _curve(self, index: int) -> Frame:
        """The forgetting curve up to this frame: how many units are left, over time."""
        height, width = self.film.panel(*self.size)
        frames, alive = self._alive
        then = np.append(frames[frames < index], index)
        left = np.interp(then, frames, alive)
        margin, thick = round(0.08 * height), max(2, round(0.005 * height))
        x = margin + (width - 2 * margin) * then / max(len(self.plan) - 1, 1)
        y = height - margin - (height - 2 * margin) * left
        panel = Image.new("RGB", (width, height), (0, 0, 0))
        pen, font = ImageDraw.Draw(panel), ImageFont.load_default(max(10, round(0.028 * height)))
        grey = (72, 72, 72)
        pen.line(
            [(margin, margin), (margin, height - margin), (width - margin, height - margin)],
            grey,
            max(1, thick // 2),
        )
        pen.text((margin, margin * 0.45), "units left", grey, font)
        pen.text((width - margin, height - margin * 0.75), "time", grey, font, anchor="ra")
        if len(then) > 1:
            pen.line(
                list(zip(x.tolist(), y.tolist(), strict=True)),
                (236, 232, 226),
                thick,
                joint="curve",
            )
        pen.circle((float(x[-1]), float(y[-1])), 2 * thick, (255, 140, 48))
        pen.text(
            (width - margin, margin * 0.45),
            f"{100 * left[-1]:.0f} %",
            (236, 232, 226),
            font,
            anchor="ra",
        )
        return np.asarray(panel)

    def _captioned(self, index: int, panel: Frame) -> Frame:
        """With what is to be read now: in the panel of the face, for between two it would lie across their seam."""
        for caption in self.captions:
            if (strength := caption.strength(index / self.film.fps)) > 0:
                panel = draw_caption(panel, caption.text, strength)
        return panel


def map_shape(film: FilmSettings, size: tuple[int, int]) -> tuple[int, int]:
    height, width = film.panel(*size)
    return (
        (round(INSET * height), round(INSET * height))
        if film.layout == "inset"
        else (height, width)
    )


def _row(panels: Sequence[Frame]) -> Frame:
    """Panels side by side, with darkness between, or nothing."""
    height = panels[0].shape[0]
    gap = np.zeros((height, FilmSettings.gap(height), panels[0].shape[2]), np.uint8)
    found = [panels[0]]
    for panel in panels[1:]:
        found += [gap, panel]
    return np.concatenate(found, axis=1)


def on_canvas(frame: Frame, film: FilmSettings) -> Frame:
    """The frame cropped, and in the middle of the film's canvas, as large as it fits."""
    if film.crop:
        (height, width), (high, wide) = (
            frame.shape[:2],
            cropped((frame.shape[0], frame.shape[1]), film.crop),
        )
        y, x = (height - high) // 2, (width - wide) // 2
        frame = frame[y : y + high, x : x + wide]
    if not film.canvas:
        return frame
    (height, width), (across, down) = frame.shape[:2], film.canvas
    scale = min(across / width, down / height)
    high, wide = min(down, round(height * scale)), min(across, round(width * scale))
    canvas = np.empty((down, across, film.channels), np.uint8)
    canvas[:] = film.background_colour
    y, x = (down - high) // 2, (across - wide) // 2
    canvas[y : y + high, x : x + wide] = fit(frame, (high, wide))
    return canvas
