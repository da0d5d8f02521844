"""Ink: the colours of text, and how it is laid over a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetting.engines.pixels import Frame
from forgetting.film.typesetting import Mask

Colour = tuple[int, int, int]
"""Red, green and blue in [0, 255]."""

LIGHT: Colour = (236, 232, 226)
DARK: Colour = (30, 28, 26)


def contrasting_ink(ground: Sequence[int]) -> Colour:
    """Return the ink that is easier to read on a colour; on a transparent one, the light ink."""
    red, green, blue = ground[:3]
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 128 else LIGHT


def paint(frame: Frame, mask: Mask, corner: tuple[int, int], ink: Colour) -> None:
    """Lay ink over a frame [H, W, 3 or 4], in place; what lies beside the frame is left out.

    Args:
        frame: with straight alpha, if it has any.
        mask: opacity of the ink, [h, w] in [0, 1].
        corner: row and column of the mask's upper left corner.
        ink: its colour.
    """
    (top, left), (height, width) = corner, mask.shape
    mask = mask[max(0, -top) : frame.shape[0] - top, max(0, -left) : frame.shape[1] - left]
    area = frame[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    over = mask[..., None]
    if frame.shape[2] == 3:
        area[:] = np.round(area + (np.array(ink, np.float32) - area) * over)
        return
    behind = area[..., 3:] / np.float32(255) * (1 - over)
    alpha = behind + over
    colours = np.array(ink, np.float32) * over + area[..., :3] * behind
    area[..., :3] = np.round(colours / np.maximum(alpha, 1e-6))
    area[..., 3:] = np.round(255 * alpha)
