"""What repeated timings say: medians with their spread, and ratios that are told apart from 1.

Two rows of a table are compared round by round: a ratio is the time of one row divided by that of
the other in the same round, so whatever slows a whole round cancels. Its *difference* is how far
the median ratio is from 1, its *spread* the distance between its quartiles; both are logarithms, so
that swapping the rows changes nothing. A ratio is printed only where the spread is not larger than
the difference. Quartiles of a few rounds say little, so with fewer than ``QUARTILE_ROUNDS`` rounds
the spread is the distance between the lowest and the highest ratio, and with fewer than
``MIN_ROUNDS`` none is printed.

Of two rows that are equally fast, normal noise then tells 1 pair in 45 apart in 4 rounds, 1 in 150
in 5, and 1 in 25 in 8 (200,000 draws each).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_ROUNDS = 4
"""The fewest rounds after which a ratio is printed."""

QUARTILE_ROUNDS = 8
"""The fewest rounds whose spread is between quartiles, and not between extremes."""

NOT_TOLD_APART = "not told apart"
"""What a table says instead of a ratio whose spread is larger than its difference from 1."""


@dataclass(frozen=True)
class Spread:
    """Repeated figures: their median, and what lies around it.

    Args:
        lower: the lower quartile, or of a few figures the lowest.
        median: of all figures.
        upper: the upper quartile, or of a few figures the highest.
        count: the number of figures.
    """

    lower: float
    median: float
    upper: float
    count: int

    @staticmethod
    def of(figures: Sequence[float]) -> Spread:
        """Return the median of some figures and their spread."""
        outer = (0.25, 0.75) if len(figures) >= QUARTILE_ROUNDS else (0, 1)
        lower, median, upper = np.quantile(figures, (outer[0], 0.5, outer[1]))
        return Spread(float(lower), float(median), float(upper), len(figures))

    def text(self, digits: int, scale: float = 1.0) -> str:
        """Return ``39.1 (38.7-40.2)``, every figure times ``scale``."""
        lower, median, upper = (
            f"{scale * figure:.{digits}f}" for figure in (self.lower, self.median, self.upper)
        )
        return median if self.count == 1 else f"{median} ({lower}-{upper})"


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the ratio of two rows' times, each pair from the same round."""
    return Spread.of([a / b for a, b in zip(numerators, denominators, strict=True)])


def is_told_apart(ratio: Spread) -> bool:
    """Return whether a ratio differs from 1 by at least its spread, after enough rounds."""
    spread, difference = math.log(ratio.upper / ratio.lower), abs(math.log(ratio.median))
    return ratio.count >= MIN_ROUNDS and 0 < difference >= spread


def ratio_text(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Return the ratio of two rows' times as a table shows it, or why it shows none."""
    ratio = paired_ratio(numerators, denominators)
    if ratio.count < MIN_ROUNDS:
        return f"needs {MIN_ROUNDS} rounds"
    return ratio.text(2) if is_told_apart(ratio) else NOT_TOLD_APART
