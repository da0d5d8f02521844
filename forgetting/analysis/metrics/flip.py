"""FLIP (Andersson et al. 2020, "FLIP: A Difference Evaluator for Alternating Images"), by its authors' own evaluator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from forgetting.analysis.metrics.plain import small
from forgetting.dependencies import import_extra
from forgetting.engines.engine import Frame


def flip(intact: Frame) -> Callable[[Frame], float]:
    """Mean FLIP to the intact picture, in [0, 1], at 256 pixels and the evaluator's own 67 pixels per degree."""
    evaluator = import_extra("flip_evaluator", "measures")
    reference = _floats(intact)
    return lambda frame: float(
        evaluator.evaluate(reference, _floats(frame), "LDR", applyMagma=False)[1]
    )


def _floats(frame: Frame) -> NDArray[np.float32]:
    return np.ascontiguousarray(small(frame), dtype=np.float32) / np.float32(255)
