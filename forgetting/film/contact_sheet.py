"""The contact sheet: moments of a film on one picture, each with its share of ablated units."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from forgetting.ablation.plan import Plan
from forgetting.engines.pixels import Frame
from forgetting.film.fonts import Font
from forgetting.film.images import fit

CELL = 256
"""The shorter side of a thumbnail, in pixels."""

GAP = 4
"""Pixels between thumbnails."""

BACKGROUND = (12, 12, 12)


def sample_positions(frames: int, count: int) -> list[int]:
    """Return ``count`` positions spread evenly over a film, with the first and the last frame.

    A film with fewer frames has fewer positions.
    """
    return sorted({round(position) for position in np.linspace(0, frames - 1, min(count, frames))})


def thumbnail(frame: Frame) -> Frame:
    """Return a frame [H, W, 3 or 4] as [h, w, 3], its shorter side ``CELL``; opaque."""
    height, width = frame.shape[:2]
    scale = CELL / min(height, width)
    small = fit(frame, (round(scale * height), round(scale * width)))
    if small.shape[2] == 3:
        return small
    colour, alpha = small[..., :3], small[..., 3:] / 255
    return np.round(colour * alpha + np.array(BACKGROUND) * (1 - alpha)).astype(np.uint8)


def draw_sheet(thumbnails: dict[int, Frame], plan: Plan, fps: float) -> Frame:
    """Return the contact sheet; its rows are about as wide as eight squares.

    Every thumbnail is labelled with the share of units that are ablated. In a film without any
    ablation it is labelled with its time.

    Args:
        thumbnails: index of a frame -> its thumbnail, all of one size.
        plan: of the film.
        fps: frames per second of the plan.
    """
    shares = {index: plan.ablated_share(index) for index in thumbnails}
    labels = {
        index: _percent(share) if any(shares.values()) else f"{index / fps:.1f} s"
        for index, share in shares.items()
    }
    height, width = next(iter(thumbnails.values())).shape[:2]
    columns = max(1, min(round(8 * (CELL + GAP) / (width + GAP)), 8, len(thumbnails)))
    rows = -(-len(thumbnails) // columns)
    size = columns * (width + GAP) + GAP, rows * (height + GAP) + GAP
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), Font().at(19)
    for number, (index, picture) in enumerate(sorted(thumbnails.items())):
        row, column = divmod(number, columns)
        x, y = GAP + column * (width + GAP), GAP + row * (height + GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        text_at = x + 8, y + 6
        left, top, right, bottom = draw.textbbox(text_at, labels[index], font=font)
        draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=BACKGROUND)
        draw.text(text_at, labels[index], fill=(238, 238, 238), font=font)
    return np.asarray(sheet)


def _percent(share: float) -> str:
    """Return a share as a percentage; small ones, of films of a small layer, with a decimal."""
    percent = 100 * share
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"
