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
from forgetting.analysis.metrics.faces import FACE, SAME
from forgetting.analysis.metrics.registry import DISTANCES, METRICS
from forgetting.dependencies import import_extra
from forgetting.engines.engine import Frame

COLOURS: Mapping[str, str] = {
    "structure": "#1b1b1b",
    "flip": "#b3541e",
    "features": "#2b6a99",
    "identity": "#7a3b8f",
    "face": "#3d7f4b",
}
GREY = "#8a8a8a"
COMPARED = ("structure", "features", "identity", "face")
"""Measures of which a comparison draws the curves."""


def plot_curve(
    curve: ForgettingCurve, marks: Mapping[str, Any], stills: Sequence[Frame], paths: Sequence[Path]
) -> None:
    """Distances, what is left of face and person, and units gone, over the seconds of the film; ``stills`` stand along the axis."""
    import_extra("matplotlib", "measures")
    from matplotlib.figure import Figure

    people = [name for name in ("face", "identity") if name in curve.columns]
    figure = Figure(figsize=(8.27, 5.4), dpi=200, layout="constrained")
    heights = (1.1, 2.2, 2.2) if people else (1.1, 4.4)
    strip, upper, *lower = figure.subplots(len(heights), 1, height_ratios=heights)
    strip.set_axis_off()
    wide = 0.97 / max(len(stills), 1)
    for number, still in enumerate(
        stills
    ):  # each about where it is in time, the first and the last at the ends
        place = strip.inset_axes((number / max(len(stills) - 1, 1) * (1 - wide), 0, wide, 1))
        place.imshow(still)
        place.set_axis_off()
    for name in (one for one in DISTANCES if one in curve.columns):
        values = curve.columns[name]
        upper.plot(
            curve.seconds,
            values / max(values.max(), 1e-12),
            color=COLOURS[name],
            lw=1.4,
            label=METRICS[name].short,
        )
    upper.fill_between(curve.seconds, curve.gone, color=GREY, alpha=0.25, lw=0, label="units gone")
    upper.set_ylabel("distance / largest")
    for name in people:
        lower[0].plot(
            curve.seconds,
            curve.columns[name],
            color=COLOURS[name],
            lw=1.4,
            label=METRICS[name].short,
        )
    for axes in lower:
        for name, level in (("face", FACE), ("identity", SAME)):
            if name in people:
                axes.axhline(level, color=COLOURS[name], lw=0.7, ls=":")
        axes.set_ylabel("score, cosine")
        axes.set_ylim(-0.25, 1.05)
    for axes in (upper, *lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.set_xlim(curve.seconds[0], max(curve.seconds[-1], curve.seconds[0] + 1e-9))
    named = {"last_face": "last face", "last_person": "last person"}
    told = [
        (text, marks[key])
        for key, text in named.items()
        if marks.get(key) and not marks[key]["to_the_end"]
    ]
    told += (
        [("half-life", marks["half_life"]["structure"])]
        if "structure" in marks["half_life"]
        else []
    )
    for text, place in told:
        for axes in (upper, *lower):
            axes.axvline(place["seconds"], color=GREY, lw=0.8, ls="--")
        label = text if place["gone"] is None else f"{text}, {100 * place['gone']:.1f} % gone"
        where = {"xytext": (2, 2), "textcoords": "offset points", "rotation": 90, "va": "bottom"}
        upper.annotate(label, (place["seconds"], 0.0), fontsize=7, color="#444444", **where)
    (lower or [upper])[-1].set_xlabel("seconds")
    save_figure(figure, paths)


def plot_comparison(groups: Mapping[str, Sequence[ForgettingCurve]], paths: Sequence[Path]) -> None:
    """The curves of all runs, a column for every strategy and a row for every measure: thin those of single runs, thick their median,
    between their quartiles a band, and grey the medians of the other strategies."""
    import_extra("matplotlib", "measures")
    from matplotlib.figure import Figure

    curves = [one for members in groups.values() for one in members]
    names = [name for name in COMPARED if any(name in one.columns for one in curves)]
    dying = all(one.known and (np.diff(one.gone) >= 0).all() for one in curves)
    most = max(float(one.gone[-1] if dying else one.seconds[-1]) for one in curves)
    grid = np.linspace(0, most, 200)

    def along(one: ForgettingCurve, name: str) -> Numbers:
        values = np.interp(grid, one.gone if dying else one.seconds, one.columns[name])
        return np.where(grid <= (one.gone if dying else one.seconds)[-1], values, np.nan)

    found = {
        (group, name): np.array([along(one, name) for one in members if name in one.columns])
        for group, members in groups.items()
        for name in names
    }
    found = {key: values for key, values in found.items() if len(values)}
    wide = max(2.0, min(3.2, 16 / len(groups)))
    figure = Figure(
        figsize=(0.9 + wide * len(groups), 0.7 + 2.1 * len(names)), dpi=150, layout="constrained"
    )
    panels = figure.subplots(len(names), len(groups), sharex=True, sharey="row", squeeze=False)
    for row, name in zip(panels, names, strict=True):
        for axes, group in zip(row, groups, strict=True):
            with warnings.catch_warnings(
                action="ignore", category=RuntimeWarning
            ):  # where all films were over, there is no median
                for other in groups:
                    if other != group and (other, name) in found:
                        axes.plot(
                            grid,
                            np.nanmedian(found[other, name], axis=0),
                            color=GREY,
                            alpha=0.35,
                            lw=0.8,
                        )
                if (group, name) in found:
                    values = found[group, name]
                    axes.plot(grid, values.T, color=COLOURS[name], alpha=0.3, lw=0.5)
                    axes.fill_between(
                        grid,
                        *np.nanquantile(values, (0.25, 0.75), axis=0),
                        color=COLOURS[name],
                        alpha=0.22,
                        lw=0,
                    )
                    axes.plot(grid, np.nanmedian(values, axis=0), color=COLOURS[name], lw=2.0)
            for measure, level in (("face", FACE), ("identity", SAME)):
                if measure == name:
                    axes.axhline(level, color=COLOURS[name], lw=0.7, ls=":")
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=7)
            axes.set_xlim(0, most)
            if dying:
                axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        row[0].set_ylabel(METRICS[name].short, fontsize=9)
    for axes, (group, members) in zip(panels[0], groups.items(), strict=True):
        axes.set_title(
            f"{textwrap.fill(group, 24)}\n{len(members)} film{'s' * (len(members) != 1)}",
            fontsize=9,
        )
    figure.supxlabel("units gone" if dying else "seconds", fontsize=9)
    save_figure(figure, paths)


def save_figure(figure: Any, paths: Sequence[Path]) -> None:
    """Write a figure as what the names end in; the same figure is the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "forgetting"}):
        for path in paths:
            kind = path.suffix[1:]
            with files.atomic_write(path) as part:
                figure.savefig(
                    part,
                    format=kind,
                    metadata={"Date": None} if kind == "svg" else {"Software": None},
                )
