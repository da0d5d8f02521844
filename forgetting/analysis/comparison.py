"""Comparing the strategies of a folder's runs: medians with intervals, and differences by face."""

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
from forgetting.analysis.curve import censored_figures
from forgetting.analysis.finished_runs import FinishedRun, finished_runs
from forgetting.errors import RequestError, check_choice, friendly_os_errors
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.printable import shell_command

log = logging.getLogger(__name__)

COVERAGE = 0.95

ENOUGH = 6
"""The fewest faces of which a median has an interval at all, see :func:`estimate`."""

FIGURES: Mapping[str, str] = {
    "half_life.structure": "half-life",
    "last_person": "last person",
    "last_face": "last face",
    "evenness": "evenness",
    "render_seconds": "render time, s",
}
"""The figures of a ranking table, and their labels; the first three are shares of ablated units."""

PAIRED = ("half_life.structure", "last_person", "last_face")
"""The figures that are compared on each face."""

Table = tuple[list[str], list[list[str]]]
"""The heads and the rows of a table."""


@dataclass(frozen=True)
class Estimate:
    """The median of a sample, with its confidence interval.

    Args:
        count: the size of the sample.
        value: the sample median.
        low, high: an interval that holds the median of all faces with a probability of at least
            ``COVERAGE``; None if the sample is too small.
        censored: whether the sample median is only a lower bound, because films ended before.
    """

    count: int
    value: float
    low: float | None
    high: float | None
    censored: bool = False


