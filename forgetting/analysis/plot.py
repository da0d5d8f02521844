"""Plots of forgetting curves, for print: drawn by matplotlib, without a display."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forgetting import files
from forgetting.analysis.curve import ForgettingCurve, Numbers
from forgetting.analysis.metrics.metric import Metric
from forgetting.analysis.metrics.registry import find_metric, known_metrics
from forgetting.dependencies import import_extra
from forgetting.engines.pixels import Frame

GREY = "#8a8a8a"

INK = "#3a3a3a"

OTHERS: Mapping[str, Any] = {"color": GREY, "lw": 0.9, "ls": (0, (5, 3))}
"""How a comparison draws the medians of other strategies."""

COMPARED = ("structure", "features", "identity", "face")
"""The metrics whose curves a comparison draws, one row for each."""

LANDMARKS = {"last_face": "last face", "last_person": "last person"}
"""The labels of landmarks in a summary."""


def plot_curve(
    curve: ForgettingCurve,
    summary: Mapping[str, Any],
    stills: Sequence[Frame],
    paths: Sequence[Path],
) -> None:
    """Plot distances, scores and the share of ablated units over the seconds of a film.

    Args:
        curve: of the film.
        summary: with the landmarks of the curve.
        stills: pictures of the film, evenly spaced; they are drawn along the axis.
        paths: where the plot is written; their suffixes choose the formats.

    Raises:
        RequestError: matplotlib is not installed.
    """
    import_extra("matplotlib", "measures")
    from matplotlib.figure import Figure

    metrics = known_metrics(curve.columns)
    distances = {name: metric for name, metric in metrics.items() if metric.is_distance}
    scores = {name: metric for name, metric in metrics.items() if metric.threshold is not None}
    figure = Figure(figsize=(8.27, 5.4), dpi=200, layout="constrained")
    heights = (1.1, 2.2, 2.2) if scores else (1.1, 4.4)
    strip, upper, *lower = figure.subplots(len(heights), 1, height_ratios=heights)
    _draw_stills(strip, stills)
    for name, metric in distances.items():
        values = curve.columns[name]
        _draw_line(upper, curve.seconds, values / max(values.max(), 1e-12), metric)
    upper.fill_between(
        curve.seconds, curve.ablated, color=GREY, alpha=0.25, lw=0, label="units gone"
    )
    upper.set_ylabel("distance / largest")
    for axes in lower:
        for name, metric in scores.items():
            _draw_line(axes, curve.seconds, curve.columns[name], metric)
        for metric in scores.values():
            _draw_threshold(axes, metric)
        axes.set_ylabel("score, cosine")
        axes.set_ylim(-0.25, 1.05)
    for axes in (upper, *lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.set_xlim(curve.seconds[0], max(curve.seconds[-1], curve.seconds[0] + 1e-9))
    for text, landmark in _reached_landmarks(summary):
        for axes in (upper, *lower):
            axes.axvline(landmark["seconds"], color=GREY, lw=0.8, ls="--")
        ablated = landmark["gone"]
        label = text if ablated is None else f"{text}, {100 * ablated:.1f} % gone"
        style = {"xytext": (2, 2), "textcoords": "offset points", "rotation": 90, "va": "bottom"}
        upper.annotate(label, (landmark["seconds"], 0.0), fontsize=7, color="#444444", **style)
    (lower or [upper])[-1].set_xlabel("seconds")
    save_figure(figure, paths)


def _draw_stills(strip: Any, stills: Sequence[Frame]) -> None:
    """Draw pictures side by side, each at its time; the first and the last are at the ends."""
    strip.set_axis_off()
    width = 0.97 / max(len(stills), 1)
    for number, still in enumerate(stills):
        left = number / max(len(stills) - 1, 1) * (1 - width)
        axes = strip.inset_axes((left, 0, width, 1))
        axes.imshow(still)
        axes.set_axis_off()


def _draw_line(axes: Any, seconds: Numbers, values: Numbers, metric: Metric) -> None:
    axes.plot(seconds, values, color=metric.colour or GREY, lw=1.4, label=metric.label)


def _draw_threshold(axes: Any, metric: Metric) -> None:
    if metric.threshold is not None:
        axes.axhline(metric.threshold, color=metric.colour or GREY, lw=0.7, ls=":")


def _reached_landmarks(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return label and landmark of all landmarks that are reached before the film ends."""
    reached = [
        (label, summary[key])
        for key, label in LANDMARKS.items()
        if summary.get(key) and not summary[key]["to_the_end"]
    ]
    if "structure" in summary["half_life"]:
        reached.append(("half-life", summary["half_life"]["structure"]))
    return reached


