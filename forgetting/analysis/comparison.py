"""What the runs of a folder say about strategies: figures of every run, medians with intervals, and differences face by face."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median

from forgetting import dependencies, files
from forgetting.analysis import mosaic, plot
from forgetting.analysis.curve import censored_figures, read_curve
from forgetting.analysis.finished_runs import FinishedRun, finished_runs
from forgetting.analysis.measure import CURVE
from forgetting.errors import RequestError, check_choice, friendly_os_errors

log = logging.getLogger(__name__)

COVERAGE = 0.95

FIGURES: Mapping[str, str] = {
    "half_life.structure": "half-life",
    "last_person": "last person",
    "last_face": "last face",
    "evenness": "evenness",
    "render_seconds": "render time, s",
}
"""Those of a ranking table, and what they are called there; the first three are shares of units gone."""

PAIRED = ("half_life.structure", "last_person", "last_face")
"""Those that are compared face by face."""


@dataclass(frozen=True)
class Estimate:
    """The median of ``count`` numbers, and ``low`` to ``high``, which holds that of everybody with probability ``COVERAGE`` or more;
    None where there are too few. ``open`` says that the median itself was not lived to see: it is at least that large.
    """

    count: int
    value: float
    low: float | None
    high: float | None
    open: bool = False


def estimate(values: Iterable[float], open_from: float = float("inf")) -> Estimate:
    """The sample median, with the interval between two order statistics: exact for any continuous distribution.

    The k-th smallest and k-th largest of n hold the median with probability 1 - 2 P(B < k), B binomial of n and 1/2 (W. R. Thompson,
    On confidence ranges for the median, 1936); below six numbers not even the outermost do so with 95 %.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    n, outside, k = len(ordered), 0.0, 0
    while k < n and (outside := outside + comb(n, k) / 2**n) <= (1 - COVERAGE) / 2:
        k += 1
    low, high = (ordered[k - 1], ordered[n - k]) if k else (None, None)
    middle = median(ordered)
    return Estimate(n, middle, low, high, middle >= open_from)


@dataclass(frozen=True)
class Strategy:
    """A strategy: its name, its runs, and its figures by face - the median of those runs that differ in other seeds alone."""

    name: str
    runs: Sequence[FinishedRun]

    def by_face(self, figure: str) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for one in self.runs:
            if (value := one.figures.get(figure)) is not None:
                found.setdefault(one.face, []).append(value)
        return {face: median(values) for face, values in found.items()}

    def endless(self, figure: str) -> set[str]:
        """The faces of which the film was over before."""
        return {one.face for one in self.runs if figure in censored_figures(one.summary)}

    def estimate(self, figure: str) -> Estimate | None:
        values = self.by_face(figure)
        # Who outlived the film has at least the figure that it has: such a median is a bound.
        ended = min((values[face] for face in self.endless(figure)), default=float("inf"))
        return estimate(values.values(), ended) if values else None

    def against(self, other: Strategy, figure: str) -> tuple[Estimate, int] | None:
        """The median difference from another strategy on the same face, and on how many faces this one's figure is larger.

        A face on which both films were over before says nothing, and is left out.
        """
        ours, theirs = self.by_face(figure), other.by_face(figure)
        unknown = self.endless(figure) & other.endless(figure)
        differences = [
            ours[face] - theirs[face] for face in (ours.keys() & theirs.keys()) - unknown
        ]
        return (
            (estimate(differences), sum(difference > 0 for difference in differences))
            if differences
            else None
        )


def strategies(runs: Sequence[FinishedRun], by: str = "half_life.structure") -> list[Strategy]:
    """The strategies of those runs; the one whose figure ``by`` has the largest median is first.

    Raises:
        RequestError: there is no such figure.
    """
    check_choice("by", by, sorted({*FIGURES, *(name for one in runs for name in one.figures)}))
    groups: dict[str, list[FinishedRun]] = {}
    for one in runs:
        groups.setdefault(one.strategy, []).append(one)
    found = [Strategy(name, members) for name, members in groups.items()]
    return sorted(found, key=lambda one: -(told.value if (told := one.estimate(by)) else -1.0))


