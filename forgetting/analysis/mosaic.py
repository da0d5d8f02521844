"""Many films beside one another: all of them in step, as one film, and as a sheet with a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from forgetting import files
from forgetting.analysis.finished_runs import FinishedRun
from forgetting.film import contact_sheet, copies, decoder
from forgetting.film.images import fit, save_png
from forgetting.progress import track

LARGEST = (3840, 2160)
"""Width and height that a mosaic stays within: what players can play."""

CELL = 720
"""Height of a cell, at most."""

STATIONS, ROW = 12, 104
"""Pictures in a row of the sheet, and their height."""

GAP = 4
INK = (226, 222, 214)


@dataclass(frozen=True)
class MosaicLayout:
    """Where everything stands: the size of all, that of a cell, the corner of every cell, and labels (x, y, width, text)."""

    size: tuple[int, int]
    cell: tuple[int, int]
    corners: Sequence[tuple[int, int]]
    labels: Sequence[tuple[int, int, int, str]]
    font: int


def arrange(runs: Sequence[FinishedRun]) -> MosaicLayout:
    """Strategies in rows and faces in columns, where there are several of both; else as near to a screen's shape as may be."""
    rows, columns = (
        list(dict.fromkeys(one.strategy for one in runs)),
        list(dict.fromkeys(one.face for one in runs)),
    )
    aspect = max(one.store.shape[1] / one.store.shape[0] for one in runs)
    places = [(rows.index(one.strategy), columns.index(one.face)) for one in runs]
    table = len(rows) > 1 and len(columns) > 1 and len(set(places)) == len(places)
    if table:
        down, across, aside = len(rows), len(columns), 1
    else:
        across = min(
            range(1, len(runs) + 1),
            key=lambda columns: _unlike_a_screen(len(runs), columns, aspect),
        )
        down, aside = ceil(len(runs) / across), 0
        places = [divmod(number, across) for number in range(len(runs))]
    tallest = min(CELL, max(one.store.shape[0] for one in runs))
    # A strip for the labels above every row, or above the first, takes an eighth of a cell.
    high = (
        min(
            tallest,
            LARGEST[0] / ((across + 0.8 * aside) * aspect),
            LARGEST[1] / (down + (1 if table else down) / 8),
        )
        - GAP
    )
    height, width = 2 * max(8, int(high / 2)), 2 * max(8, int(high * aspect / 2))
    strip, margin = 2 * max(10, height // 16), 2 * int(0.4 * width) * aside
    step = (
        width + GAP,
        height + GAP + (0 if table else strip),
    )  # all even, as the planes of colour want it
    corners = [(margin + column * step[0], strip + row * step[1]) for row, column in places]
    if table:
        labels = [
            (margin + number * step[0], strip // 2, width, name)
            for number, name in enumerate(columns)
        ]
        labels += [
            (0, strip + number * step[1] + height // 2, margin, name)
            for number, name in enumerate(rows)
        ]
    else:
        labels = [
            (x, y - strip // 2, width, one.title) for (x, y), one in zip(corners, runs, strict=True)
        ]
    size = margin + across * step[0], (strip if table else 0) + down * step[1]
    return MosaicLayout(
        (size[0] + size[0] % 2, size[1] + size[1] % 2),
        (width, height),
        corners,
        labels,
        max(12, min(round(0.7 * strip), 28)),
    )


def _unlike_a_screen(count: int, columns: int, aspect: float) -> float:
    """How little so many cells in so many columns look like a screen, and how much of it is empty."""
    rows = ceil(count / columns)
    return abs(columns * aspect / rows - LARGEST[0] / LARGEST[1]) + (rows * columns - count) / count


def make_mosaic(runs: Sequence[FinishedRun], film: Path, contact: Path) -> None:
    """Write the mosaic of those runs, as .mp4, and their contact sheet, as .png.

    All run from their beginnings at the same time; what ends earlier stands still.
    """
    where = arrange(runs)
    rate = max(one.store.film.rate for one in runs)
    seconds = max(one.seconds for one in runs)
    rows = []
    with files.temporary_path(film.with_suffix("")) as folder:
        folder.mkdir()
        cells = [folder / f"{number}.mp4" for number in range(len(runs))]
        for one, cell in zip(track(runs, "gathering films", len(runs)), cells, strict=True):
            copies.rescale(one.film, one.store.film, cell, where.cell, rate, seconds)
            rows.append(_stations(cell, round(one.seconds * rate), one))
        save_png(_labels(where), folder / "labels.png", "")
        with files.atomic_write(film) as part:
            copies.tile_films(cells, where.corners, folder / "labels.png", where.size, part)
    with files.atomic_write(contact) as part:
        save_png(_sheet(rows, runs), part, "")


def _stations(cell: Path, count: int, one: FinishedRun) -> Image.Image:
    """One row of the sheet: stations of a film that has ``count`` frames, and is in ``cell`` with darkness around."""
    wanted, found = contact_sheet.sample_positions(count, STATIONS), []
    wide = round(ROW * one.store.shape[1] / one.store.shape[0])
    for index, frame in enumerate(decoder.decode_frames(cell)):
        if index in wanted:
            found.append(fit(_inside(frame, one.store.shape), (ROW, wide)))
    row = Image.new("RGB", (STATIONS * (wide + GAP), ROW + GAP), contact_sheet.GROUND)
    for number, still in enumerate(found):
        row.paste(Image.fromarray(still), (number * (wide + GAP), 0))
    return row


def _inside(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What of a cell the picture covers, which has the proportions of ``shape``."""
    height, width = frame.shape[:2]
    scale = min(height / shape[0], width / shape[1])
    high, wide = min(height, round(shape[0] * scale)), min(width, round(shape[1] * scale))
    y, x = (height - high) // 2, (width - wide) // 2
    return frame[y : y + high, x : x + wide]


def _labels(where: MosaicLayout) -> np.ndarray:
    picture = Image.new("RGBA", where.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for x, y, width, text in where.labels:
        _write(pen, (x, y), width, text, where.font)
    return np.asarray(picture)


def _sheet(rows: Sequence[Image.Image], runs: Sequence[FinishedRun]) -> np.ndarray:
    aside = 260
    picture = Image.new(
        "RGB",
        (aside + max(row.width for row in rows), sum(row.height for row in rows)),
        contact_sheet.GROUND,
    )
    pen, y = ImageDraw.Draw(picture), 0
    for row, one in zip(rows, runs, strict=True):
        picture.paste(row, (aside, y))
        _write(pen, (0, y + row.height // 2), aside, one.title, 16)
        y += row.height
    return np.asarray(picture)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], width: int, text: str, size: int
) -> None:
    """A label in the middle of its width; in two or three lines or smaller where it is too long."""
    while True:
        font = ImageFont.load_default(size)
        lines = _wrapped(pen, text, width - 2 * GAP, font)
        if size <= 10 or (
            len(lines) <= 3 and all(pen.textlength(line, font) <= width - 2 * GAP for line in lines)
        ):
            break
        size -= 1
    pen.multiline_text(
        (place[0] + width / 2, place[1]),
        "\n".join(lines[:3]),
        INK,
        font,
        anchor="mm",
        align="center",
    )


def _wrapped(
    pen: ImageDraw.ImageDraw,
    text: str,
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if pen.textlength(longer, font) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
