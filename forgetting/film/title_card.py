"""The title card: frames of their own before the first frame of a film."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forgetting.engines.pixels import Frame
from forgetting.film.fonts import Font
from forgetting.film.inks import contrasting_ink, paint
from forgetting.film.settings import FilmSettings
from forgetting.film.typesetting import TextBlock, break_lines, no_room, sizes

FADE = 0.7
"""Seconds in which letters and picture appear; in short titles a quarter of their time."""

SIZE = 0.05
"""Size of the letters, as a share of the frame's height; of narrow frames, of the width."""

MIN_SIZE = 14
"""The smallest size that titles begin with, in pixels; long ones are made smaller."""

ROOM = (0.8, 0.7)
"""The largest width and height of a title, as shares of the frame's."""


@dataclass(frozen=True, eq=False)
class TitleCard:
    """The title of a film on its background.

    Letters appear and disappear; then the first picture of the film appears.

    Args:
        film: holds the title, its duration and the background.
        font: of the letters.
        shape: height and width of the finished frames.
    """

    film: FilmSettings
    font: Font
    shape: tuple[int, int]

    def frames(self, first: Frame) -> Iterator[Frame]:
        """Yield the frames of the card, [H, W, 3 or 4].

        Args:
            first: the first frame of the film.
        """
        count = self.film.title_frames
        fade = min(FADE * self.film.rate / count, 0.25)
        for number in range(count):
            # In the middle of the frame's time, so that no frame is without any change.
            time = (number + 0.5) / count
            letters = _eased(min(time, 1 - fade - time) / fade)
            yield self._frame(first, letters, _eased((time - 1 + fade) / fade))

    def check(self) -> None:
        """Raise where the title does not fit.

        Raises:
            RequestError: it does not fit at the smallest size.
        """
        self._block  # noqa: B018 (raises if it does not fit)

    def _frame(self, first: Frame, letters: float, picture: float) -> Frame:
        """Return the card with letters and picture at their opacities."""
        height, width = self.shape
        frame = np.empty((height, width, self.film.channels), np.uint8)
        frame[:] = self.film.background_colour
        corner = (height - self._block.height) // 2, (width - self._block.width) // 2
        ink = contrasting_ink(self.film.background_colour)
        paint(frame, np.float32(letters) * self._block.mask, corner, ink)
        return _blended(frame, first, picture) if picture else frame

    @cached_property
    def _block(self) -> TextBlock:
        (height, width), title = self.shape, self.film.title or ""
        room = round(ROOM[0] * width), round(ROOM[1] * height)
        for size in sizes(max(MIN_SIZE, round(SIZE * min(height, width)))):
            block = break_lines(title, self.font, size, room[0], "centre")
            if block.width <= room[0] and block.height <= room[1]:
                return block
        raise no_room("film.title", *room)


def _eased(share: float) -> float:
    """Return a share, which is cut to [0, 1], so that it begins and ends slowly."""
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def _blended(before: Frame, after: Frame, share: float) -> Frame:
    """Return a frame between two others [H, W, 3 or 4]; ``share`` is that of ``after``."""
    if before.shape[2] == 3:
        return np.round(before + (after.astype(np.float32) - before) * share).astype(np.uint8)
    alphas = [frame[..., 3:].astype(np.float32) for frame in (before, after)]
    alpha = alphas[0] * (1 - share) + alphas[1] * share
    colours = before[..., :3] * (alphas[0] * (1 - share)) + after[..., :3] * (alphas[1] * share)
    colours = colours / np.maximum(alpha, 1e-6)
    return np.round(np.concatenate((colours, alpha), axis=2)).astype(np.uint8)
