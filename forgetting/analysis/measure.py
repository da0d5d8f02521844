"""Measuring a film: its forgetting curve, the curve's landmarks and its plot."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from forgetting import dependencies
from forgetting.analysis import curve as curves
from forgetting.analysis import plot
from forgetting.analysis.curve import ForgettingCurve
from forgetting.analysis.metrics import registry
from forgetting.engines.engine import Frame
from forgetting.errors import RequestError, check_range
from forgetting.film import contact_sheet, decoder
from forgetting.film.metadata import title_frames
from forgetting.film.render import FrameSource
from forgetting.progress import track

log = logging.getLogger(__name__)

SUMMARY, CURVE = "summary.json", "curve.csv"

STILLS = 8
"""Pictures along the axis of the plot."""


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


def measure_film(
    source: FrameSource, settings: MeasureSettings, folder: Path, **facts: Any
) -> Path | None:
    """Measure the frames of a film as they are rendered, before they are encoded.

    Writes curve.csv, summary.json and the plot into ``folder``.

    Args:
        source: renders the frames.
        settings: what is measured.
        folder: of the run.
        facts: further entries of the summary.

    Returns:
        The path of the curve; None if nothing is measured. The summary is written in any case.
    """
    names = registry.select_metrics(settings.names)
    film, plan = source.compositor.film, source.compositor.plan
    facts = {"frames": len(plan), "fps": film.fps, **facts}
    if not names:
        curves.summarise(None, folder / SUMMARY, **facts)
        return None
    indices = settings.frames(film.indices, film.fps)
    with_still = _still_indices(indices)
    stills: list[Frame] = []

    def comparisons() -> Iterator[tuple[int, Frame, Frame]]:
        compared = source.comparisons(indices)
        for index, frame, intact in track(compared, "measuring", len(indices)):
            if index in with_still:
                stills.append(contact_sheet.thumbnail(frame))
            yield index, frame, intact

    curve = ForgettingCurve.of(
        registry.measure_frames(names, comparisons()),
        film.fps,
        [plan.ablated_share(index) for index in indices],
    )
    return _write_results(curve, stills, folder, "", facts)


def measure_file(path: Path, settings: MeasureSettings) -> Path | None:
    """Measure a film file without its run, against the first frame after its title.

    The results are written beside the file; their names begin with the file's name.

    Raises:
        RequestError: it is not a film, or has no frames.
    """
    names = registry.select_metrics(settings.names)
    fps = decoder.frame_rate(path)
    step, title = settings.step(fps), title_frames(path)

    def comparisons() -> Iterator[tuple[int, Frame, Frame]]:
        first: Frame | None = None
        for index, frame in enumerate(islice(decoder.decode_frames(path), title, None)):
            if first is None:
                first = frame
            if index % step == 0:
                yield index, frame, first

    measured = list(registry.measure_frames(names, track(comparisons(), "measuring", None)))
    if not measured:
        raise RequestError(f"{path} has no frame that could be measured")
    with_still = _still_indices([index for index, _ in measured])
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


def _still_indices(indices: Sequence[int]) -> Collection[int]:
    """Return which of the measured frames are shown along the plot."""
    return {indices[n] for n in contact_sheet.sample_positions(len(indices), STILLS)}


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
