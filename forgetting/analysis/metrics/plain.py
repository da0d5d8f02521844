"""Plain metrics, which need no network and no other package: light, colour, detail, distances.

They measure a picture at 256 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F

from forgetting.ablation.perceptual_distance import distance, luma
from forgetting.analysis.metrics.metric import Measure, Metric
from forgetting.analysis.metrics.picture import Picture
from forgetting.parts import part


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

    def bind(self, intact: Picture) -> Measure:
        """Return the measure; the distance is 0 for the intact picture."""
        return lambda picture: float(distance(intact.bands, picture.bands))


@part("metric/step")
@dataclass(frozen=True)
class StepDistance(Metric):
    """The structural distance to the frame that was measured before; 0 for the first."""

    label: ClassVar[str] = "step"

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""

        def measure(picture: Picture) -> float:
            if picture.previous is None:
                return 0.0
            return float(distance(picture.previous.bands, picture.bands))

        return measure


@part("metric/light")
@dataclass(frozen=True)
class MeanLuma(Metric):
    """The mean luma (BT.709), in [0, 1]."""

    label: ClassVar[str] = "light"

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""
        return lambda picture: float(luma(picture.colours).mean())


@part("metric/colour")
@dataclass(frozen=True)
class Colourfulness(Metric):
    """The distance of RGB from its own luma, as a root mean square in [0, 1]."""

    label: ClassVar[str] = "colour"

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""

        def measure(picture: Picture) -> float:
            x = picture.colours
            return float((x - luma(x)[:, None]).square().mean().sqrt())

        return measure


@part("metric/hue")
@dataclass(frozen=True)
class MeanHue(Metric):
    """The hue of the mean colour, in degrees: red 0, green 120, blue 240; NaN for grey."""

    label: ClassVar[str] = "hue"

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""

        def measure(picture: Picture) -> float:
            red, green, blue = picture.colours.mean(dim=(0, 2, 3)).tolist()
            x, y = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
            if max(abs(x), abs(y)) <= 1 / 512:
                return float("nan")
            return float(np.degrees(np.arctan2(y, x)) % 360)

        return measure


@part("metric/detail")
@dataclass(frozen=True)
class HighFrequencyEnergy(Metric):
    """The energy of high frequencies, in [0, 1].

    It is the root mean square of what a blur over five pixels removes from luma.
    """

    label: ClassVar[str] = "detail"

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""

        def measure(picture: Picture) -> float:
            y = luma(picture.colours)[:, None]
            blurred = F.avg_pool2d(y, 5, 1, 2, count_include_pad=False)
            return float((y - blurred).square().mean().sqrt())

        return measure
