"""The contract of metrics: one number, computed from a picture and the intact picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from forgetting.analysis.metrics.picture import Picture

Measure = Callable[[Picture], float]
"""Measures a picture."""


class Metric:
    """The base of all metrics.

    A metric is a frozen dataclass with the decorator ``@part("metric/NAME")``. It sets ``label``,
    and other class attributes whose defaults do not fit.
    """

    label: ClassVar[str]
    """Its name in plots."""

    colour: ClassVar[str | None] = None
    """The colour of its curve on white."""

    colour_on_black: ClassVar[str | None] = None
    """The colour of its curve in the gallery, which draws no curve without it."""

    is_distance: ClassVar[bool] = False
    """Whether it is a distance to the intact picture; distances have a half-life."""

    threshold: ClassVar[float | None] = None
    """The value from which on a frame shows what is measured."""

    requires: ClassVar[tuple[str, ...]] = ()
    """The modules of other packages that it imports."""

    def bind(self, intact: Picture) -> Measure:
        """Return a function that measures pictures against the intact picture.

        A number depends on the picture, the one measured before it and the intact one alone, so
        that frames can be measured in any process.

        Raises:
            RequestError: a package is not installed; the message names the extra that brings it.
        """
        raise NotImplementedError
