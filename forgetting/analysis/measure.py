"""A film measured: its forgetting curve, its landmarks and their plot, beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
        names: measures by name; ``auto`` is all for which packages are installed, ``plain`` those that need no network, ``all``,
            ``none``.
        rate: measured frames a second of film; 0 is every frame.
    """

    names: str | Sequence[str] = "auto"
    rate: float = 2.0

    def __post_init__(self) -> None:
        check_range("measure.rate", self.rate, 0.0, 240.0)
        registry.select_metrics(self.names)

    def step(self, fps: float) -> int:
        """Frames from one that is measured to the next."""
        return max(1, round(fps / self.rate)) if self.rate else 1

    def frames(self, indices: Sequence[int], fps: float) -> list[int]:
        """Those that are measured of the frames with these ``indices``: evenly spaced, the first and the last among them."""
        return sorted({*indices[:: self.step(fps)], indices[-1]})


def measure_film(
    stage: FrameSource, how: MeasureSettings, folder: Path, **told: Any
) -> Path | None:
    """Measure the film of a stage as its network paints it; writes curve.csv, summary.json and the plot into ``folder``.

    The summary also holds what else is ``told``; it is written even where nothing is measured, which returns None.
    """
    names, settings, plan = registry.select_metrics(how.names), stage.layout.film, stage.layout.plan
    told = {"frames": len(plan), "fps": settings.fps, **told}
    if not names:
        curves.summarise(None, folder / SUMMARY, **told)
        return None
    indices = how.frames(settings.indices, settings.fps)
    wanted, stills = (
        {indices[place] for place in contact_sheet.sample_positions(len(indices), STILLS)},
        list[Frame](),
    )

    def seen() -> Iterator[tuple[int, Frame, Frame]]:
        for index, frame, intact in track(stage.compared(indices), "measuring", len(indices)):
            if index in wanted:
                stills.append(contact_sheet.thumbnail(frame))
            yield index, frame, intact

    curve = ForgettingCurve.of(
        registry.measure_frames(names, seen()),
        settings.fps,
        [plan.ablated_share(index) for index in indices],
    )
    return _written(curve, stills, folder, "", told)


def measure_file(path: Path, how: MeasureSettings) -> Path | None:
    """Measure a film of which there is only the file, against its first frame; writes beside it, under its name."""
    names = registry.select_metrics(how.names)
    fps = decoder.frame_rate(path)
    step = how.step(fps)
    intact: list[Frame] = []

    def sampled() -> Iterator[tuple[int, Frame, Frame]]:
        for index, frame in enumerate(decoder.decode_frames(path)):
            if index % step == 0:
                intact[:] = intact or [frame]
                yield index, frame, intact[0]

    found = list(registry.measure_frames(names, track(sampled(), "measuring", None)))
    if not found:
        raise RequestError(f"{path} has no frame that could be measured")
    wanted = {found[place][0] for place in contact_sheet.sample_positions(len(found), STILLS)}
    # Decoded once more: which they are is known only now, and to keep all would take as much memory as the film is long.
    stills = [
        contact_sheet.thumbnail(frame)
        for index, frame in enumerate(decoder.decode_frames(path))
        if index in wanted
    ]
    curve = ForgettingCurve.of(found, fps, [float("nan")] * len(found))
    return _written(curve, stills, path.parent, f"{path.stem}.", {"film": path.name, "fps": fps})


def _written(
    curve: ForgettingCurve,
    stills: Sequence[Frame],
    folder: Path,
    prefix: str,
    told: Mapping[str, Any],
) -> Path:
    curve.write(folder / f"{prefix}{CURVE}")
    marks = curves.summarise(curve, folder / f"{prefix}{SUMMARY}", **told)
    if dependencies.is_installed("matplotlib"):
        plot.plot_curve(
            curve, marks, stills, [folder / f"{prefix}curve.{kind}" for kind in ("png", "svg")]
        )
    else:
        log.info(
            "%s",
            "no plot of the curve: matplotlib is not installed; pip install 'forgetting[measures]' brings it",
        )
    return folder / f"{prefix}{CURVE}"
