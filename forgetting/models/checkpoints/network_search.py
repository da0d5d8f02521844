"""The networks in a file: their names, which of them to take, and what kind they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_records
from forgetting.printable import listed

PREFERRED = ("G_ema", "g_ema")
"""The networks that are taken by default: running means of the weights, whose pictures are best."""

DEPTH = 4
"""How many levels of a file are searched for networks."""


def find_networks(
    tree: pickle_records.Tree,
) -> dict[str, pickle_records.Persistent | dict[str, pickle_records.Stored]]:
    """Return all networks in a file by name; the name is empty if the file is nothing else.

    A state dict of several networks, whose tensors have the networks' names in front of them, is
    taken apart.
    """

    def walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
        if isinstance(value, pickle_records.Persistent):
            yield name, value
        elif isinstance(value, dict):
            tensors = {
                key: child
                for key, child in value.items()
                if isinstance(child, pickle_records.Stored)
            }
            if len(tensors) > 2:
                yield from _take_apart(tensors, name)
            for key, child in value.items() if depth else ():
                yield from walk(child, f"{name}.{key}" if name else str(key), depth - 1)

    return dict(walk(tree.root, "", DEPTH))


def _take_apart(
    tensors: dict[Any, pickle_records.Stored], name: str
) -> Iterator[tuple[str, dict[Any, pickle_records.Stored]]]:
    """Yield the networks of a state dict: those under a prefix, if we read one of them."""
    parts: dict[str, dict[Any, pickle_records.Stored]] = {}
    if detect_architecture(without_prefix(tensors)) is None:
        for key, tensor in tensors.items():
            prefix, _, rest = str(key).partition(".")
            parts.setdefault(prefix, {})[rest] = tensor
    networks = {prefix: part for prefix, part in parts.items() if len(part) > 2}
    if any(detect_architecture(part) for part in networks.values()):
        for prefix, part in networks.items():
            yield f"{name}.{prefix}" if name else prefix, part
    else:
        yield name, tensors


def choose_network(
    tree: pickle_records.Tree, networks: Mapping[str, Any], network: str | None
) -> str:
    """Return the name of the network to take.

    It is ``network``, or else a preferred one, or else the only one that makes pictures.

    Raises:
        CheckpointError: there is no such network, or several.
    """
    names = listed(networks) or "no network at all"
    if network is not None:
        if network not in networks:
            raise CheckpointError(f"{tree.path} holds no network {network!r}; it holds {names}")
        return network
    for name in PREFERRED:
        if name in networks:
            return name
    generators = [
        name
        for name, value in networks.items()
        if detect_architecture(without_prefix(pickle_records.stored(value, str(tree.path))))
    ]
    if len(generators) == 1:
        return generators[0]
    if not generators:
        raise CheckpointError(
            f"{tree.path} holds no StyleGAN2, StyleGAN3 or DCGAN; it holds {names}"
        )
    raise CheckpointError(
        f"{tree.path} holds several networks; "
        f"set generator.network=NAME, one of {listed(generators)}"
    )


def detect_architecture(state: Mapping[str, Any]) -> str | None:
    """Return the architecture of a state dict by its names, for a DCGAN by its shapes."""
    for key, name in (
        ("synthesis.b4.const", "nvidia"),
        ("synthesis.input.freqs", "nvidia"),
        ("input.input", "rosinality"),
    ):
        if key in state:
            return name
    kernels = [tensor.shape for tensor in state.values() if len(tensor.shape) == 4]
    chained = all(before[1] == after[0] for before, after in pairwise(kernels))
    return "dcgan" if len(kernels) > 1 and chained and kernels[-1][1] <= 4 else None


def without_prefix(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the state dict without the prefix of training on several GPUs."""
    if not all(str(name).startswith("module.") for name in state):
        return dict(state)
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def tensor_beside(root: Any, name: str, key: str) -> pickle_records.Stored | None:
    """Return the tensor under ``key`` nearest to the network ``name``, in a dict that holds it."""
    dicts = [root]
    for parent in name.split(".")[:-1]:
        inner = dicts[-1].get(parent) if isinstance(dicts[-1], dict) else None
        dicts.append(inner)
    values = (inner.get(key) for inner in reversed(dicts) if isinstance(inner, dict))
    return next((value for value in values if isinstance(value, pickle_records.Stored)), None)