def estimate(values: Iterable[float], censored_from: float = float("inf")) -> Estimate:
    """Return the sample median, with the interval between two order statistics.

    The interval is exact for any continuous distribution. The k-th smallest and k-th largest of n
    values hold the median with probability 1 - 2 P(B < k), where B is binomial of n and 1/2 (W. R.
    Thompson, On confidence ranges for the median, 1936). Of fewer than six values not even the
    outermost reach 95 %.

    Args:
        values: the sample.
        censored_from: the smallest value that is only a lower bound.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    n, outside, k = len(ordered), 0.0, 0
    while k < n and (outside := outside + comb(n, k) / 2**n) <= (1 - COVERAGE) / 2:
        k += 1
    low, high = (ordered[k - 1], ordered[n - k]) if k else (None, None)
    middle = median(ordered)
    return Estimate(n, middle, low, high, middle >= censored_from)


@dataclass(frozen=True)
class Difference:
    """How a figure of a strategy differs from that of another, on the same faces.

    Args:
        estimate: of the difference.
        larger: on how many faces the figure is larger.
    """

    estimate: Estimate
    larger: int


@dataclass(frozen=True)
class Strategy:
    """A strategy: its name, and its runs."""

    name: str
    runs: Sequence[FinishedRun]

    @property
    def faces(self) -> set[str]:
        """The faces of its runs."""
        return {run.face for run in self.runs}

    def by_face(self, figure: str) -> dict[str, float]:
        """Return a figure by face: the median of the runs that differ in other seeds only."""
        values: dict[str, list[float]] = {}
        for run in self.runs:
            if (value := run.figures.get(figure)) is not None:
                values.setdefault(run.face, []).append(value)
        return {face: median(of_face) for face, of_face in values.items()}

    def censored_faces(self, figure: str) -> set[str]:
        """Return the faces whose films ended before the figure was reached."""
        return {run.face for run in self.runs if figure in censored_figures(run.summary)}

    def estimate(self, figure: str) -> Estimate | None:
        """Return the median of a figure over faces; None if no run has it."""
        values = self.by_face(figure)
        # The value of a censored face is a lower bound, so a median from there on is one too.
        bounds = (values[face] for face in self.censored_faces(figure))
        return estimate(values.values(), min(bounds, default=float("inf"))) if values else None

    def compare(self, other: Strategy, figure: str) -> Difference | None:
        """Return the difference of a figure from that of another strategy; None if there is none.

        Faces of which both films ended before the figure was reached are left out.
        """
        ours, theirs = self.by_face(figure), other.by_face(figure)
        unknown = self.censored_faces(figure) & other.censored_faces(figure)
        differences = [
            ours[face] - theirs[face] for face in (ours.keys() & theirs.keys()) - unknown
        ]
        if not differences:
            return None
        return Difference(estimate(differences), sum(value > 0 for value in differences))


def strategies(runs: Sequence[FinishedRun], by: str = "half_life.structure") -> list[Strategy]:
    """Return the strategies of some runs, sorted by the median of a figure, the largest first.

    Raises:
        RequestError: there is no such figure.
    """
    check_choice("by", by, sorted({*FIGURES, *(name for run in runs for name in run.figures)}))
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(run.strategy, []).append(run)

    def sort_key(strategy: Strategy) -> float:
        by_figure = strategy.estimate(by)
        return 1.0 if by_figure is None else -by_figure.value

    return sorted((Strategy(name, members) for name, members in groups.items()), key=sort_key)


def write_figures(runs: Sequence[FinishedRun], path: Path) -> None:
    """Write a .csv file with a row for every run: its name, settings that vary, and all figures."""
    settings = list(dict.fromkeys(key for run in runs for key in run.labels.settings))
    names = sorted({name for run in runs for name in run.figures})
    heads = ["run", "strategy", "face", *settings, *names, "person_to_the_end", "face_to_the_end"]
    with files.atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(heads)
        for run in runs:
            figures, censored = run.figures, censored_figures(run.summary)
            rows.writerow(
                [run.name, run.strategy, run.face]
                + [run.labels.settings.get(key, "") for key in settings]
                + [f"{figures[name]:.9g}" if name in figures else "" for name in names]
                + [int(name in censored) for name in ("last_person", "last_face")]
            )


def ranking(ranked: Sequence[Strategy]) -> Table:
    """Return the table of medians.

    A cell has the interval in brackets, and the number of faces if some of them lack the figure.
    """
    names = [name for name in FIGURES if any(strategy.estimate(name) for strategy in ranked)]
    rows = []
    for strategy in ranked:
        count = len(strategy.faces)
        cells = [_cell(name, strategy.estimate(name), count) for name in names]
        rows.append([strategy.name, str(count), *cells])
    return ["strategy", "faces", *(FIGURES[name] for name in names)], rows


def paired(ranked: Sequence[Strategy]) -> Table:
    """Return the table of differences from the first strategy, on the same faces."""
    first, *others = ranked
    names = [name for name in PAIRED if any(other.compare(first, name) for other in others)]
    rows = []
    for other in others:
        cells = [_difference_cell(name, other.compare(first, name)) for name in names]
        rows.append([other.name, *cells])
    return [f"minus {first.name}", *(FIGURES[name] for name in names)], rows


def _difference_cell(name: str, difference: Difference | None) -> str:
    if difference is None:
        return ""
    count = difference.estimate.count
    cell = _cell(name, difference.estimate, count, signed=True)
    return f"{cell}, larger on {difference.larger} of {count}"


def _cell(name: str, shown: Estimate | None, faces: int, signed: bool = False) -> str:
    """Return an estimate as text: ``≥ 41.2 % [38.0, 44.1] (7 faces)``."""
    if shown is None:
        return ""
    is_share, sign = name.startswith(("half_life", "last")), "+" if signed else ""

    def number(value: float) -> str:
        return f"{100 * value:{sign}.1f}" if is_share else f"{value:{sign}.3g}"

    text = ("≥ " if shown.censored else "") + number(shown.value)
    if is_share:
        text += " points" if signed else " %"
    if shown.low is not None and shown.high is not None:
        text += f" [{number(shown.low)}, {number(shown.high)}]"
    if shown.count != faces:
        text += f" ({shown.count} faces)"
    return text


def caution(ranked: Sequence[Strategy]) -> str | None:
    """Return a sentence if there are too few faces for a ranking; None if there are enough."""
    fewest = min(ranked, key=lambda strategy: len(strategy.faces))
    count = len(fewest.faces)
    if len(ranked) < 2 or count >= ENOUGH:
        return None
    return (
        f"a ranking of so few faces means little ({fewest.name!r} has {count}); "
        f"below {ENOUGH} faces no median has an interval, so render more faces of every strategy"
    )


def report(ranked: Sequence[Strategy]) -> str:
    """Return both tables as Markdown, with how they are to be read."""
    faces = {face for strategy in ranked for face in strategy.faces}
    films = sum(len(strategy.runs) for strategy in ranked)
    few = caution(ranked)
    parts = [
        f"{films} films, {len(ranked)} strategies, {len(faces)} faces.",
        *([f"**{few[0].upper()}{few[1:]}.**"] if few else []),
        _markdown(ranking(ranked)),
        "Medians over faces; half-life, last person and last face are shares of units gone. "
        "In brackets is the interval between two order statistics that holds the median of all "
        "such faces with a probability of at least 95 % (none below six faces). "
        "≥: most films ended before.",
    ]
    if len(ranked) > 1:
        parts += [
            _markdown(paired(ranked)),
            "Differences are taken on the same face, then their median. Where nothing differs, one "
            "in twenty intervals still does not hold 0; among many comparisons some will not.",
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _markdown(table: Table) -> str:
    heads, rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def compare(
    folder: Path, by: str = "half_life.structure", unreadable: UnreadableRuns | None = None
) -> list[Strategy]:
    """Compare the runs below a folder, and return the strategies, the best first.

    Writes comparison.csv, comparison.md, comparison.png, contact.png and mosaic.mp4 into the
    folder.

    Args:
        folder: with the runs.
        by: the figure to rank by.
        unreadable: gets the runs that cannot be read; without it the first of them is an error.

    Raises:
        RequestError: there are no runs, none of them was measured, or matplotlib is not installed.
    """
    dependencies.import_extra("matplotlib", "measures")
    runs = finished_runs(folder, unreadable)
    unmeasured = [run for run in runs if run.curve is None]
    if len(unmeasured) == len(runs):
        raise RequestError(
            f"none of the {len(runs)} films in {folder} was measured; "
            "'forgetting measure FOLDER' measures one, in its own folder"
        )
    for run in unmeasured:
        log.info(
            "%s was not measured and is only in the mosaic; to measure it, run: %s",
            run.folder,
            shell_command("measure", run.folder),
        )
    ranked = strategies(runs, by)
    if few := caution(ranked):
        log.warning("%s", few)
    curves = {}
    for strategy in ranked:
        if measured := [run.curve for run in strategy.runs if run.curve is not None]:
            curves[strategy.name] = measured
    with friendly_os_errors(folder):
        write_figures(runs, folder / "comparison.csv")
        with files.atomic_write(folder / "comparison.md") as part:
            part.write_text(report(ranked), encoding="utf-8")
        plot.plot_comparison(curves, [folder / "comparison.png"])
        mosaic.make_mosaic(
            [run for strategy in ranked for run in strategy.runs],
            folder / "mosaic.mp4",
            folder / "contact.png",
            unreadable,
        )
    return ranked
