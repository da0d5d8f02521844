"""Composes frames: the face, the memory map, the forgetting curve, captions and the canvas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import ENDINGS
from forgetting.engines.engine import Frame
from forgetting.film.captions import FADE, Caption, draw_caption, draw_title
from forgetting.film.images import cropped, fit
from forgetting.film.memory_map import MemoryMap
from forgetting.film.settings import FilmSettings
from forgetting.models.activity import Activity, map_layers
from forgetting.models.units import PICTURE

INSET = 0.3
"""Height of the map in the layout ``inset``, as a share of the picture's."""

TITLE = 3.0
"""Seconds that a title is shown before the film."""

POINTS = 400
"""The most frames at which the forgetting curve is computed; it is linear between them."""

_AXES, _CURVE, _NOW = (72, 72, 72), (236, 232, 226), (255, 140, 48)


@dataclass(frozen=True, eq=False)
class Compositor:
    """Composes the frames of a film.

    Args:
        film: how the film is written.
        plan: of the film.
        size: height and width of the network's pictures.
        captions: shown in the panel of the face.
        reference: activity [M] of the memory map's cells without any ablation; None without a map.
    """

    film: FilmSettings
    plan: Plan
    size: tuple[int, int]
    captions: Sequence[Caption] = ()
    reference: Activity | None = None

    def compose(self, index: int, picture: Frame, activity: Activity | None) -> Frame:
        """Return a finished frame, [H, W, 3], or [H, W, 4] with alpha.

        Args:
            index: of the frame in the plan.
            picture: of the network, [h, w, 3].
            activity: [M] of the memory map's cells; None in films without a map.
        """
        face = self._add_captions(index, self._add_alpha(fit(picture, self._panel)))
        frame = face if self.film.layout == "face" else self._arrange(index, face, activity)
        if self.film.ending == "clear":
            frame = frame.copy()
            opacity = 1 - self._fade(self.plan.ablation_by_layer(index))
            frame[..., 3] = np.round(frame[..., 3] * opacity)
        second = index / self.film.fps
        if self.film.title and second < TITLE:
            strength = float(np.clip((TITLE - second) / FADE, 0, 1))
            frame = draw_title(frame, self.film.title, strength)
        return on_canvas(frame, self.film)

    @property
    def _panel(self) -> tuple[int, int]:
        return self.film.panel(*self.size)

    def _add_alpha(self, frame: Frame) -> Frame:
        """Return a frame [H, W, 3] with the film's channels, all of it opaque."""
        if self.film.channels == 3:
            return frame
        return np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8)))

    def _arrange(self, index: int, face: Frame, activity: Activity | None) -> Frame:
        """Return the panels of a frame as one picture."""
        assert activity is not None
        assert self.map is not None
        ablation = self.plan.ablation_by_layer(index)
        memory = self.map.draw(activity, ablation)
        memory = self._add_alpha(self._add_ending(ablation, memory))
        match self.film.layout:
            case "map":
                return self._add_captions(index, memory)
            case "inset":
                frame, margin = face.copy(), round(0.03 * face.shape[0])
                bottom, right = frame.shape[0] - margin, frame.shape[1] - margin
                height, width = memory.shape[:2]
                frame[bottom - height : bottom, right - width : right] = memory
                return frame
            case "diptych":
                return _side_by_side([face, memory])
        curve = self._add_alpha(self._add_ending(ablation, self._draw_curve(index)))
        return _side_by_side([face, memory, curve])

    @staticmethod
    def _fade(ablation: Mapping[str, Tensor]) -> float:
        """Return how far the picture itself has faded, in [0, 1]."""
        return float(ablation[PICTURE.name]) if PICTURE.name in ablation else 0.0

    def _add_ending(self, ablation: Mapping[str, Tensor], panel: Frame) -> Frame:
        """Return a panel faded as far as the face is at the end of the film."""
        level = ENDINGS[self.film.ending]
        if level is None or not (fade := self._fade(ablation)):
            return panel
        return np.round(panel + (127.5 * (level + 1) - panel) * fade).astype(np.uint8)

    @cached_property
    def map(self) -> MemoryMap | None:
        """The memory map of all tracks, or None in films without one."""
        if self.reference is None:
            return None
        layers = map_layers(track.layers for track in self.plan.tracks)
        return MemoryMap.of(layers, self.reference, map_shape(self.film, self.size))

    @cached_property
    def _intact_shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The frames at which the forgetting curve is computed, and the share of intact units."""
        count = len(self.plan)
        frames = np.unique(np.linspace(0, count - 1, min(POINTS, count)).round().astype(int))
        shares = np.array([1 - self.plan.ablated_share(int(frame)) for frame in frames])
        return frames.astype(np.float64), shares

    def _draw_curve(self, index: int) -> Frame:
        """Return the panel of the forgetting curve: intact units over time, up to this frame."""
        height, width = self._panel
        all_frames, all_shares = self._intact_shares
        frames = np.append(all_frames[all_frames < index], index)
        shares = np.interp(frames, all_frames, all_shares)
        margin, thickness = round(0.08 * height), max(2, round(0.005 * height))
        x = margin + (width - 2 * margin) * frames / max(len(self.plan) - 1, 1)
        y = height - margin - (height - 2 * margin) * shares
        panel = Image.new("RGB", (width, height), (0, 0, 0))
        draw, font = ImageDraw.Draw(panel), ImageFont.load_default(max(10, round(0.028 * height)))
        corners = [(margin, margin), (margin, height - margin), (width - margin, height - margin)]
        draw.line(corners, _AXES, max(1, thickness // 2))
        draw.text((margin, margin * 0.45), "units left", _AXES, font)
        draw.text((width - margin, height - margin * 0.75), "time", _AXES, font, anchor="ra")
        if len(frames) > 1:
            points = list(zip(x.tolist(), y.tolist(), strict=True))
            draw.line(points, _CURVE, thickness, joint="curve")
        draw.circle((float(x[-1]), float(y[-1])), 2 * thickness, _NOW)
        percent = f"{100 * shares[-1]:.0f} %"
        draw.text((width - margin, margin * 0.45), percent, _CURVE, font, anchor="ra")
        return np.asarray(panel)

    def _add_captions(self, index: int, panel: Frame) -> Frame:
        """Return a panel with the captions of this moment.

        Captions are drawn in one panel: across two of them they would cover the gap.
        """
        for caption in self.captions:
            if (strength := caption.strength(index / self.film.fps)) > 0:
                panel = draw_caption(panel, caption.text, strength)
        return panel


def map_shape(film: FilmSettings, size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the memory map, for pictures of ``size`` (height, width)."""
    height, width = film.panel(*size)
    if film.layout == "inset":
        return round(INSET * height), round(INSET * height)
    return height, width


