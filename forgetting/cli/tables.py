"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from forgetting.errors import MAX_SENTENCE
from forgetting.jobs.sweep import RunStatus, expected_runs
from forgetting.models.generator import Generator
from forgetting.printable import printable, sentence

COLOURS = {"finished": "green", "running": "cyan", "failed": "red", "interrupted": "yellow"}


def sweep_table(folder: Path, statuses: Sequence[RunStatus]) -> Table:
    """Return how far the runs of a sweep are."""
    states = [status.state for status in statuses]
    counts = ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)
    # Of the sweep that was asked for last: several sweeps may share a folder.
    total = expected_runs(folder) or 0
    count = len(statuses)
    started = f"{count} of {total} runs started: " if total >= count else f"{count} runs: "
    title = printable(f"{folder}: {started}{counts}")
    table = _plain(title=title, title_justify="left", title_style="")
    for column in ("run", "settings", "state", "frames"):
        table.add_column(column, justify="right" if column == "frames" else "left")
    for status in statuses:
        reason = f" {sentence(status.reason, MAX_SENTENCE)}" if status.reason else ""
        frames = f"{status.done} of {status.frames}" if status.frames else ""
        state = Text.assemble((status.state, COLOURS[status.state]), (reason, "dim"))
        table.add_row(printable(status.folder.name), printable(status.settings), state, frames)
    return table


def ranking_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return the table of a comparison; its first column names what is ranked."""
    table = _plain()
    for number, head in enumerate(heads):
        table.add_column(printable(head), justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*map(printable, row))
    return table


def layer_table(generator: Generator, costs: Mapping[str, float]) -> Table:
    """Return the layers of a network; ``costs`` are multiply-adds by layer."""
    table = _plain(show_footer=True, footer_style="bold")
    all_units = sum(layer.channels for layer in generator.layers)
    all_parameters = sum(layer.parameters for layer in generator.layers)
    all_parameters += generator.mapping_parameters + generator.image_parameters
    titles = ("layer", "resolution", "units", "parameters", "million multiply-adds")
    footers = (
        "all",
        "",
        f"{all_units:,}",
        f"{all_parameters:,}",
        f"{sum(costs.values()) / 1e6:,.1f}",
    )
    for title, footer in zip(titles, footers, strict=True):
        table.add_column(title, footer, justify="left" if title == "layer" else "right")
    mapping = f"{generator.mapping_parameters:,}"
    table.add_row(Text("mapping", "dim"), "", "", mapping, f"{costs['mapping'] / 1e6:,.1f}")
    table.add_row(Text("once for a face", "dim"), "", "", "", f"{costs['bind'] / 1e6:,.1f}")
    for layer in generator.layers:
        size = " x ".join(map(str, layer.size))
        cost = f"{costs[layer.name] / 1e6:,.1f}"
        units, parameters = f"{layer.channels:,}", f"{layer.parameters:,}"
        table.add_row(printable(layer.name), size, units, parameters, cost)
    size, image = " x ".join(map(str, generator.size)), f"{generator.image_parameters:,}"
    table.add_row(Text("image", "dim"), size, "", image, f"{costs['image'] / 1e6:,.1f}")
    return table


def _plain(**settings: Any) -> Table:
    return Table(box=None, header_style="bold", pad_edge=False, **settings)
