"""Plain metrics, which need no network and no other package: light, colour, detail, distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F

from forgetting.ablation.perceptual_distance import Bands, detail_bands, distance, luma
from forgetting.analysis.metrics.metric import FrameMeasure, Metric
from forgetting.engines.engine import Frame, from_bytes
from forgetting.film.images import fit
from forgetting.parts import part

SIDE = 256
"""Pixels at which distances are measured: a tenth of a second a frame instead of a whole one."""


def reduce_frame(frame: Frame) -> Frame:
    """Return the frame [H, W, 3] with at most ``SIDE`` pixels along its longer side."""
    scale = SIDE / max(frame.shape[:2])
    if scale >= 1:
        return frame
    return fit(frame, (round(frame.shape[0] * scale), round(frame.shape[1] * scale)))


@part("metric/structure")
@dataclass(frozen=True)
class StructureDistance(Metric):
    """The distance to the intact picture in normalised Laplacian bands.

    It is the distance by which films are paced, see :mod:`forgetting.ablation.perceptual_distance`.
    """

    label: ClassVar[str] = "structure"
    colour: ClassVar[str | None] = "#1b1b1b"
    colour_on_black: ClassVar[str | None] = "#d9d4ca"
    is_distance: ClassVar[bool] = True

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure; the distance is 0 for the intact picture."""
        reference = detail_bands(from_bytes(intact))
        return lambda frame: float(distance(reference, detail_bands(from_bytes(frame))))


@part("metric/step")
@dataclass(frozen=True)
class StepDistance(Metric):
    """The structural distance to the frame that was measured before; 0 for the first."""

    label: ClassVar[str] = "step"
    sequential: ClassVar[bool] = True

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure; it remembers the last frame."""
        previous: Bands | None = None

        def measure(frame: Frame) -> float:
            nonlocal previous
            bands = detail_bands(from_bytes(frame))
            step = 0.0 if previous is None else float(distance(previous, bands))
            previous = bands
            return step

        return measure


@part("metric/light")
@dataclass(frozen=True)
class MeanLuma(Metric):
    """The mean luma (BT.709), in [0, 1]."""

    label: ClassVar[str] = "light"

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure."""
        return lambda frame: float(luma(from_bytes(frame)).mean() + 1) / 2


@part("metric/colour")
@dataclass(frozen=True)
class Colourfulness(Metric):
    """The distance of RGB from its own luma, as a root mean square in [0, 1]."""

    label: ClassVar[str] = "colour"

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure."""

        def measure(frame: Frame) -> float:
            x = (from_bytes(frame) + 1) / 2
            return float((x - luma(x)[:, None]).square().mean().sqrt())

        return measure


@part("metric/hue")
@dataclass(frozen=True)
class MeanHue(Metric):
    """The hue of the mean colour, in degrees: red 0, green 120, blue 240; NaN for grey."""

    label: ClassVar[str] = "hue"

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure."""

        def measure(frame: Frame) -> float:
            red, green, blue = frame.reshape(-1, 3).mean(axis=0) / 255
            x, y = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
            if max(abs(x), abs(y)) <= 1 / 512:
                return float("nan")
            return float(np.degrees(np.arctan2(y, x)) % 360)

        return measure


@part("metric/detail")
@dataclass(frozen=True)
class HighFrequencyEnergy(Metric):
    """The energy of high frequencies, in [0, 1].

    It is the root mean square of what a blur over five pixels removes from luma at 256 pixels.
    """

    label: ClassVar[str] = "detail"

    def bind(self, intact: Frame) -> FrameMeasure:
        """Return the measure."""

        def measure(frame: Frame) -> float:
            y = luma((from_bytes(frame) + 1) / 2)[:, None]
            y = F.adaptive_avg_pool2d(y, (min(SIDE, y.shape[2]), min(SIDE, y.shape[3])))
            blurred = F.avg_pool2d(y, 5, 1, 2, count_include_pad=False)
            return float((y - blurred).square().mean().sqrt())

        return measure
