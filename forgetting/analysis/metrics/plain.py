"""What can be said of a picture without any network: its light, its colour, its detail, and how far it is from another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F

from forgetting.ablation.perceptual_distance import Bands, detail_bands, distance, luma
from forgetting.engines.engine import Frame, from_bytes
from forgetting.film.images import fit

SIDE = 256
"""Distances are measured at so many pixels, where they take a tenth of a second and not a whole one."""


def small(frame: Frame) -> Frame:
    """[H, W, 3] with ``SIDE`` pixels along its longer side, if it has more."""
    scale = SIDE / max(frame.shape[:2])
    return (
        fit(frame, (round(frame.shape[0] * scale), round(frame.shape[1] * scale)))
        if scale < 1
        else frame
    )


def light(intact: Frame) -> Callable[[Frame], float]:
    """Mean luma (BT.709), in [0, 1]."""
    return lambda frame: float(luma(from_bytes(frame)).mean() + 1) / 2


def colour(intact: Frame) -> Callable[[Frame], float]:
    """How colourful it is: the mean distance from grey (RGB's from its own luma, root mean square), in [0, 1]."""

    def measured(frame: Frame) -> float:
        x = (from_bytes(frame) + 1) / 2
        return float((x - luma(x)[:, None]).square().mean().sqrt())

    return measured


def hue(intact: Frame) -> Callable[[Frame], float]:
    """The hue of its mean colour, in degrees of the HSV circle (red 0, green 120, blue 240); of a grey picture NaN."""

    def measured(frame: Frame) -> float:
        red, green, blue = frame.reshape(-1, 3).mean(axis=0) / 255
        across, up = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
        return (
            float(np.degrees(np.arctan2(up, across)) % 360)
            if max(abs(across), abs(up)) > 1 / 512
            else float("nan")
        )

    return measured


def detail(intact: Frame) -> Callable[[Frame], float]:
    """High-frequency energy: the root mean square of what a blur over five pixels takes away from luma at 256 pixels, in [0, 1]."""

    def measured(frame: Frame) -> float:
        y = luma((from_bytes(frame) + 1) / 2)[:, None]
        y = F.adaptive_avg_pool2d(y, (min(SIDE, y.shape[2]), min(SIDE, y.shape[3])))
        return float((y - F.avg_pool2d(y, 5, 1, 2, count_include_pad=False)).square().mean().sqrt())

    return measured


def structure(intact: Frame) -> Callable[[Frame], float]:
    """Distance to the intact picture in normalised Laplacian bands, the one by which films are paced (:mod:`forgetting.ablation.perceptual_distance`)."""
    reference = detail_bands(from_bytes(intact))
    return lambda frame: float(distance(reference, detail_bands(from_bytes(frame))))


def step(intact: Frame) -> Callable[[Frame], float]:
    """The same distance to the frame that was measured before; of the first, 0."""
    before: list[Bands] = []

    def measured(frame: Frame) -> float:
        here = detail_bands(from_bytes(frame))
        found = float(distance(before.pop(), here)) if before else 0.0
        before.append(here)
        return found

    return measured
