"""Several films as one: a mosaic in which they run in step, and a sheet with a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from forgetting import files
from forgetting.analysis.finished_runs import FinishedRun
from forgetting.engines.pixels import Frame
from forgetting.errors import RequestError
from forgetting.film import contact_sheet, copies, decoder
from forgetting.film.fonts import Font
from forgetting.film.images import fit, save_png
from forgetting.film.typesetting import wrap
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.progress import track

LARGEST = (3840, 2160)
"""Width and height of the largest mosaic; players play no larger films."""

CELL = 720
"""Height of the largest cell."""

SAMPLES = 12
"""Pictures in a row of the sheet."""

ROW = 104
"""Height of a row of the sheet."""

SHEET_LABEL = 260
"""Width of the labels of the sheet."""

GAP = 4
INK = (226, 222, 214)


@dataclass(frozen=True)
class Label:
    """A label, centred at ``x + width / 2`` and ``y``."""

    x: int
    y: int
    width: int
    text: str


@dataclass(frozen=True)
class MosaicLayout:
    """The layout of a mosaic.

    Args:
        size: width and height of the mosaic.
        cell: width and height of a cell.
        corners: the upper left corner (x, y) of every cell.
        labels: of the cells, or of rows and columns.
        font: size of the labels' font.
    """

    size: tuple[int, int]
    cell: tuple[int, int]
    corners: Sequence[tuple[int, int]]
    labels: Sequence[Label]
    font: int


def arrange(runs: Sequence[FinishedRun]) -> MosaicLayout:
    """Return the layout of a mosaic of some runs.

    If there are several strategies and several faces, strategies are rows and faces are columns.
    Else the cells fill a shape close to that of a screen.
    """
    strategies = list(dict.fromkeys(run.strategy for run in runs))
    faces = list(dict.fromkeys(run.face for run in runs))
    aspect = max(run.store.shape[1] / run.store.shape[0] for run in runs)
    cells = [(strategies.index(run.strategy), faces.index(run.face)) for run in runs]
    is_table = len(strategies) > 1 and len(faces) > 1 and len(set(cells)) == len(cells)
    if is_table:
        rows, columns = len(strategies), len(faces)
    else:
        columns = min(range(1, len(runs) + 1), key=lambda count: _misfit(len(runs), count, aspect))
        rows = ceil(len(runs) / columns)
        cells = [divmod(number, columns) for number in range(len(runs))]
    width, height = _cell_size(runs, rows, columns, aspect, is_table)
    strip = 2 * max(10, height // 16)
    margin = 2 * int(0.4 * width) if is_table else 0
    # All sizes are even, because planes of colour have half of them.
    step_x, step_y = width + GAP, height + GAP + (0 if is_table else strip)
    corners = [(margin + column * step_x, strip + row * step_y) for row, column in cells]
    if is_table:
        labels = [
            Label(margin + number * step_x, strip // 2, width, face)
            for number, face in enumerate(faces)
        ]
        labels += [
            Label(0, strip + number * step_y + height // 2, margin, strategy)
            for number, strategy in enumerate(strategies)
        ]
    else:
        labels = [
            Label(x, y - strip // 2, width, run.title)
            for (x, y), run in zip(corners, runs, strict=True)
        ]
    full_width = margin + columns * step_x
    full_height = (strip if is_table else 0) + rows * step_y
    return MosaicLayout(
        (full_width + full_width % 2, full_height + full_height % 2),
        (width, height),
        corners,
        labels,
        max(12, min(round(0.7 * strip), 28)),
    )


def _cell_size(
    runs: Sequence[FinishedRun], rows: int, columns: int, aspect: float, is_table: bool
) -> tuple[int, int]:
    """Return width and height of the largest cell with which the mosaic is not too large."""
    # Labels take an eighth of a cell, above every row or above the first. Those of the rows of a
    # table take 0.8 of a cell.
    strips = 1 if is_table else rows
    label_columns = 0.8 if is_table else 0.0
    height = (
        min(
            CELL,
            max(run.store.shape[0] for run in runs),
            LARGEST[0] / ((columns + label_columns) * aspect),
            LARGEST[1] / (rows + strips / 8),
        )
        - GAP
    )
    return 2 * max(8, int(height * aspect / 2)), 2 * max(8, int(height / 2))


def _misfit(count: int, columns: int, aspect: float) -> float:
    """Return how much a grid of cells differs from a screen's shape, plus its empty share."""
    rows = ceil(count / columns)
    return abs(columns * aspect / rows - LARGEST[0] / LARGEST[1]) + (rows * columns - count) / count