def write_figures(runs: Sequence[FinishedRun], path: Path) -> None:
    """A .csv with a row for every run: who it is, its settings that vary, and all its figures."""
    settings = list(dict.fromkeys(key for one in runs for key in one.settings))
    measured = [one.figures for one in runs]
    names = sorted({name for one in measured for name in one})
    with files.atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["run", "strategy", "face", *settings, *names, "person_to_the_end", "face_to_the_end"]
        )
        for one, figure in zip(runs, measured, strict=True):
            ends = censored_figures(one.summary)
            rows.writerow(
                [one.name, one.strategy, one.face]
                + [one.settings.get(key, "") for key in settings]
                + [f"{figure[name]:.9g}" if name in figure else "" for name in names]
                + [int(name in ends) for name in ("last_person", "last_face")]
            )


def ranking(found: Sequence[Strategy]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of medians, ``[interval]`` behind each, as many faces in brackets where some lack the figure."""
    names = [name for name in FIGURES if any(one.estimate(name) for one in found)]
    rows = []
    for one in found:
        faces = len({run.face for run in one.runs})
        rows.append(
            [one.name, str(faces), *(_cell(name, one.estimate(name), faces) for name in names)]
        )
    return ["strategy", "faces", *(FIGURES[name] for name in names)], rows


def paired(found: Sequence[Strategy]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of differences from the first strategy, face by face."""
    first, *others = found
    names = [name for name in PAIRED if any(one.against(first, name) for one in others)]
    rows = []
    for one in others:
        cells = []
        for name in names:
            told = one.against(first, name)
            cells.append(
                f"{_cell(name, told[0], told[0].count, paired=True)}, larger on {told[1]} of {told[0].count}"
                if told
                else ""
            )
        rows.append([one.name, *cells])
    return [f"minus {first.name}", *(FIGURES[name] for name in names)], rows


def _cell(name: str, told: Estimate | None, faces: int, paired: bool = False) -> str:
    if told is None:
        return ""
    share, sign = name.startswith(("half_life", "last")), "+" if paired else ""

    def number(value: float) -> str:
        return f"{100 * value:{sign}.1f}" if share else f"{value:{sign}.3g}"

    text = (
        ("≥ " if told.open else "")
        + number(told.value)
        + ((" points" if paired else " %") if share else "")
    )
    text += (
        f" [{number(told.low)}, {number(told.high)}]"
        if told.low is not None and told.high is not None
        else ""
    )
    return text + (f" ({told.count} faces)" if told.count != faces else "")


def report(found: Sequence[Strategy]) -> str:
    """Both tables and how they are to be read, as Markdown."""
    faces = {run.face for one in found for run in one.runs}
    parts = [
        f"{sum(len(one.runs) for one in found)} films, {len(found)} strategies, {len(faces)} faces.",
        _table(*ranking(found)),
        "Medians over faces; half-life, last person and last face are shares of units gone. In brackets the interval between two order "
        "statistics that holds the median of all such faces with 95 % or more (none below six faces); ≥: most films were over before. ",
    ]
    if len(found) > 1:
        parts += [
            _table(*paired(found)),
            "Differences are taken on the same face, then their median; of intervals that do not hold 0 one in twenty lies when nothing "
            "differs, so that of many comparisons some will.",
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def compare(folder: Path, by: str = "half_life.structure") -> list[Strategy]:
    """Compare the runs below a folder; writes comparison.csv, comparison.md, comparison.png, contact.png and mosaic.mp4 into it.

    Raises:
        RequestError: there are none, or nothing was measured of any, or matplotlib is not installed.
    """
    dependencies.import_extra("matplotlib", "measures")
    runs = finished_runs(folder)
    without = [one for one in runs if not (one.folder / CURVE).exists()]
    if len(without) == len(runs):
        raise RequestError(
            f"none of the {len(runs)} films in {folder} was measured; 'forgetting measure FOLDER' measures one, in its own folder"
        )
    for one in without:
        log.info(
            "%s",
            f"{one.folder} was not measured and is in the mosaic alone; 'forgetting measure {one.folder}' measures it",
        )
    found = strategies(runs, by)
    with friendly_os_errors(folder):
        write_figures(runs, folder / "comparison.csv")
        with files.atomic_write(folder / "comparison.md") as part:
            part.write_text(report(found), encoding="utf-8")
        curves = {
            one.name: [read_curve(run.folder / CURVE) for run in one.runs if run not in without]
            for one in found
        }
        plot.plot_comparison(
            {name: members for name, members in curves.items() if members},
            [folder / "comparison.png"],
        )
        mosaic.make_mosaic(
            [run for one in found for run in one.runs],
            folder / "mosaic.mp4",
            folder / "contact.png",
        )
    return found
