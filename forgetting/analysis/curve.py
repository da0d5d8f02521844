"""The forgetting curve: what was measured of a film, frame by frame, and the landmarks of that life."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetting import files
from forgetting.analysis.metrics.faces import FACE, SAME
from forgetting.analysis.metrics.registry import DISTANCES, Measured
from forgetting.errors import RequestError, one_line

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class ForgettingCurve:
    """``frames`` [N] of the film that were measured, when they are shown, the share of units gone, and every measure by name."""

    frames: Numbers
    seconds: Numbers
    gone: Numbers
    columns: Mapping[str, Numbers]

    @staticmethod
    def of(measured: Iterable[Measured], fps: float, gone: Sequence[float]) -> ForgettingCurve:
        found = list(measured)
        names = list(found[0][1]) if found else []
        frames = np.array([float(index) for index, _ in found])
        columns = {name: np.array([told[name] for _, told in found]) for name in names}
        return ForgettingCurve(frames, frames / fps, np.array(gone, float), columns)

    @property
    def known(self) -> bool:
        """Whether anybody knows what is gone, and anything ever is."""
        return bool(np.isfinite(self.gone).all() and self.gone.max() > 0)

    def write(self, path: Path) -> None:
        """As .csv: frame, seconds, gone, and a column for every measure."""
        table = {"frame": self.frames, "seconds": self.seconds, "gone": self.gone, **self.columns}
        with files.atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(table)
            rows.writerows(
                [f"{value:.9g}" for value in row] for row in zip(*table.values(), strict=True)
            )


def read_curve(path: Path) -> ForgettingCurve:
    """The curve in a .csv.

    Raises:
        RequestError: it is none.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
        table = dict(zip(names, np.array(rows, float).reshape(-1, len(names)).T, strict=True))
        return ForgettingCurve(table.pop("frame"), table.pop("seconds"), table.pop("gone"), table)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(
            f"{path} is no forgetting curve ({one_line(error)}); forgetting measure FOLDER makes one"
        ) from None


def landmarks(curve: ForgettingCurve) -> dict[str, Any]:
    """Where that life turns. Everything is told in the order of loss, whichever way the film runs; of a film without its plan, of
    which nobody knows what is gone, or in which nothing is, in that of time.

    ``half_life``: for every distance, where half of the largest is reached first. ``last_person`` and ``last_face``: the last
    place before identity and score fall below their thresholds, or that of a film ``to_the_end`` of which they do not; None where
    they were not measured or never were above.
    ``area``: under the curve of what is left (1 - distance / largest) over the share of units gone; 1 forgets at the very end.
    ``evenness``: coefficient of variation of the steps, while anything moves.
    """
    known = curve.known
    order = np.argsort(curve.gone if known else curve.frames, kind="stable")

    def at(place: float) -> dict[str, float | None]:
        """A place between two measurements, in the order of loss."""
        below, share = int(place), place - int(place)
        pair = order[below], order[min(below + 1, len(order) - 1)]
        between: dict[str, float | None] = {
            name: round(float(values[pair[0]] + share * (values[pair[1]] - values[pair[0]])), 6)
            for name, values in (
                ("frame", curve.frames),
                ("seconds", curve.seconds),
                ("gone", curve.gone),
            )
        }
        return between if known else between | {"gone": None}

    def last(name: str, least: float) -> dict[str, float | None] | None:
        if name not in curve.columns:
            return None
        under = np.flatnonzero(~(curve.columns[name][order] >= least))
        until = (int(under[0]) if len(under) else len(order)) - 1
        return at(until) | {"to_the_end": not len(under)} if until >= 0 else None

    half, area = {}, {}
    for name in (one for one in DISTANCES if one in curve.columns):
        distance = curve.columns[name][order]
        most, gone = float(distance.max()), curve.gone[order]
        if most <= 0 or (known and gone[-1] <= 0):
            continue
        after = int(np.argmax(distance >= most / 2))
        before = max(after - 1, 0)
        rise = float(distance[after] - distance[before])
        half[name] = at(before + ((most / 2 - float(distance[before])) / rise if rise > 0 else 0.0))
        if known:
            area[name] = round(float(np.trapezoid(1 - distance / most, gone) / gone[-1]), 6)
    moving = curve.columns["step"][1:] if "step" in curve.columns else np.zeros(0)
    if known:
        moving = moving[np.abs(np.diff(curve.gone))[: len(moving)] > 0]
    return {
        "half_life": half,
        "last_person": last("identity", SAME),
        "last_face": last("face", FACE),
        "area": area,
        "evenness": round(float(moving.std() / moving.mean()), 6)
        if len(moving) and moving.mean() > 0
        else None,
    }


def summarise(curve: ForgettingCurve | None, path: Path, **told: Any) -> dict[str, Any]:
    """Write what is ``told`` and, of a film that was measured, its landmarks, as .json; returns it."""
    found = dict(told)
    if curve is not None:
        every = float(np.median(np.diff(curve.seconds))) if len(curve.seconds) > 1 else 0.0
        found |= {
            "measured_frames": len(curve.frames),
            "measured_every_seconds": round(every, 6),
            **landmarks(curve),
        }
    files.write_json(path, found)
    return found


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a summary by dotted name: ``half_life.structure``, ``last_person`` and ``last_face`` are shares of units gone."""
    found: dict[str, Any] = {
        "render_seconds": summary.get("render_seconds"),
        "evenness": summary.get("evenness"),
    }
    half, area = _node(summary, "half_life"), _node(summary, "area")
    found |= {f"half_life.{key}": _node(half, key).get("gone") for key in half} | {
        f"area.{key}": area[key] for key in area
    }
    found |= {name: _node(summary, name).get("gone") for name in ("last_person", "last_face")}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and np.isfinite(value)
    }


def censored_figures(summary: Mapping[str, Any]) -> set[str]:
    """Those of its figures that say no more than that the film was over before they were reached."""
    return {name for name in ("last_person", "last_face") if _node(summary, name).get("to_the_end")}


def _node(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = node.get(key)
    return found if isinstance(found, Mapping) else {}