def make_mosaic(
    runs: Sequence[FinishedRun],
    film: Path,
    sheet: Path,
    unreadable: UnreadableRuns | None = None,
) -> None:
    """Write the mosaic of some runs, as .mp4, and their contact sheet, as .png.

    All films begin at the same time, without their titles; the last picture of a shorter film
    stays.

    Args:
        runs: with the films.
        film: path of the mosaic.
        sheet: path of the contact sheet.
        unreadable: gets the runs whose films cannot be decoded; without it the first of them is an
            error.

    Raises:
        RequestError: no film can be decoded.
    """
    layout = arrange(runs)
    rate = max(run.store.film.rate for run in runs)
    seconds = max(run.seconds for run in runs)
    rows, gathered = [], []
    with files.temporary_path(film.with_suffix("")) as folder:
        folder.mkdir()
        cells = [folder / f"{number}.mp4" for number in range(len(runs))]
        for run, cell in zip(track(runs, "gathering films", len(runs)), cells, strict=True):
            with nullcontext() if unreadable is None else unreadable.leave_out(run.folder):
                start = run.store.film.title_seconds
                copies.rescale(run.film, run.store, cell, layout.cell, rate, seconds, start=start)
                rows.append(_sheet_row(cell, round(run.seconds * rate), run))
                gathered.append(run)
        if not gathered:
            raise RequestError(f"none of the {len(runs)} films can be decoded; render them again")
        if len(gathered) < len(runs):  # the others have larger cells
            return make_mosaic(gathered, film, sheet, unreadable)
        save_png(_draw_labels(layout), folder / "labels.png", "")
        with files.atomic_write(film) as part:
            copies.tile_films(cells, layout.corners, folder / "labels.png", layout.size, part)
    with files.atomic_write(sheet) as part:
        save_png(_draw_sheet(rows, runs), part, "")


def _sheet_row(cell: Path, count: int, run: FinishedRun) -> Image.Image:
    """Return a row of the sheet: samples of a film of ``count`` frames, whose copy is ``cell``."""
    wanted = contact_sheet.sample_positions(count, SAMPLES)
    width = round(ROW * run.store.shape[1] / run.store.shape[0])
    row = Image.new("RGB", (SAMPLES * (width + GAP), ROW + GAP), contact_sheet.BACKGROUND)
    number = 0
    for index, frame in enumerate(decoder.decode_frames(cell)):
        if index in wanted:
            picture = fit(_without_bars(frame, run.store.shape), (ROW, width))
            row.paste(Image.fromarray(picture), (number * (width + GAP), 0))
            number += 1
    return row


def _without_bars(frame: Frame, shape: tuple[int, int]) -> Frame:
    """Return the part of a cell that its picture covers, which has the proportions of ``shape``."""
    height, width = frame.shape[:2]
    scale = min(height / shape[0], width / shape[1])
    high, wide = min(height, round(shape[0] * scale)), min(width, round(shape[1] * scale))
    y, x = (height - high) // 2, (width - wide) // 2
    return frame[y : y + high, x : x + wide]


def _draw_labels(layout: MosaicLayout) -> Frame:
    """Return the labels of a mosaic on a transparent picture [H, W, 4]."""
    picture = Image.new("RGBA", layout.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for label in layout.labels:
        _draw_label(pen, label, layout.font)
    return np.asarray(picture)


def _draw_sheet(rows: Sequence[Image.Image], runs: Sequence[FinishedRun]) -> Frame:
    """Return the contact sheet: the rows, each with the title of its run."""
    size = (SHEET_LABEL + max(row.width for row in rows), sum(row.height for row in rows))
    picture = Image.new("RGB", size, contact_sheet.BACKGROUND)
    pen, y = ImageDraw.Draw(picture), 0
    for row, run in zip(rows, runs, strict=True):
        picture.paste(row, (SHEET_LABEL, y))
        _draw_label(pen, Label(0, y + row.height // 2, SHEET_LABEL, run.title), 16)
        y += row.height
    return np.asarray(picture)


def _draw_label(pen: ImageDraw.ImageDraw, label: Label, size: int) -> None:
    """Draw a label; if it is too long, in up to three lines or in a smaller font."""
    width = label.width - 2 * GAP
    while True:
        font = Font().at(size)
        lines = wrap(Font().replaced(label.text), width, font.getlength)
        fits = len(lines) <= 3 and all(font.getlength(line) <= width for line in lines)
        if fits or size <= 10:
            break
        size -= 1
    pen.multiline_text(
        (label.x + label.width / 2, label.y),
        "\n".join(lines[:3]),
        INK,
        font,
        anchor="mm",
        align="center",
    )
