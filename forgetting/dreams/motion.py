"""How a dream is fed back: the last picture, moved a little, and kept from drowning in itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dreams.ascent import resize
from forgetting.errors import RequestError, check_range

COARSE = 16
"""How many times smaller a picture is in which only its lowest frequencies are left."""


COARSENESS = 0.4
COLOURED = 0.4
"""How much of the contrast that a picture may have its lowest frequencies may have, and its colours beside its greys."""


@dataclass(frozen=True)
class Motion:
    """Where the picture moves, a second.

    Args:
        zoom: how many times larger it becomes.
        rotation: degrees, counter-clockwise.
        drift: to the right and down, in shares of its height.
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

    def __call__(self, picture: Tensor, seconds: float) -> Tensor:
        """[1, 3, H, W] -> the same so much later; what comes in at the borders mirrors what is there."""
        if seconds == 0 or (self.zoom == 1 and self.rotation == 0 and not any(self.drift)):
            return picture
        high, wide = picture.shape[2:]
        scale, angle = self.zoom**-seconds, math.radians(self.rotation) * seconds
        across, down = (2 * share * seconds for share in self.drift)
        c, s, ratio = scale * math.cos(angle), scale * math.sin(angle), high / wide
        # Where every place of the new picture was in the old one; places run from -1 to 1 both ways, however wide it is.
        was = torch.tensor([[[c, -s * ratio, -across * ratio], [s / ratio, c, -down]]]).to(picture)
        grid = F.affine_grid(was, list(picture.shape), align_corners=False)
        return F.grid_sample(
            picture, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        ).clamp(-1, 1)


def stabilise(picture: Tensor, contrast: float, share: float) -> Tensor:
    """The picture with less of what is too much: it loses ``share`` of its contrast beyond ``contrast``, a standard deviation, and of
    that of its lowest frequencies, grey and coloured, and of its colours beyond a part of it.

    What is fed back for long else ends in black and white blots: what is a little too bright becomes brighter every time.
    """
    if share == 0:
        return picture
    high, wide = picture.shape[2:]
    coarse = resize(resize(picture, (max(1, high // COARSE), max(1, wide // COARSE))), (high, wide))
    grey = coarse.mean(1, keepdim=True)
    for part in (grey, coarse - grey):
        picture = picture - part * share * _beyond(COARSENESS * contrast, part)
    colours = picture - picture.mean(1, keepdim=True)
    picture = picture - colours * share * _beyond(COLOURED * contrast, colours)
    return picture * (1 - share * _beyond(contrast, picture - picture.mean()))


def _beyond(most: float, x: Tensor) -> Tensor:
    """The share of x that is beyond what may be there at most, both as root mean squares."""
    return (1 - most / x.square().mean().sqrt().clamp_min(1e-6)).clamp(min=0)
