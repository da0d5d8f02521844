"""Plots of forgetting curves, for print: drawn by matplotlib, without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forgetting import cache
from forgetting.curve import Curve
from forgetting.engines import Frame
from forgetting.extras import needed
from forgetting.measures import DISTANCES, MEASURES
from forgetting.measures.faces import FACE, SAME

COLOURS: Mapping[str, str] = {
    "structure": "#1b1b1b",
    "flip": "#b3541e",
    "features": "#2b6a99",
    "identity": "#7a3b8f",
    "face": "#3d7f4b",
}
GREY = "#8a8a8a"


def forgetting(curve: Curve, marks: Mapping[str, Any], stills: Sequence[Frame], paths: Sequence[Path]) -> None:
    """Distances, what is left of face and person, and units gone, over the seconds of the film; ``stills`` stand along the axis."""
    needed("matplotlib", "measures")
    from matplotlib.figure import Figure

    people = [name for name in ("face", "identity") if name in curve.columns]
    figure = Figure(figsize=(8.27, 5.4), dpi=200, layout="constrained")
    heights = (1.1, 2.2, 2.2) if people else (1.1, 4.4)
    strip, upper, *lower = figure.subplots(len(heights), 1, height_ratios=heights)
    strip.set_axis_off()
    wide = 0.97 / max(len(stills), 1)
    for number, still in enumerate(stills):  # each about where it is in time, the first and the last at the ends
        place = strip.inset_axes((number / max(len(stills) - 1, 1) * (1 - wide), 0, wide, 1))
        place.imshow(still)
        place.set_axis_off()
    for name in (one for one in DISTANCES if one in curve.columns):
        values = curve.columns[name]
        upper.plot(curve.seconds, values / max(values.max(), 1e-12), color=COLOURS[name], lw=1.4, label=MEASURES[name].short)
    upper.fill_between(curve.seconds, curve.gone, color=GREY, alpha=0.25, lw=0, label="units gone")
    upper.set_ylabel("distance / largest")
    for name in people:
        lower[0].plot(curve.seconds, curve.columns[name], color=COLOURS[name], lw=1.4, label=MEASURES[name].short)
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
    told = [(text, marks[key]) for key, text in named.items() if marks.get(key) and not marks[key]["to_the_end"]]
    told += [("half-life", marks["half_life"]["structure"])] if "structure" in marks["half_life"] else []
    for text, place in told:
        for axes in (upper, *lower):
            axes.axvline(place["seconds"], color=GREY, lw=0.8, ls="--")
        label = text if place["gone"] is None else f"{text}, {100 * place['gone']:.1f} % gone"
        where = {"xytext": (2, 2), "textcoords": "offset points", "rotation": 90, "va": "bottom"}
        upper.annotate(label, (place["seconds"], 0.0), fontsize=7, color="#444444", **where)
    (lower or [upper])[-1].set_xlabel("seconds")
    save(figure, paths)


def save(figure: Any, paths: Sequence[Path]) -> None:
    """Write a figure as what the names end in; the same figure is the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "forgetting"}):
        for path in paths:
            kind = path.suffix[1:]
            with cache.whole(path) as part:
                figure.savefig(part, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
