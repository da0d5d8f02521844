"""The forgetting curve: what was measured of a film, frame by frame, and its landmarks.

The column ``gone`` of curve.csv and the keys ``gone`` of summary.json hold the share of units that
are ablated.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetting import files
from forgetting.analysis.metrics.measurer import FrameNumbers
from forgetting.analysis.metrics.registry import find_metric, known_metrics
from forgetting.errors import RequestError, one_line

Numbers = NDArray[np.float64]

MAX_BYTES, MAX_COLUMNS = 16 * 2**20, 100
"""The largest file of a curve that is read, and the most columns: twelve hours of every metric,
measured twice a second, are 10 MB."""

MAX_VALUE = 1e9
"""The largest number of a metric."""


@dataclass(frozen=True)
class ForgettingCurve:
    """The measured frames of a film.

    Args:
        frames: their indices, [N].
        seconds: when they are shown, [N].
        ablated: the share of units that are ablated, [N] in [0, 1]; NaN where it is not known.
        columns: the numbers [N] of every metric, by its name.
    """

    frames: Numbers
    seconds: Numbers
    ablated: Numbers
    columns: Mapping[str, Numbers]

    @staticmethod
    def of(
        measured: Iterable[tuple[int, FrameNumbers]], fps: float, ablated: Sequence[float]
    ) -> ForgettingCurve:
        """Return the curve of measured frames, in a film of ``fps`` frames a second."""
        rows = list(measured)
        names = list(rows[0][1]) if rows else []
        frames = np.array([float(index) for index, _ in rows])
        columns = {name: np.array([numbers[name] for _, numbers in rows]) for name in names}
        return ForgettingCurve(frames, frames / fps, np.array(ablated, float), columns)

    @property
    def has_ablation(self) -> bool:
        """Whether the share of ablated units is known, and is ever above 0."""
        return bool(np.isfinite(self.ablated).all() and self.ablated.max() > 0)

    def write(self, path: Path) -> None:
        """Write a .csv file with the columns frame, seconds, gone, and one for every metric."""
        table = {"frame": self.frames, "seconds": self.seconds, "gone": self.ablated}
        table |= self.columns
        with files.atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(table)
            rows.writerows(
                [f"{value:.9g}" for value in row] for row in zip(*table.values(), strict=True)
            )


def read_curve(path: Path) -> ForgettingCurve:
    """Read the curve in a .csv file.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        lines = files.read_text(path, MAX_BYTES).splitlines()
        names = lines[0].split(",") if lines else []
        if not 3 <= len(names) <= MAX_COLUMNS or len(set(names)) != len(names) or len(lines) < 2:
            raise ValueError("it has no columns of different names with numbers below them")
        numbers = np.loadtxt(lines[1:], delimiter=",", comments=None, ndmin=2)
        if numbers.shape[1] != len(names):
            raise ValueError(f"it has {len(names)} names above {numbers.shape[1]} columns")
        table = dict(zip(names, numbers.T, strict=True))
        curve = ForgettingCurve(table.pop("frame"), table.pop("seconds"), table.pop("gone"), table)
        _check_curve(curve)
        return curve
    except (ValueError, KeyError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"{path} is no forgetting curve ({one_line(error)}); "
            "forgetting measure FOLDER makes one"
        ) from None


def _check_curve(curve: ForgettingCurve) -> None:
    """Raise where a curve holds what no measurement gives.

    Numbers of metrics may be NaN: a frame may have no face. The share of ablated units is not known
    where all of it is NaN.
    """
    for name, values in (("frame", curve.frames), ("seconds", curve.seconds)):
        if not (np.isfinite(values).all() and values.min() >= 0 and (np.diff(values) > 0).all()):
            raise ValueError(f"the column {name} does not count up from 0")
    known = curve.ablated[~np.isnan(curve.ablated)]
    if len(known) not in (0, len(curve.ablated)) or ((known < 0) | (known > 1)).any():
        raise ValueError("the column gone does not lie in [0, 1]")
    for name, values in curve.columns.items():
        if (np.abs(values) > MAX_VALUE).any():
            raise ValueError(f"the column {one_line(name, 40)} holds numbers beyond {MAX_VALUE:g}")


Landmark = dict[str, float | None]
"""A position on a curve: ``frame``, ``seconds`` and ``gone``."""


