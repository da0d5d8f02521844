"""How a notebook shows a plan: a table of its tracks, each with the curve of its fraction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 240, 48
"""Pixels of a curve."""


def tracks_html(title: str, tracks: Iterable[tuple[str, str, Sequence[float]]]) -> str:
    """Return an HTML table with a row for every track.

    Args:
        title: stands above the table.
        tracks: name, description, and values in [0, 1] over the frames. Plans may come from
            strangers, so all text is escaped.
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(description)}</td><td>{curve_svg(values)}</td></tr>"
        for name, description, values in tracks
    )
    heads = "<tr><th>track</th><th>units</th><th>fraction over the frames</th></tr>"
    return f"<table><caption>{escape(title)}</caption>{heads}{rows}</table>"


def curve_svg(values: Sequence[float]) -> str:
    """Return an inline SVG of values in [0, 1], from left to right."""
    last = max(len(values) - 1, 1)
    points = " ".join(
        f"{WIDTH * index / last:.1f},{HEIGHT * (1 - value):.1f}"
        for index, value in enumerate(values)
    )
    # The box is a little larger than the curve, so that the line's ends are not cut off.
    box = f"-2 -2 {WIDTH + 4} {HEIGHT + 4}"
    return (
        f'<svg viewBox="{box}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="from {values[0]:.2f} to {values[-1]:.2f}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
