"""What a file of weights is, told without making a network of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from forgetting import checkpoints
from forgetting.checkpoints import file, unpickle
from forgetting.errors import CheckpointError
from forgetting.units import Units

KINDS = {"pickle": "a pickle, as NVIDIA's code writes them", "torch zip": "a torch file", "torch legacy": "a torch file of the old kind"}


def inspected(path: Path, network: str | None = None) -> Iterator[tuple[str, str]]:
    """Pairs of what is told about and what there is to tell.

    Raises:
        CheckpointError: the file cannot be read, or asks for something that is refused.
    """
    kind = unpickle.kind(path)
    if kind == "safetensors":
        yield from _ours(path)
        return
    tree = unpickle.opened(path)
    yield "file", f"{KINDS[kind]}, {path.stat().st_size / 1e6:.1f} MB"
    found = file.networks(tree)
    yield "networks", ", ".join(name or "(one without a name)" for name in found) or "none"
    try:
        name = file.chosen(tree, found, network)
        shapes = unpickle.shapes(found[name], str(path))
        parameters = sum(math.prod(shape) for shape, _ in shapes.values())
        yield "taken", f"{name or 'the only one'}: {len(shapes)} tensors, {parameters:,} values"
        architecture, hyperparameters, _ = file.convert(tree, network)
        yield "network", _described(architecture, hyperparameters)
    except CheckpointError as error:
        yield "network", f"none that can be filmed: {error}"
    yield "asks for", ", ".join(f"{name} ({count}x)" for name, count in sorted(tree.globals.items())) or "nothing"
    source = sum(length for _, length in tree.sources)
    classes = ", ".join(sorted({name for name, _ in tree.sources}))
    yield "source code", f"{source:,} characters for {classes}; it is not run" if tree.sources else "none"


def _ours(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with safe_open(path, "pt") as tensors:
            metadata = tensors.metadata() or {}
            parameters = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or convert it again") from None
    yield "file", f"safetensors, {path.stat().st_size / 1e6:.1f} MB, {parameters:,} values"
    if "architecture" in metadata:
        yield "network", _described(metadata["architecture"], json.loads(metadata.get("hyperparameters", "{}")))
    else:
        yield "network", "none of ours: its metadata names no architecture"
    yield "provenance", metadata.get("provenance", "unknown")
    yield "source code", "none; such a file has no room for it"


def _described(architecture: str, hyperparameters: Mapping[str, Any]) -> str:
    with torch.device("meta"):
        network: Any = checkpoints.ARCHITECTURES[architecture](**hyperparameters)
    height, width = network.size
    classes = f"{network.labels} classes" if network.labels else "no classes"
    units = f"{len(Units(network.layers)):,} units in {len(network.layers)} layers"
    return f"{architecture}, {height} x {width}, {classes}, z of {network.z_dim}, {units}"
