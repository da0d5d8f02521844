"""Measuring frames one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from forgetting.analysis.metrics.metric import Measure
from forgetting.analysis.metrics.picture import Picture
from forgetting.analysis.metrics.registry import find_metric
from forgetting.engines.pixels import Frame

FrameNumbers = Mapping[str, float]
"""What was measured of a frame, by the names of metrics."""


class FrameMeasurer:
    """Measures frames in the order in which they come.

    Args:
        names: of the metrics.
        before: returns the index of the frame that is measured before a frame, or None for the
            first.
    """

    def __init__(self, names: Sequence[str], before: Callable[[int], int | None]) -> None:
        self._metrics = {name: find_metric(name) for name in names}
        self._before = before
        self._measures: dict[str, Measure] = {}
        self._intact: Frame | None = None
        self._last: tuple[int, Picture] | None = None

    def measure(self, index: int, frame: Frame, intact: Frame) -> FrameNumbers | None:
        """Return the numbers of a frame; None unless the frame measured before it came last.

        So numbers are the same whichever frames other processes measure.

        Args:
            index: of the frame.
            frame: [H, W, 3].
            intact: the picture that it is compared with. That of a moving face changes from frame
                to frame.

        Raises:
            RequestError: a package is missing; the message names the extra that brings it.
        """
        before, last = self._before(index), self._last
        picture = Picture(frame)
        self._last = index, picture
        if before is not None:
            if last is None or last[0] != before:
                return None
            picture.previous = last[1]
        if intact is not self._intact:
            reference = Picture(intact)
            self._measures = {
                name: metric.bind(reference) for name, metric in self._metrics.items()
            }
            self._intact = intact
        numbers = {name: measure(picture) for name, measure in self._measures.items()}
        picture.previous = None  # or every picture would hold all that came before it
        return numbers
