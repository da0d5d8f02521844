"""A film measured: its forgetting curve, its landmarks and their plot, beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting import curve as curves
from forgetting import decoder, extras, measures, plot, sheet
from forgetting.curve import Curve
from forgetting.engines import Frame
from forgetting.errors import RequestError, within
from forgetting.progress import track
from forgetting.render import Stage

log = logging.getLogger(__name__)

STILLS = 8
"""Pictures along the axis of the plot."""


@dataclass(frozen=True)
class Measuring:
    """What is measured of a film, and how often.

    Args:
        names: measures by name; ``auto`` is all for which packages are installed, ``plain`` those that need no network, ``all``,
            ``none``.
        rate: measured frames a second of film; 0 is every frame.
    """

    names: str | Sequence[str] = "auto"
    rate: float = 2.0

    def __post_init__(self) -> None:
        within("measure.rate", self.rate, 0.0, 240.0)
        measures.chosen(self.names)

    def frames(self, indices: Sequence[int], fps: float) -> list[int]:
        """Those that are measured of the frames with these ``indices``: evenly spaced, the first and the last among them."""
        step = max(1, round(fps / self.rate)) if self.rate else 1
        return sorted({*indices[::step], indices[-1]})


def film(stage: Stage, how: Measuring, folder: Path, **told: Any) -> Path | None:
    """Measure the film of a stage as its network paints it; writes curve.csv, summary.json and the plot into ``folder``."""
    names, settings, plan = measures.chosen(how.names), stage.layout.film, stage.layout.plan
    if not names:
        return None
    indices = how.frames(settings.indices, settings.fps)
    stills = sheet.stations(len(indices), STILLS)
    pictures = track(stage.compared(indices), "measuring", len(indices))
    found, kept = _measured(names, pictures, [indices[still] for still in stills])
    curve = Curve.of(found, settings.fps, [plan.share(index) for index in indices])
    return _written(curve, kept, folder, "", {"frames": len(plan), "fps": settings.fps, **told})


def file(path: Path, how: Measuring) -> Path | None:
    """Measure a film of which there is only the file, against its first frame; writes beside it, under its name."""
    names = measures.chosen(how.names)
    fps = decoder.rate(path)
    step = max(1, round(fps / how.rate)) if how.rate else 1
    intact: list[Frame] = []

    def sampled() -> Iterator[tuple[int, Frame, Frame]]:
        for index, frame in enumerate(decoder.frames(path)):
            if index % step == 0:
                intact[:] = intact or [frame]
                yield index, frame, intact[0]

    found, kept = _measured(names, track(sampled(), "measuring", None), None)
    if not found:
        raise RequestError(f"{path} has no frame that could be measured")
    curve = Curve.of(found, fps, [float("nan")] * len(found))
    return _written(curve, kept, path.parent, f"{path.stem}.", {"film": path.name, "fps": fps})


def _measured(names: Sequence[str], pictures: Any, wanted: Sequence[int] | None) -> tuple[list[measures.Measured], list[Frame]]:
    """What is measured, and thumbnails of the frames that are ``wanted``, or of as many as the plot has."""
    kept: dict[int, Frame] = {}

    def passing() -> Iterator[tuple[int, Frame, Frame]]:
        for index, frame, intact in pictures:
            if wanted is None or index in wanted:
                kept[index] = sheet.thumbnail(frame)
            yield index, frame, intact

    found = list(measures.measured(names, passing()))
    places = sheet.stations(len(found), STILLS) if found else []
    return found, [kept[found[place][0]] for place in places]


def _written(curve: Curve, stills: Sequence[Frame], folder: Path, prefix: str, told: Mapping[str, Any]) -> Path:
    curve.write(folder / f"{prefix}curve.csv")
    marks = curves.summarise(curve, folder / f"{prefix}summary.json", **told)
    if extras.here("matplotlib"):
        plot.forgetting(curve, marks, stills, [folder / f"{prefix}curve.{kind}" for kind in ("png", "svg")])
    else:
        log.info("%s", "no plot of the curve: matplotlib is not installed; pip install 'forgetting[measures]' brings it")
    return folder / f"{prefix}curve.csv"
