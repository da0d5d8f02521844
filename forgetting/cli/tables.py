"""Tables for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from forgetting.jobs.sweep import RunStatus, expected_runs
from forgetting.models.generator import Generator

COLOURS = {"finished": "green", "running": "cyan", "failed": "red", "broken off": "yellow"}


def sweep_table(folder: Path, found: Sequence[RunStatus]) -> Table:
    """How far the runs of a sweep are."""
    counts = ", ".join(
        f"{sum(one.what == what for one in found)} {what}"
        for what in COLOURS
        if any(one.what == what for one in found)
    )
    total = (
        expected_runs(folder) or 0
    )  # of the sweep that was asked for last; several may share a folder
    begun = (
        f"{len(found)} of {total} runs begun: " if total >= len(found) else f"{len(found)} runs: "
    )
    table = _plain(title=f"{folder}: {begun}{counts}", title_justify="left", title_style="")
    for column in ("run", "settings", "state", "frames"):
        table.add_column(column, justify="right" if column == "frames" else "left")
    for one in found:
        why = f" [dim]{escape(one.why)}" if one.why else ""
        frames = f"{one.done} of {one.frames}" if one.frames else ""
        table.add_row(
            one.folder.name,
            escape(one.settings),
            f"[{COLOURS[one.what]}]{one.what}[/]{why}",
            frames,
        )
    return table


def ranking_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A comparison's; the first column names who is ranked."""
    table = _plain()
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def layer_table(generator: Generator, costs: Mapping[str, float]) -> Table:
    """What a network is made of; ``costs`` are multiply-adds by layer."""
    table = _plain(show_footer=True, footer_style="bold")
    units = sum(layer.channels for layer in generator.layers)
    parameters = (
        sum(layer.parameters for layer in generator.layers)
        + generator.mapping_parameters
        + generator.image_parameters
    )
    footers = ("all", "", f"{units:,}", f"{parameters:,}", f"{sum(costs.values()) / 1e6:,.1f}")
    for column, footer in zip(
        ("layer", "resolution", "units", "parameters", "million multiply-adds"),
        footers,
        strict=True,
    ):
        table.add_column(column, footer, justify="left" if column == "layer" else "right")
    table.add_row(
        "[dim]mapping",
        "",
        "",
        f"{generator.mapping_parameters:,}",
        f"{costs['mapping'] / 1e6:,.1f}",
    )
    table.add_row("[dim]folded once a face", "", "", "", f"{costs['bind'] / 1e6:,.1f}")
    for layer in generator.layers:
        size = " x ".join(map(str, layer.size))
        table.add_row(
            layer.name,
            size,
            f"{layer.channels:,}",
            f"{layer.parameters:,}",
            f"{costs[layer.name] / 1e6:,.1f}",
        )
    size = " x ".join(map(str, generator.size))
    table.add_row(
        "[dim]image", size, "", f"{generator.image_parameters:,}", f"{costs['image'] / 1e6:,.1f}"
    )
    return table


def _plain(**settings: Any) -> Table:
    return Table(box=None, header_style="bold", pad_edge=False, **settings)
