"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from forgetting.jobs.sweep import RunStatus, expected_runs
from forgetting.models.generator import Generator

COLOURS = {"finished": "green", "running": "cyan", "failed": "red", "interrupted": "yellow"}


def sweep_table(folder: Path, statuses: Sequence[RunStatus]) -> Table:
    """Return how far the runs of a sweep are."""
    states = [status.state for status in statuses]
    counts = ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)
    # Of the sweep that was asked for last: several sweeps may share a folder.
    total = expected_runs(folder) or 0
    count = len(statuses)
    started = f"{count} of {total} runs started: " if total >= count else f"{count} runs: "
    title = escape(f"{folder}: {started}{counts}")
    table = _plain(title=title, title_justify="left", title_style="")
    for column in ("run", "settings", "state", "frames"):
        table.add_column(column, justify="right" if column == "frames" else "left")
    for status in statuses:
        reason = f" [dim]{escape(status.reason)}" if status.reason else ""
        frames = f"{status.done} of {status.frames}" if status.frames else ""
        state = f"[{COLOURS[status.state]}]{status.state}[/]{reason}"
        table.add_row(escape(status.folder.name), escape(status.settings), state, frames)
    return table


def ranking_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return the table of a comparison; its first column names what is ranked."""
    table = _plain()
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def layer_table(generator: Generator, costs: Mapping[str, float]) -> Table:
    """Return the layers of a network; ``costs`` are multiply-adds by layer."""
    table = _plain(show_footer=True, footer_style="bold")
    units = sum(layer.channels for layer in generator.layers)
    parameters = sum(layer.parameters for layer in generator.layers)
    parameters += generator.mapping_parameters + generator.image_parameters
    titles = ("layer", "resolution", "units", "parameters", "million multiply-adds")
    footers = ("all", "", f"{units:,}", f"{parameters:,}", f"{sum(costs.values()) / 1e6:,.1f}")
    for title, footer in zip(titles, footers, strict=True):
        table.add_column(title, footer, justify="left" if title == "layer" else "right")
    mapping = f"{generator.mapping_parameters:,}"
    table.add_row("[dim]mapping", "", "", mapping, f"{costs['mapping'] / 1e6:,.1f}")
    table.add_row("[dim]once for a face", "", "", "", f"{costs['bind'] / 1e6:,.1f}")
    for layer in generator.layers:
        size = " x ".join(map(str, layer.size))
        cost = f"{costs[layer.name] / 1e6:,.1f}"
        table.add_row(layer.name, size, f"{layer.channels:,}", f"{layer.parameters:,}", cost)
    size, image = " x ".join(map(str, generator.size)), f"{generator.image_parameters:,}"
    table.add_row("[dim]image", size, "", image, f"{costs['image'] / 1e6:,.1f}")
    return table


def _plain(**settings: Any) -> Table:
    return Table(box=None, header_style="bold", pad_edge=False, **settings)
