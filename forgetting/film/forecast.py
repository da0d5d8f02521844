"""How long a film takes and how much disk it needs, said once while a long one begins."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from forgetting.film.segments import SegmentStore
from forgetting.progress import duration

log = logging.getLogger(__name__)

T = TypeVar("T")

AFTER_FRAMES = 8
"""Frames after which the rate is known; what a compiler does first is not counted."""

AFTER_SECONDS = 5.0
"""Seconds for which the rate is measured at least."""

LONG_SECONDS = 180.0
"""Seconds that a film takes from which on the time is said."""

LARGE_BYTES = 1e9
"""Bytes of disk that a film needs from which on they are said."""


def forecast_time(frames: Iterable[T], total: int) -> Iterator[T]:
    """Iterate over frames, and say once how long the rest of them takes if that is long."""
    first, said = None, False
    for count, frame in enumerate(frames, 1):
        yield frame
        now = time.monotonic()
        first = now if first is None else first
        if said or count <= AFTER_FRAMES or now - first < AFTER_SECONDS:
            continue
        said, left = True, (total - count) * (now - first) / (count - 1)
        if left >= LONG_SECONDS:
            log.info(
                "%d frames take about %s; Ctrl-C is safe, what is finished is kept",
                total,
                duration(left),
            )


def forecast_disk(store: SegmentStore, segment: range, total: int) -> None:
    """Say how much disk a film of ``total`` frames needs, by its first segment, if that is much.

    Joining the segments needs as much again for a moment.
    """
    path = store.named().get(segment)
    if path is None:
        return
    needed = 2 * total * path.stat().st_size / len(segment)
    free = shutil.disk_usage(store.folder).free
    if needed >= min(free, LARGE_BYTES):
        hint = "" if needed < free else "; free some space, or choose another hydra.run.dir=PATH"
        folder = Path(store.folder).parent.parent
        log.info(
            "the film needs about %s of disk in %s, where %s are free%s",
            _size(needed),
            folder,
            _size(free),
            hint,
        )


def _size(count: float) -> str:
    """Return ``1.2 GB`` or ``300 MB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
