"""Measures: of a frame, and of the intact picture, one number.

A measure is given the intact picture once and then frame after frame, in order, one at a time, so that no figure depends on
how many came together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from forgetting import dependencies
from forgetting.analysis.metrics import faces, features, flip, plain
from forgetting.engines.engine import Frame
from forgetting.errors import check_choice

MetricFunction = Callable[[Frame], Callable[[Frame], float]]
"""The intact picture [H, W, 3] -> a function from a frame to a number."""

Measured = tuple[int, Mapping[str, float]]
"""The index of a frame, and what was measured of it."""


@dataclass(frozen=True)
class Metric:
    """A measure, what it is called where there is little room, and the packages that it needs besides ours."""

    measure: MetricFunction
    short: str
    needs: tuple[str, ...] = ()


METRICS: Mapping[str, Metric] = {
    "structure": Metric(plain.structure, "structure"),
    "flip": Metric(flip.flip, "FLIP", ("flip_evaluator",)),
    "features": Metric(features.features, "SqueezeNet features"),
    "step": Metric(plain.step, "step"),
    "light": Metric(plain.light, "light"),
    "colour": Metric(plain.colour, "colour"),
    "hue": Metric(plain.hue, "hue"),
    "detail": Metric(plain.detail, "detail"),
    "face": Metric(faces.face, "face (YuNet)", ("onnxruntime", "onnx")),
    "identity": Metric(faces.identity, "identity (SFace)", ("onnxruntime", "onnx")),
}

DISTANCES = ("structure", "flip", "features")
"""Those that are distances to the intact picture."""


def select_metrics(names: str | Sequence[str]) -> list[str]:
    """The measures that are meant: names, ``all``, ``none``, ``plain`` (those that need no network and no package), or ``auto``:
    all of them where the packages are installed, else the plain ones.

    Raises:
        RequestError: there is no such measure.
    """
    if names == "auto":
        names = (
            "all"
            if all(
                dependencies.is_installed(module)
                for kind in METRICS.values()
                for module in kind.needs
            )
            else "plain"
        )
    match names:
        case "all":
            return list(METRICS)
        case "plain":
            return [
                name for name, kind in METRICS.items() if kind.measure.__module__ == plain.__name__
            ]
        case "none":
            return []
    names = [names] if isinstance(names, str) else names
    for name in names:
        check_choice("measure", name, METRICS)
    return [name for name in METRICS if name in names]


def measure_frames(
    names: Sequence[str], frames: Iterable[tuple[int, Frame, Frame]]
) -> Iterator[Measured]:
    """What those measures say of frames (index, frame, the intact picture then), in order.

    Raises:
        RequestError: a package is missing; the extra that brings it is named.
    """
    bound: dict[str, Callable[[Frame], float]] = {}
    last: Frame | None = None
    for index, frame, intact in frames:
        if (
            intact is not last
        ):  # of a face that moves, another one every time; but a step is from the frame before
            bound = {
                name: bound[name] if name == "step" and bound else METRICS[name].measure(intact)
                for name in names
            }
            last = intact
        yield index, {name: bound[name](frame) for name in names}
