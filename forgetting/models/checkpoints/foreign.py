"""Files of weights of other projects: which of their networks to take, and how to convert it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from forgetting.errors import CheckpointError, RequestError, one_line
from forgetting.models.checkpoints import (
    dcgan,
    native,
    nvidia,
    pickle_reader,
    pickle_records,
    rosinality,
)
from forgetting.models.checkpoints.stylegan import Converted
from forgetting.models.generator import Generator
from forgetting.parts import part
from forgetting.printable import listed

PREFERRED = ("G_ema", "g_ema")
"""The networks that are taken by default: running means of the weights, whose pictures are best."""

DEPTH = 4
"""How many levels of a file are searched for networks."""


@part("generator/file")
@dataclass(frozen=True)
class CheckpointFile:
    """The network in a file. Nothing in the file is ever executed.

    Args:
        path: a ``.pkl`` of StyleGAN2-ADA or StyleGAN3, a ``.pt`` or ``.pth``, or safetensors of
            ours.
        network: its name, if the file holds several (``G``, ``G_ema``); None takes the running
            mean if there is one.
    """

    path: str
    network: str | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise RequestError("generator=file needs a file: set generator.path=my-network.pkl")

    def load(self) -> Generator:
        """Return the network as a generator.

        Raises:
            CheckpointError: the file cannot be read, or holds no network that we can convert.
        """
        path = Path(self.path).expanduser()
        if pickle_reader.file_kind(path) == "safetensors":
            return native.read_checkpoint(path)
        architecture, hyperparameters, state = convert(pickle_reader.read_tree(path), self.network)
        return native.build(architecture, hyperparameters, state, str(path))


def convert_file(path: Path, into: Path, network: str | None = None) -> None:
    """Write the network in the file ``path`` as a file of ours.

    Args:
        path: of the file.
        into: path of the new file.
        network: its name, if the file holds several.

    Raises:
        RequestError: the suffix of ``into`` is not that of our files.
        CheckpointError: we do not read such files, or ``into`` cannot be written.
    """
    if into.suffix != ".safetensors":
        raise RequestError(
            f"{into} would be a safetensors file; name it {into.with_suffix('.safetensors')}"
        )
    if pickle_reader.file_kind(path) == "safetensors":
        raise CheckpointError(
            f"{path} is a safetensors file already; "
            f"generator.path={path} opens it if it is one of ours"
        )
    kind, hyperparameters, state = convert(pickle_reader.read_tree(path), network)
    generator = native.build(kind, hyperparameters, state, str(path))
    with path.open("rb") as file:
        provenance = f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" + (
            f" {network}" if network else ""
        )
    try:
        native.write_checkpoint(into, kind, hyperparameters, generator.state_dict(), provenance)
    except OSError as error:
        raise CheckpointError(
            f"{into} cannot be written ({error.strerror or error}); choose another path"
        ) from None


def convert(tree: pickle_records.Tree, network: str | None = None) -> Converted:
    """Convert the network of that name in a file into one of ours.

    Raises:
        CheckpointError: there is none, we do not read such networks, or its weights do not fit
            together.
    """
    networks = find_networks(tree)
    name = choose_network(tree, networks, network)
    origin = f"{tree.path}: {name}" if name else str(tree.path)
    value = networks[name]
    made_with: dict[str, Any] = {}
    if isinstance(value, pickle_records.Persistent):
        made_with = {"conv_clamp": _clamp(value)} | pickle_records.settings(value, origin)[2]
    centre = _sibling(tree.root, name, "latent_avg")
    state = _without_prefix(pickle_records.tensors(value, origin))
    try:
        match detect_architecture(state):
            case "stylegan2" | "stylegan3":
                return nvidia.convert(state, made_with)
            case "rosinality":
                if centre is None:
                    return rosinality.convert(state, None)
                tensors = pickle_records.tensors({"centre": centre}, origin)
                return rosinality.convert(state, tensors["centre"])
            case "dcgan":
                return dcgan.convert(state)
    except KeyError as error:
        raise CheckpointError(
            f"{origin} has no {error}; it is damaged, or a kind of network that we do not read"
        ) from None
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(f"{origin} does not fit together: {one_line(error)}") from None
    kind = f"a network with {next(iter(state))!r}"
    if isinstance(value, pickle_records.Persistent):
        kind = f"a {value.class_name}"
    raise CheckpointError(
        f"{origin} is {kind}, which we do not read; we read StyleGAN2, StyleGAN3 and DCGAN, "
        "and generator=module takes a network that your own code loads"
    )


def find_networks(
    tree: pickle_records.Tree,
) -> dict[str, pickle_records.Persistent | dict[str, pickle_records.Stored]]:
    """Return all networks in a file by name; the name is empty if the file is nothing else."""

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
                yield name, tensors
            elif depth:
                for key, child in value.items():
                    yield from walk(child, f"{name}.{key}" if name else str(key), depth - 1)

    return dict(walk(tree.root, "", DEPTH))


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
        if detect_architecture(_without_prefix(pickle_records.stored(value, str(tree.path))))
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
        ("synthesis.b4.const", "stylegan2"),
        ("synthesis.input.freqs", "stylegan3"),
        ("input.input", "rosinality"),
    ):
        if key in state:
            return name
    kernels = [tensor.shape for tensor in state.values() if len(tensor.shape) == 4]
    chained = all(before[1] == after[0] for before, after in pairwise(kernels))
    return "dcgan" if len(kernels) > 1 and chained and kernels[-1][1] <= 4 else None


def _clamp(module: pickle_records.Persistent) -> Any:
    """Return the clamp of a network's convolutions, which hold it even if it was a default."""
    modules = module.state.get("_modules")
    children = modules.values() if isinstance(modules, dict) else ()
    clamps = (_clamp(child) for child in children if isinstance(child, pickle_records.Persistent))
    first = next((clamp for clamp in clamps if clamp is not None), None)
    return module.state.get("conv_clamp", first)


def _without_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict without the prefix of training on several GPUs."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def _sibling(root: Any, name: str, key: str) -> pickle_records.Stored | None:
    """Return the tensor under ``key`` in the dictionary that holds the network ``name``."""
    for parent in name.split(".")[:-1]:
        root = root.get(parent) if isinstance(root, dict) else None
    value = root.get(key) if isinstance(root, dict) else None
    return value if isinstance(value, pickle_records.Stored) else None
