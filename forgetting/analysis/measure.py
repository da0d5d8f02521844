"""Measuring a film: its forgetting curve, the curve's landmarks and its plot."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from forgetting import dependencies
from forgetting.ablation.plan import Plan
from forgetting.analysis import curve as curves
from forgetting.analysis import plot
from forgetting.analysis.curve import ForgettingCurve
from forgetting.analysis.measured_segments import (
    MeasuredSegments,
    Measurement,
    merged,
    still_indices,
)
from forgetting.analysis.metrics import registry
from forgetting.analysis.metrics.measurer import FrameMeasurer, FrameNumbers
from forgetting.engines.pixels import Frame
from forgetting.errors import RequestError, check_range
from forgetting.film import contact_sheet, decoder
from forgetting.film.metadata import title_frames
from forgetting.film.observer import FrameObserver
from forgetting.film.render import FrameSource
from forgetting.film.segments import SegmentStore
from forgetting.film.settings import FilmSettings
from forgetting.film.writer_thread import consume_in_thread
from forgetting.progress import track

log = logging.getLogger(__name__)

SUMMARY, CURVE = "summary.json", "curve.csv"


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured of a film, and how often.

    Args:
        names: of the metrics. ``auto`` is all if their packages are installed and else ``plain``,
            ``plain`` is those that need no network, ``all``, ``none``.
        rate: measured frames a second of film; 0 is every frame.
    """

    names: str | Sequence[str] = "auto"
    rate: float = 2.0

    def __post_init__(self) -> None:
        check_range("measure.rate", self.rate, 0.0, 240.0)
        registry.check_names(self.names)

    def step(self, fps: float) -> int:
        """Return the number of frames from one measured frame to the next."""
        return max(1, round(fps / self.rate)) if self.rate else 1

    def frames(self, indices: Sequence[int], fps: float) -> list[int]:
        """Return which of these frames are measured: evenly spaced, with the first and the last."""
        return sorted({*indices[:: self.step(fps)], indices[-1]})

    def measurement(self, film: FilmSettings) -> Measurement:
        """Return what is measured of a film."""
        names = registry.select_metrics(self.names)
        return Measurement(tuple(names), tuple(self.frames(film.indices, film.fps)))


class MeasuringObserver:
    """Measures the frames of a film while it is rendered, and keeps the numbers beside segments.

    Args:
        measured: where they are kept.
    """

    def __init__(self, measured: MeasuredSegments) -> None:
        self._measured, measurement = measured, measured.measurement
        self._with_still = frozenset(measurement.with_still)
        self._measurer = FrameMeasurer(measurement.names, measurement.before.get)
        self._rows: dict[int, FrameNumbers] = {}

    @property
    def indices(self) -> Sequence[int]:
        """The measured frames."""
        return self._measured.measurement.indices

    def observe(self, index: int, frame: Frame, intact: Frame) -> None:
        """Measure a frame."""
        if index in self._with_still:
            self._measured.save_still(index, frame)
        numbers = self._measurer.measure(index, frame, intact)
        if numbers is not None:
            self._rows[index] = numbers

    def keep(self, segment: range) -> None:
        """Write what was measured of a segment."""
        self._measured.write(segment, self._rows)
        self._rows.clear()


def observers(settings: MeasureSettings, store: SegmentStore) -> list[FrameObserver]:
    """Return what measures a film while it is rendered into ``store``; nothing without metrics."""
    measurement = settings.measurement(store.film)
    return [MeasuringObserver(MeasuredSegments(store, measurement))] if measurement.names else []


def measure_film(
    source: FrameSource,
    settings: MeasureSettings,
    folder: Path,
    store: SegmentStore | None = None,
    **facts: Any,
) -> Path | None:
    """Measure the frames of a film as they are rendered, before they are encoded.

    Writes curve.csv, summary.json and the plot into ``folder``.

    Args:
        source: renders the frames.
        settings: what is measured.
        folder: of the run.
        store: the film's segments. Frames that were measured when these were rendered are not
            rendered again.
        facts: further entries of the summary.

    Returns:
        The path of the curve; None if nothing is measured. The summary is written in any case.
    """
    film, plan = source.compositor.film, source.compositor.plan
    measurement = settings.measurement(film)
    rows, stills = merged([] if store is None else [MeasuredSegments(store, measurement)])
    _measure_missing(source, measurement, rows, stills)
    return _write_film(plan, film, measurement, rows, stills, folder, facts)


