"""Descriptions of files of weights, without building their networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import (
    dcgan,
    foreign,
    native,
    network_search,
    pickle_reader,
    pickle_records,
)
from forgetting.models.checkpoints.pickle_machine import is_harmful, is_known
from forgetting.models.checkpoints.pickle_names import NameList, refusal
from forgetting.models.units import Units
from forgetting.printable import listed, sentence

KINDS = {
    "pickle": "a pickle, as NVIDIA's code writes them",
    "torch zip": "a torch file",
    "torch legacy": "a torch file of the old kind",
}

MAX_LINES = 100
"""The largest number of lines of a list."""


def inspect_file(path: Path, network: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield pairs of a title and a text that describe a file.

    Args:
        path: of the file.
        network: the name of the network that is described, if the file holds several.

    Raises:
        CheckpointError: the file cannot be read; what it asks for has been yielded.
    """
    kind = pickle_reader.file_kind(path)
    if kind == "safetensors":
        yield from _ours(path)
        return
    yield "file", f"{KINDS[kind]}, {path.stat().st_size / 1e6:.1f} MB"
    try:
        tree = pickle_reader.read_tree(path, refuse=False)
    except CheckpointError:
        yield from _names(pickle_reader.read_names(path), {})
        raise
    networks = network_search.find_networks(tree)
    yield "networks", listed(name or "(a network without a name)" for name in networks) or "none"
    try:
        name = network_search.choose_network(tree, networks, network)
        shapes = pickle_records.stored(networks[name], str(path))
        values = sum(math.prod(tensor.shape) for tensor in shapes.values())
        yield "taken", f"{name or 'the only one'}: {len(shapes)} tensors, {values:,} values"
        shapes = network_search.without_prefix(shapes)
        missing = foreign.unsaid(shapes)
        settings = dcgan.paper_settings(dcgan.kernels(shapes)) if missing else None
        architecture, hyperparameters, _ = foreign.convert(tree, name, settings)
        yield "network", _description(architecture, hyperparameters, path)
        if missing:
            yield "does not say", missing
    except CheckpointError as error:
        yield "network", f"none that can be filmed: {error}"
    yield from _names(pickle_reader.read_names(path), tree.refused)
    source = sum(length for _, length in tree.sources)
    classes = _list(sorted({name for name, _ in tree.sources})).replace("\n", ", ")
    yield (
        "source code",
        f"{source:,} characters for {classes}; it is not run" if tree.sources else "none",
    )


def _names(names: NameList, refused: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a file asks for and what of it is refused; harmful names come first."""
    refused = {name: refusal(name) for name in names.counts if not is_known(name)} | {**refused}

    def order(name: str) -> tuple[bool, bool, str]:
        return name not in refused, not is_harmful(name), name

    more = [] if names.complete else ["and perhaps more, in a part that cannot be read"]
    counts = (f"{name} ({names.counts[name]}x)" for name in sorted(names.counts, key=order))
    yield "asks for", _list([*counts], more) or "nothing"
    if refused:
        reasons = [f"{name}, which {refused[name]}" for name in sorted(refused, key=order)]
        yield "refused", _list(reasons)


def _ours(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with safe_open(path, "pt") as tensors:
            values = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or convert it again") from None
    yield "file", f"safetensors, {path.stat().st_size / 1e6:.1f} MB, {values:,} values"
    try:
        architecture, hyperparameters, provenance = native.read_metadata(path)
        yield "network", _description(architecture, hyperparameters, path)
        yield "provenance", ascii(provenance[:300])[1:-1]
    except CheckpointError as error:
        yield "network", f"none that can be filmed: {error}"
    yield "source code", "none; such a file cannot hold any"


def _description(architecture: str, hyperparameters: Mapping[str, Any], path: Path) -> str:
    network = native.skeleton(architecture, hyperparameters, str(path))
    height, width = network.size
    classes = f"{network.labels} classes" if network.labels else "no classes"
    units = f"{len(Units(network.layers)):,} units in {len(network.layers)} layers"
    described = f"{architecture}, {height} x {width}, {classes}, z of {network.z_dim}, {units}"
    settings = "".join(f", {name} {value}" for name, value in network.settings.items())
    centre = "" if hyperparameters.get("centre", True) else ", only for latent.psi=1"
    return described + settings + centre


def _list(lines: Sequence[str], last: Sequence[str] = ()) -> str:
    """Return the lines as a text; of many the first, and how many there are more."""
    shown = [sentence(line, 300) for line in lines[:MAX_LINES]]
    more = [f"and {len(lines) - MAX_LINES:,} more"] if len(lines) > MAX_LINES else []
    return "\n".join([*shown, *more, *last])