def landmarks(curve: ForgettingCurve) -> dict[str, Any]:
    """Return the landmarks of a curve.

    They are searched in the order of ablation, whichever way the film runs. Where the share of
    ablated units is not known, or is always 0, they are searched in the order of time.

    - ``half_life``: for every distance, where half of its maximum is reached first.
    - ``last_person``, ``last_face``: the last position before identity or face score falls below
      its threshold. ``to_the_end`` is true if it never does. None if it was not measured, or was
      always below.
    - ``area``: for every distance, the area under 1 - distance / maximum over the share of ablated
      units; it is 1 if the film forgets everything at the very end.
    - ``evenness``: the coefficient of variation of the steps, while the share of ablated units
      changes.
    """
    order = np.argsort(curve.ablated if curve.has_ablation else curve.frames, kind="stable")
    half_lives, areas = {}, {}
    for name, metric in known_metrics(curve.columns).items():
        if not metric.is_distance:
            continue
        distance, ablated = curve.columns[name][order], curve.ablated[order]
        maximum = float(distance.max())
        if maximum <= 0 or (curve.has_ablation and ablated[-1] <= 0):
            continue
        half_lives[name] = _landmark(curve, order, _half_position(distance))
        if curve.has_ablation:
            area = float(np.trapezoid(1 - distance / maximum, ablated) / ablated[-1])
            areas[name] = round(area, 6)
    return {
        "half_life": half_lives,
        "last_person": _last_above_threshold(curve, order, "identity"),
        "last_face": _last_above_threshold(curve, order, "face"),
        "area": areas,
        "evenness": _evenness(curve),
    }


def _half_position(distance: Numbers) -> float:
    """Return the position at which a distance first reaches half of its maximum."""
    half = float(distance.max()) / 2
    after = int(np.argmax(distance >= half))
    before = max(after - 1, 0)
    rise = float(distance[after] - distance[before])
    return before + ((half - float(distance[before])) / rise if rise > 0 else 0.0)


def _landmark(curve: ForgettingCurve, order: NDArray[np.int64], position: float) -> Landmark:
    """Return the landmark at a position between two measured frames, in the given order."""
    number, share = int(position), position - int(position)
    before, after = order[number], order[min(number + 1, len(order) - 1)]

    def between(values: Numbers) -> float:
        return round(float(values[before] + share * (values[after] - values[before])), 6)

    return {
        "frame": between(curve.frames),
        "seconds": between(curve.seconds),
        "gone": between(curve.ablated) if curve.has_ablation else None,
    }


def _last_above_threshold(
    curve: ForgettingCurve, order: NDArray[np.int64], name: str
) -> Landmark | None:
    """Return the last landmark before a metric first falls below its threshold."""
    if name not in curve.columns:
        return None
    threshold = find_metric(name).threshold
    assert threshold is not None
    below = np.flatnonzero(~(curve.columns[name][order] >= threshold))
    last = (int(below[0]) if len(below) else len(order)) - 1
    if last < 0:
        return None
    return _landmark(curve, order, last) | {"to_the_end": not len(below)}


def _evenness(curve: ForgettingCurve) -> float | None:
    """Return the coefficient of variation of the steps; None if there are none."""
    steps = curve.columns["step"][1:] if "step" in curve.columns else np.zeros(0)
    if curve.has_ablation:
        steps = steps[np.abs(np.diff(curve.ablated))[: len(steps)] > 0]
    if not len(steps) or steps.mean() <= 0:
        return None
    return round(float(steps.std() / steps.mean()), 6)


def summarise(curve: ForgettingCurve | None, path: Path, **facts: Any) -> dict[str, Any]:
    """Write the summary of a film as .json, and return it.

    Args:
        curve: its landmarks are in the summary; None if the film was not measured.
        path: of the file.
        facts: further entries of the summary.
    """
    summary = dict(facts)
    if curve is not None:
        interval = float(np.median(np.diff(curve.seconds))) if len(curve.seconds) > 1 else 0.0
        summary |= {
            "measured_frames": len(curve.frames),
            "measured_every_seconds": round(interval, 6),
            **landmarks(curve),
        }
    files.write_json(path, summary)
    return summary


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a summary by their dotted names.

    ``half_life.structure``, ``last_person`` and ``last_face`` are shares of ablated units.
    """
    values: dict[str, Any] = {
        "render_seconds": summary.get("render_seconds"),
        "evenness": summary.get("evenness"),
    }
    half_lives, areas = _node(summary, "half_life"), _node(summary, "area")
    values |= {f"half_life.{name}": _node(half_lives, name).get("gone") for name in half_lives}
    values |= {f"area.{name}": areas[name] for name in areas}
    values |= {name: _node(summary, name).get("gone") for name in ("last_person", "last_face")}
    return {
        name: float(value)
        for name, value in values.items()
        if re.fullmatch(r"[a-z0-9_.-]{1,80}", name) and _is_figure(value)
    }


def _is_figure(value: object) -> bool:
    """Return whether a value of a summary is a number that a curve could have given; not NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -MAX_VALUE <= value <= MAX_VALUE


def censored_figures(summary: Mapping[str, Any]) -> set[str]:
    """Return the names of figures that are lower bounds.

    Their films ended before the landmark was reached.
    """
    return {name for name in ("last_person", "last_face") if _node(summary, name).get("to_the_end")}


def _node(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the mapping below a key, or an empty one."""
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}
