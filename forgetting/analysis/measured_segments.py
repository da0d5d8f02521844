"""What was measured of the segments of a film while it was rendered; it lies beside them.

    measured-0000240-0000479.5f0c….npz  the numbers of the measured frames among 240 to 479
    still-0000144.png                   the plot's picture of frame 144

A file appears complete, before its segment gets its name. The hash in its name is that of the
metrics, of the measured frames and of our version, so that numbers of different kinds never mix.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np

from forgetting import files
from forgetting.analysis.curve import MAX_VALUE
from forgetting.analysis.metrics.measurer import FrameNumbers
from forgetting.engines.pixels import Frame
from forgetting.errors import one_line
from forgetting.film import contact_sheet
from forgetting.film.images import read_still, save_png
from forgetting.film.segments import SegmentStore
from forgetting.safe_npz import read_arrays

log = logging.getLogger(__name__)

STILLS = 8
"""Pictures along the axis of the plot."""

MAX_PIXELS = 2**24
"""The most pixels of such a picture that is read."""


@dataclass(frozen=True)
class Measurement:
    """What is measured of a film.

    Args:
        names: of the metrics, in the order of columns.
        indices: of the measured frames of the plan, ascending.
    """

    names: tuple[str, ...]
    indices: tuple[int, ...]

    @cached_property
    def before(self) -> Mapping[int, int]:
        """The frame that is measured before a frame; the first has none."""
        return {index: before for before, index in pairwise(self.indices)}

    @cached_property
    def with_still(self) -> tuple[int, ...]:
        """The frames that are shown along the plot."""
        return still_indices(self.indices)

    @cached_property
    def key(self) -> str:
        """A hash of all that the numbers of a frame depend on, besides the film."""
        parts = version("forgetting"), self.names, self.indices
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def among(self, frames: range) -> tuple[int, ...]:
        """Return the measured frames within a range of the plan, which may have a step."""
        return self.indices[
            bisect_left(self.indices, frames.start) : bisect_left(self.indices, frames.stop)
        ]


def still_indices(indices: Sequence[int]) -> tuple[int, ...]:
    """Return which of the measured frames are shown along the plot."""
    return tuple(indices[n] for n in contact_sheet.sample_positions(len(indices), STILLS))


@dataclass(frozen=True)
class MeasuredSegments:
    """What was measured of the segments in a store.

    Args:
        store: the segments.
        measurement: what is measured of the film.
    """

    store: SegmentStore
    measurement: Measurement

    def write(self, segment: range, rows: Mapping[int, FrameNumbers]) -> None:
        """Write the numbers of a segment; nothing where none of its frames is measured.

        Args:
            segment: the range of positions.
            rows: the numbers by the indices of frames; those of its frames must be among them.
        """
        if not (indices := self._indices(segment)):
            return
        values = [[rows[index][name] for name in self.measurement.names] for index in indices]
        with files.atomic_write(self._path(segment)) as part, part.open("wb") as file:
            np.savez(file, frames=np.array(indices), values=np.array(values, np.float64))

    def rows(self) -> dict[int, FrameNumbers]:
        """Return all numbers that lie here, by the indices of frames."""
        rows = dict[int, FrameNumbers]()
        if not self.store.folder.exists():
            return rows
        existing = {path.name for path in self.store.folder.glob(f"*.{self.measurement.key}.npz")}
        for segment in self.store.segments() if existing else ():
            if (path := self._path(segment)).name in existing:
                try:
                    rows |= self._read(segment, path)
                except (OSError, ValueError) as error:
                    log.info("%s cannot be read (%s); it is measured again", path, one_line(error))
        return rows

    def save_still(self, index: int, frame: Frame) -> None:
        """Save the plot's picture of a frame."""
        with files.atomic_write(self._still_path(index)) as part:
            save_png(contact_sheet.thumbnail(frame), part, self.store.comment)

    def stills(self) -> dict[int, Frame]:
        """Return the plot's pictures that lie here, by the indices of frames."""
        stills = {}
        for index in self.measurement.with_still:
            if not os.path.lexists(path := self._still_path(index)):
                continue
            try:
                stills[index] = read_still(path, links=False, most=MAX_PIXELS)
            except ValueError as error:
                log.info("%s; it is rendered again", error)
        return stills

    def _read(self, segment: range, path: Path) -> dict[int, FrameNumbers]:
        """Return the numbers in a file.

        Raises:
            ValueError: it holds anything but the numbers of this segment.
        """
        names, indices = self.measurement.names, self._indices(segment)
        size = 8 * len(indices) * (len(names) + 1)
        with files.open_own(path) as file:
            arrays = read_arrays(file, size + 1024)
        if arrays.keys() != {"frames", "values"} or tuple(arrays["frames"].tolist()) != indices:
            raise ValueError("it does not hold the measured frames of its segment")
        values = arrays["values"]
        if values.dtype != np.float64 or values.shape != (len(indices), len(names)):
            raise ValueError(f"it does not hold {len(names)} numbers of each frame")
        if not (np.isnan(values) | (np.abs(values) <= MAX_VALUE)).all():
            raise ValueError(f"it holds numbers beyond {MAX_VALUE:g}")
        return {
            index: dict(zip(names, row, strict=True))
            for index, row in zip(indices, values.tolist(), strict=True)
        }

    def _indices(self, segment: range) -> tuple[int, ...]:
        """Return the measured frames of a segment."""
        return self.measurement.among(self.store.film.indices[segment.start : segment.stop])

    def _path(self, segment: range) -> Path:
        name = f"measured-{segment.start:07d}-{segment.stop - 1:07d}.{self.measurement.key}.npz"
        return self.store.folder / name

    def _still_path(self, index: int) -> Path:
        return self.store.folder / f"still-{index:07d}.png"


def merged(
    measured: Iterable[MeasuredSegments],
) -> tuple[dict[int, FrameNumbers], dict[int, Frame]]:
    """Return the numbers and the plot's pictures that lie in several stores of a film."""
    rows, stills = dict[int, FrameNumbers](), dict[int, Frame]()
    for segments in measured:
        rows |= segments.rows()
        stills |= segments.stills()
    return rows, stills
