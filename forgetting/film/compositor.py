"""Composes frames: the face, the memory map, the forgetting curve, captions and the canvas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import ENDINGS
from forgetting.engines.pixels import Frame
from forgetting.film import grid as grids
from forgetting.film.captions import Box, Caption, CaptionSetter
from forgetting.film.fonts import Font
from forgetting.film.images import cropped, fit
from forgetting.film.memory_map import MemoryMap
from forgetting.film.settings import FilmSettings
from forgetting.film.title_card import TitleCard
from forgetting.models.activity import Activity, map_layers
from forgetting.models.units import PICTURE

INSET, INSET_MARGIN = 0.3, 0.03
"""Height of the map in the layout ``inset``, and its distance from the edges, as shares of the
picture's height."""

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
        captions: of the film.
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
        face = self._add_face_alpha(fit(picture, self._panel))
        frame = face if self.film.layout == "face" else self._arrange(index, face, activity)
        if self.film.ending == "clear":
            frame = frame.copy()
            opacity = 1 - self._fade(self.plan.ablation_by_layer(index))
            frame[..., 3] = np.round(frame[..., 3] * opacity)
        return self._caption_setter.draw(on_canvas(frame, self.film), index / self.film.fps)

    @property
    def takes_planes(self) -> bool:
        """Whether the film stores the planes of the network's pictures, and adds nothing to them.

        All its frames are planes then, or none is.
        """
        film = self.film
        return (
            film.file_format.planes
            and film.layout == "face"
            and film.channels == 3
            and film.faces == 1
            and not self.captions
            and film.shape(*self.size) == film.panel(*self.size) == tuple(self.size)
        )

    def title_frames(self, first: Frame) -> Iterator[Frame]:
        """Yield the frames of the title, which stand before the ``first`` frame of the film."""
        yield from self._title_card.frames(first)

    def check_texts(self) -> None:
        """Raise where the title or a caption does not fit into the frames.

        Raises:
            RequestError: a text does not fit at the smallest size.
        """
        self._caption_setter.check()
        if self.film.title_frames:
            self._title_card.check()

    @cached_property
    def _title_card(self) -> TitleCard:
        return TitleCard(self.film, self.film.text_font, self.film.shape(*self.size))

    @cached_property
    def _caption_setter(self) -> CaptionSetter:
        film = self.film
        picture = picture_box(film, film.uncropped_shape(*self.size))
        inset = map_shape(film, self.size)[1] / self._panel[1] if film.layout == "inset" else 0.0
        return CaptionSetter(
            self.captions,
            film.text_font,
            film.shape(*self.size),
            picture,
            round((inset + INSET_MARGIN) * picture.width) if inset else 0,
            film.background_colour,
        )

    @property
    def _panel(self) -> tuple[int, int]:
        return self.film.panel(*self.size)

    def _add_alpha(self, frame: Frame) -> Frame:
        """Return a frame [H, W, 3] with the film's channels, all of it opaque."""
        if self.film.channels == 3:
            return frame
        return np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8)))

    def _add_face_alpha(self, face: Frame) -> Frame:
        """Return the panel of the face with the film's channels; gaps of a grid are clear."""
        face = self._add_alpha(face)
        if self.film.channels == 4 and self.film.grid_size != (1, 1):
            opaque = face[..., 3].copy()
            face[..., 3] = 0
            for cell in grids.cells(self._panel, *self.film.grid_size):
                face[..., 3][cell] = opaque[cell]
        return face

    def _arrange(self, index: int, face: Frame, activity: Activity | None) -> Frame:
        """Return the panels of a frame as one picture."""
        assert activity is not None
        assert self.map is not None
        ablation = self.plan.ablation_by_layer(index)
        memory = self.map.draw(activity, ablation)
        memory = self._add_alpha(self._add_ending(ablation, memory))
        match self.film.layout:
            case "map":
                return memory
            case "inset":
                frame, margin = face.copy(), round(INSET_MARGIN * face.shape[0])
                bottom, right = frame.shape[0] - margin, frame.shape[1] - margin
                height, width = memory.shape[:2]
                frame[bottom - height : bottom, right - width : right] = memory
                return frame
            case "diptych":
                return _side_by_side([face, memory], self.film.background_colour)
        curve = self._add_alpha(self._add_ending(ablation, self._draw_curve(index)))
        return _side_by_side([face, memory, curve], self.film.background_colour)

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
        draw, font = ImageDraw.Draw(panel), Font().at(max(10, round(0.032 * height)))
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


def map_shape(film: FilmSettings, size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the memory map, for pictures of ``size`` (height, width)."""
    height, width = film.panel(*size)
    if film.layout == "inset":
        return round(INSET * height), round(INSET * height)
    return height, width


def _side_by_side(panels: Sequence[Frame], ground: Sequence[int]) -> Frame:
    """Return panels as one picture; the gaps between them have the colour of the background."""
    height = panels[0].shape[0]
    gap = np.empty((height, FilmSettings.gap(height), panels[0].shape[2]), np.uint8)
    gap[:] = ground
    columns = [panels[0]]
    for panel in panels[1:]:
        columns += [gap, panel]
    return np.concatenate(columns, axis=1)


def picture_box(film: FilmSettings, shape: tuple[int, int]) -> Box:
    """Return where a frame of this shape (height, width) lies in the finished frame."""
    height, width = cropped(shape, film.crop) if film.crop else shape
    if not film.canvas:
        return Box(0, 0, width, height)
    canvas_width, canvas_height = film.canvas
    scale = min(canvas_width / width, canvas_height / height)
    high, wide = min(canvas_height, round(height * scale)), min(canvas_width, round(width * scale))
    return Box((canvas_width - wide) // 2, (canvas_height - high) // 2, wide, high)


def on_canvas(frame: Frame, film: FilmSettings) -> Frame:
    """Return the frame cropped, and centred on the film's canvas as large as it fits."""
    height, width = frame.shape[:2]
    box = picture_box(film, (height, width))
    if film.crop:
        frame = _centre(frame, cropped((height, width), film.crop))
    if not film.canvas:
        return frame
    canvas_width, canvas_height = film.canvas
    canvas = np.empty((canvas_height, canvas_width, film.channels), np.uint8)
    canvas[:] = film.background_colour
    canvas[box.top : box.bottom, box.left : box.right] = fit(frame, (box.height, box.width))
    return canvas


def _centre(frame: Frame, shape: tuple[int, int]) -> Frame:
    """Return a view of the middle of a frame, of ``shape`` (height, width)."""
    top, left = ((outer - inner) // 2 for outer, inner in zip(frame.shape[:2], shape, strict=True))
    return frame[top : top + shape[0], left : left + shape[1]]