def plot_comparison(groups: Mapping[str, Sequence[ForgettingCurve]], paths: Sequence[Path]) -> None:
    """Plot the curves of several runs: a column for every strategy, a row for every metric.

    Thin lines are single runs, the thick line is their median, and the band lies between their
    quartiles. Dashed grey lines are the medians of the other strategies.

    Args:
        groups: the curves of every strategy, by its name.
        paths: where the plot is written; their suffixes choose the formats.

    Raises:
        RequestError: matplotlib is not installed.
    """
    import_extra("matplotlib", "measures")
    from matplotlib.figure import Figure

    curves = [curve for members in groups.values() for curve in members]
    names = [name for name in COMPARED if any(name in curve.columns for curve in curves)]
    over_ablation = all(
        curve.has_ablation and (np.diff(curve.ablated) >= 0).all() for curve in curves
    )
    largest = max(float(_axis(curve, over_ablation)[-1]) for curve in curves)
    grid = np.linspace(0, largest, 200)
    sampled: dict[tuple[str, str], Numbers] = {}
    for group, members in groups.items():
        for name in names:
            measured = [curve for curve in members if name in curve.columns]
            if measured:
                rows = [_sample(curve, name, grid, over_ablation) for curve in measured]
                sampled[group, name] = np.array(rows)
    width = max(2.0, min(3.2, 16 / len(groups)))
    figure = Figure(
        figsize=(0.9 + width * len(groups), 0.7 + 2.1 * len(names)), dpi=150, layout="constrained"
    )
    panels = figure.subplots(len(names), len(groups), sharex=True, sharey="row", squeeze=False)
    for row, name in zip(panels, names, strict=True):
        metric = find_metric(name)
        for axes, group in zip(row, groups, strict=True):
            others = [
                sampled[other, name]
                for other in groups
                if other != group and (other, name) in sampled
            ]
            _draw_group(axes, grid, sampled.get((group, name)), others, metric)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
            axes.set_xlim(0, largest)
            if over_ablation:
                axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        row[0].set_ylabel(metric.label, fontsize=9)
    for axes, (group, members) in zip(panels[0], groups.items(), strict=True):
        films = f"{len(members)} film{'s' * (len(members) != 1)}"
        axes.set_title(f"{textwrap.fill(group, 24)}\n{films}", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("units gone" if over_ablation else "seconds", fontsize=9)
    _add_legend(figure, len(groups) > 1)
    save_figure(figure, paths)


def _axis(curve: ForgettingCurve, over_ablation: bool) -> Numbers:
    """Return the horizontal axis of a curve."""
    return curve.ablated if over_ablation else curve.seconds


def _sample(curve: ForgettingCurve, name: str, grid: Numbers, over_ablation: bool) -> Numbers:
    """Return the values of a metric on a grid; NaN beyond the end of the curve."""
    axis = _axis(curve, over_ablation)
    values = np.interp(grid, axis, curve.columns[name])
    return np.where(grid <= axis[-1], values, np.nan)


def _draw_group(
    axes: Any, grid: Numbers, runs: Numbers | None, others: Sequence[Numbers], metric: Metric
) -> None:
    """Draw the curves [N, G] of a strategy, and the medians of the others."""
    colour = metric.colour or GREY
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        # Where all films have ended, all values are NaN, of which numpy warns.
        for other in others:
            axes.plot(grid, np.nanmedian(other, axis=0), **OTHERS)
        if runs is not None:
            axes.plot(grid, runs.T, color=colour, alpha=0.3, lw=0.5)
            low, high = np.nanquantile(runs, (0.25, 0.75), axis=0)
            axes.fill_between(grid, low, high, color=colour, alpha=0.22, lw=0)
            axes.plot(grid, np.nanmedian(runs, axis=0), color=colour, lw=2.0)
    _draw_threshold(axes, metric)


def _add_legend(figure: Any, several: bool) -> None:
    """Say below the panels what their lines and bands are; ``several`` if there are grey lines."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=INK, lw=2.0, label="median of the films"),
        Patch(color=INK, alpha=0.22, lw=0, label="between their quartiles"),
        Line2D([], [], color=INK, alpha=0.4, lw=0.6, label="a film"),
    ]
    if several:
        handles.append(Line2D([], [], label="median of another strategy", **OTHERS))
    width = figure.get_figwidth()
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) if width > 7 else 2,
        fontsize=8,
        frameon=False,
    )


def save_figure(figure: Any, paths: Sequence[Path]) -> None:
    """Write a figure to files; equal figures become equal files."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "forgetting"}):
        for path in paths:
            suffix = path.suffix[1:]
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            with files.atomic_write(path) as part:
                figure.savefig(part, format=suffix, metadata=metadata)