def _side_by_side(panels: Sequence[Frame]) -> Frame:
    """Return panels as one picture; the gaps between them are black, or transparent."""
    height = panels[0].shape[0]
    gap = np.zeros((height, FilmSettings.gap(height), panels[0].shape[2]), np.uint8)
    columns = [panels[0]]
    for panel in panels[1:]:
        columns += [gap, panel]
    return np.concatenate(columns, axis=1)


def on_canvas(frame: Frame, film: FilmSettings) -> Frame:
    """Return the frame cropped, and centred on the film's canvas as large as it fits."""
    height, width = frame.shape[:2]
    if film.crop:
        height, width = cropped((height, width), film.crop)
        frame = _centre(frame, (height, width))
    if not film.canvas:
        return frame
    canvas_width, canvas_height = film.canvas
    scale = min(canvas_width / width, canvas_height / height)
    size = min(canvas_height, round(height * scale)), min(canvas_width, round(width * scale))
    canvas = np.empty((canvas_height, canvas_width, film.channels), np.uint8)
    canvas[:] = film.background_colour
    _centre(canvas, size)[:] = fit(frame, size)
    return canvas


def _centre(frame: Frame, shape: tuple[int, int]) -> Frame:
    """Return a view of the middle of a frame, of ``shape`` (height, width)."""
    top, left = ((outer - inner) // 2 for outer, inner in zip(frame.shape[:2], shape, strict=True))
    return frame[top : top + shape[0], left : left + shape[1]]
