"""The contact sheet: stations of a film on one picture, each labelled with the share of units gone."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from forgetting.ablation.plan import Plan
from forgetting.engines.engine import Frame
from forgetting.film.images import fit

CELL = 256
GAP = 4
GROUND = (12, 12, 12)


def sample_positions(frames: int, count: int) -> list[int]:
    """``count`` indices spread evenly over a film, first and last among them (fewer where the film is shorter)."""
    return sorted({round(index) for index in np.linspace(0, frames - 1, min(count, frames))})


def thumbnail(frame: Frame) -> Frame:
    """[H, W, 3 or 4] -> [h, w, 3]: what a station looks like on the sheet, its shorter side ``CELL``."""
    height, width = frame.shape[:2]
    scale = CELL / min(height, width)
    small = fit(frame, (round(scale * height), round(scale * width)))
    if small.shape[2] == 3:
        return small
    colour, cover = small[..., :3], small[..., 3:] / 255
    return np.round(colour * cover + np.array(GROUND) * (1 - cover)).astype(np.uint8)


def draw_sheet(thumbnails: dict[int, Frame], plan: Plan, fps: float) -> Frame:
    """Arrange thumbnails (frame index -> picture), in order, as many to a row as are about as wide as eight squares.

    Each says how much is gone then; of a film in which nobody ever dies, when it is.
    """
    shares = {index: plan.ablated_share(index) for index in thumbnails}
    told = {
        index: _percent(share) if any(shares.values()) else f"{index / fps:.1f} s"
        for index, share in shares.items()
    }
    height, width = next(iter(thumbnails.values())).shape[:2]
    columns = max(1, min(round(8 * (CELL + GAP) / (width + GAP)), 8, len(thumbnails)))
    rows = -(-len(thumbnails) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), GROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for place, (index, picture) in enumerate(sorted(thumbnails.items())):
        x, y = GAP + place % columns * (width + GAP), GAP + place // columns * (height + GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        label = told[index]
        left, top, right, bottom = pen.textbbox((x + 8, y + 6), label, font=font)
        pen.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=GROUND)
        pen.text((x + 8, y + 6), label, fill=(238, 238, 238), font=font)
    return np.asarray(sheet)


def _percent(share: float) -> str:
    """Films of one small layer live below two percent: they get a decimal."""
    percent = 100 * share
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"
