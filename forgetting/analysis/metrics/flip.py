"""FLIP (Andersson et al. 2020, "FLIP: A Difference Evaluator for Alternating Images")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from forgetting.analysis.metrics.metric import Measure, Metric
from forgetting.analysis.metrics.picture import Picture
from forgetting.dependencies import import_extra
from forgetting.parts import part


@part("metric/flip")
@dataclass(frozen=True)
class FlipDistance(Metric):
    """The mean FLIP to the intact picture at 256 pixels, in [0, 1], by its authors' evaluator.

    The evaluator's default of 67 pixels per degree is used.
    """

    label: ClassVar[str] = "FLIP"
    colour: ClassVar[str | None] = "#b3541e"
    colour_on_black: ClassVar[str | None] = "#e08a52"
    is_distance: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("flip_evaluator",)

    def bind(self, intact: Picture) -> Measure:
        """Return the measure.

        Raises:
            RequestError: the evaluator is not installed.
        """
        evaluator = import_extra("flip_evaluator", "measures")
        reference = _to_floats(intact)
        return lambda picture: float(
            evaluator.evaluate(reference, _to_floats(picture), "LDR", applyMagma=False)[1]
        )


def _to_floats(picture: Picture) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.reduced, dtype=np.float32) / np.float32(255)
