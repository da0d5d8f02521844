"""Feedback of a dive: the last picture is moved a little, and its contrast is limited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dreams.resizing import resize
from forgetting.errors import RequestError, check_range

COARSE = 16
"""A picture reduced this many times holds its lowest frequencies only."""

COARSE_CONTRAST = 0.4
"""The largest contrast of the lowest frequencies, as a share of the picture's largest contrast."""

COLOUR_CONTRAST = 0.4
"""The largest contrast of colours without their grey, as the same share."""


@dataclass(frozen=True)
class Motion:
    """How the picture moves in a second.

    Args:
        zoom: how many times larger it becomes.
        rotation: degrees, counter-clockwise.
        drift: to the right and down, as shares of its height.
    """

    zoom: float = 1.0
    rotation: float = 0.0
    drift: Sequence[float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_range("dream.zoom", self.zoom, 0.01, 1000.0)
        check_range("dream.rotation", self.rotation, -36000.0, 36000.0)
        if len(self.drift) != 2:
            raise RequestError(
                f"dream.drift must be two numbers, to the right and down, got {[*self.drift]}"
            )
        for share in self.drift:
            check_range("dream.drift", share, -100.0, 100.0)

    def move(self, picture: Tensor, seconds: float) -> Tensor:
        """Return the picture [1, 3, H, W] as it is after some seconds; its borders are mirrored."""
        if seconds == 0 or (self.zoom == 1 and self.rotation == 0 and not any(self.drift)):
            return picture
        height, width = picture.shape[2:]
        scale, angle = self.zoom**-seconds, math.radians(self.rotation) * seconds
        right, down = (2 * share * seconds for share in self.drift)
        cos, sin, ratio = scale * math.cos(angle), scale * math.sin(angle), height / width
        # Each position of the new picture -> its position in the old one. Coordinates run from -1
        # to 1 in both directions, whatever the picture's shape.
        to_old = torch.tensor([[[cos, -sin * ratio, -right * ratio], [sin / ratio, cos, -down]]])
        grid = F.affine_grid(to_old.to(picture), list(picture.shape), align_corners=False)
        return F.grid_sample(
            picture, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        ).clamp(-1, 1)


def stabilise(picture: Tensor, contrast: float, share: float) -> Tensor:
    """Return the picture with its contrast reduced towards a limit.

    Three contrasts are limited: that of the lowest frequencies, grey and coloured; that of the
    colours; and that of the whole picture. Without this, feedback ends in black and white blots,
    because what is a little too bright becomes brighter in every frame.

    Args:
        picture: [1, 3, H, W].
        contrast: the limit, a standard deviation.
        share: of the excess that is removed, in [0, 1].
    """
    if share == 0:
        return picture
    height, width = picture.shape[2:]
    reduced = resize(picture, (max(1, height // COARSE), max(1, width // COARSE)))
    coarse = resize(reduced, (height, width))
    grey = coarse.mean(1, keepdim=True)
    for part in (grey, coarse - grey):
        picture = picture - part * share * _excess(COARSE_CONTRAST * contrast, part)
    colours = picture - picture.mean(1, keepdim=True)
    picture = picture - colours * share * _excess(COLOUR_CONTRAST * contrast, colours)
    return picture * (1 - share * _excess(contrast, picture - picture.mean()))


def _excess(limit: float, x: Tensor) -> Tensor:
    """Return the share of x's root mean square that is above a limit."""
    return (1 - limit / x.square().mean().sqrt().clamp_min(1e-6)).clamp(min=0)