def measure_segments(
    plan: Plan,
    settings: MeasureSettings,
    folder: Path,
    stores: Sequence[SegmentStore],
    **facts: Any,
) -> bool:
    """Write what :func:`measure_film` writes, without the network.

    Args:
        plan: of the film.
        settings: what is measured.
        folder: of the run.
        stores: the film's segments.
        facts: further entries of the summary.

    Returns:
        Whether all was measured when the segments were rendered; if not, the summary alone is
        written.
    """
    measurement = settings.measurement(stores[0].film)
    rows, stills = merged(MeasuredSegments(store, measurement) for store in stores)
    is_measured = not measurement.names or (
        rows.keys() >= {*measurement.indices} and stills.keys() >= {*measurement.with_still}
    )
    if not is_measured:
        measurement = replace(measurement, names=())
    _write_film(plan, stores[0].film, measurement, rows, stills, folder, facts)
    return is_measured


def _measure_missing(
    source: FrameSource,
    measurement: Measurement,
    rows: dict[int, FrameNumbers],
    stills: dict[int, Frame],
) -> None:
    """Render and measure the frames that are not among ``rows`` and ``stills``, and add them."""
    if not measurement.names:
        return
    unmeasured = [index for index in measurement.indices if index not in rows]
    undrawn = {*measurement.with_still} - stills.keys()
    before = (measurement.before.get(index) for index in unmeasured)
    indices = sorted({*unmeasured, *undrawn, *(index for index in before if index is not None)})
    measurer = FrameMeasurer(measurement.names, measurement.before.get)

    def measure(compared: Iterator[tuple[int, Frame, Frame]]) -> None:
        for index, frame, intact in compared:
            if index in undrawn:
                stills[index] = contact_sheet.thumbnail(frame)
            numbers = measurer.measure(index, frame, intact)
            if numbers is not None:
                rows[index] = numbers

    if indices:
        compared = source.comparisons(indices)
        consume_in_thread(track(compared, "measuring", len(indices)), measure)


def _write_film(
    plan: Plan,
    film: FilmSettings,
    measurement: Measurement,
    rows: Mapping[int, FrameNumbers],
    stills: Mapping[int, Frame],
    folder: Path,
    facts: Mapping[str, Any],
) -> Path | None:
    """Write the results of a film; return the path of the curve, None if nothing is measured."""
    facts = {"frames": len(plan), "fps": film.fps, **facts}
    if not measurement.names:
        curves.summarise(None, folder / SUMMARY, **facts)
        return None
    curve = ForgettingCurve.of(
        [(index, rows[index]) for index in measurement.indices],
        film.fps,
        [plan.ablated_share(index) for index in measurement.indices],
    )
    drawn = [stills[index] for index in measurement.with_still]
    return _write_results(curve, drawn, folder, "", facts)


def measure_file(path: Path, settings: MeasureSettings) -> Path | None:
    """Measure a film file without its run, against the first frame after its title.

    The results are written beside the file; their names begin with the file's name.

    Raises:
        RequestError: it is not a film, or has no frames.
    """
    names = registry.select_metrics(settings.names)
    fps = decoder.frame_rate(path)
    step, title = settings.step(fps), title_frames(path)

    measurer = FrameMeasurer(names, lambda index: index - step if index else None)
    measured = list[tuple[int, FrameNumbers]]()

    def measure(frames: Iterator[Frame]) -> None:
        first: Frame | None = None
        for number, frame in enumerate(frames):
            first = frame if first is None else first
            numbers = measurer.measure(number * step, frame, first)
            assert numbers is not None
            measured.append((number * step, numbers))

    frames = islice(decoder.decode_frames(path), title, None, step)
    consume_in_thread(track(frames, "measuring", None), measure)
    if not measured:
        raise RequestError(f"{path} has no frame that could be measured")
    with_still = still_indices([index for index, _ in measured])
    # The film is decoded again, because the number of its frames is known only now, and because all
    # frames together may not fit into memory.
    stills = [
        contact_sheet.thumbnail(frame)
        for index, frame in enumerate(islice(decoder.decode_frames(path), title, None))
        if index in with_still
    ]
    curve = ForgettingCurve.of(measured, fps, [float("nan")] * len(measured))
    facts = {"film": path.name, "fps": fps}
    return _write_results(curve, stills, path.parent, f"{path.stem}.", facts)


def _write_results(
    curve: ForgettingCurve,
    stills: Sequence[Frame],
    folder: Path,
    prefix: str,
    facts: Mapping[str, Any],
) -> Path:
    """Write the curve, the summary and, if matplotlib is installed, the plot."""
    curve.write(folder / f"{prefix}{CURVE}")
    summary = curves.summarise(curve, folder / f"{prefix}{SUMMARY}", **facts)
    if dependencies.is_installed("matplotlib"):
        paths = [folder / f"{prefix}curve.{suffix}" for suffix in ("png", "svg")]
        plot.plot_curve(curve, summary, stills, paths)
    else:
        log.info(
            "the curve is not plotted, because matplotlib is not installed; "
            'pip install "forgetting[measures]" installs it'
        )
    return folder / f"{prefix}{CURVE}"
