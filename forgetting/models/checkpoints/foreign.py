"""A network of one's own: which of the networks in a file, what architecture it is, and how it becomes one of ours."""

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

PREFERRED = ("G_ema", "g_ema")
"""The networks that are taken where nobody says which: the running means of the weights, which paint best."""

DEPTH = 4
"""How deep within a file networks are looked for."""


@part("generator/file")
@dataclass(frozen=True)
class CheckpointFile:
    """The network in a file of one's own: ``.pkl`` of StyleGAN2-ADA or StyleGAN3, ``.pt`` or ``.pth``, or safetensors of ours.

    Nothing in the file is ever executed. ``network`` says which one to take where a file holds several (``G``, ``G_ema``);
    without, it is the running mean if there is one.
    """

    path: str
    network: str | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise RequestError("generator=file needs a file: say generator.path=my-network.pkl")

    def load(self) -> Generator:
        """Return the network as a generator.

        Raises:
            CheckpointError: the file cannot be read, or holds no network of ours.
        """
        path = Path(self.path).expanduser()
        if pickle_reader.file_kind(path) == "safetensors":
            return native.read_checkpoint(path)
        architecture, hyperparameters, state = convert(pickle_reader.read_tree(path), self.network)
        return native.build(architecture, hyperparameters, state, str(path))


def convert_file(path: Path, into: Path, network: str | None = None) -> None:
    """Write the network in ``path`` as a file of ours.

    Raises:
        RequestError: ``into`` is not named as one.
        CheckpointError: ``path`` is no file that we read, or ``into`` cannot be written.
    """
    if into.suffix != ".safetensors":
        raise RequestError(
            f"{into} would be a safetensors file; name it {into.with_suffix('.safetensors')}"
        )
    if pickle_reader.file_kind(path) == "safetensors":
        raise CheckpointError(
            f"{path} is a safetensors file already; generator.path={path} opens it if it is one of ours"
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
            f"{into} cannot be written ({error.strerror or error}); choose another place"
        ) from None


def convert(tree: pickle_records.Tree, network: str | None = None) -> Converted:
    """The network of that name in a file, as one of ours.

    Raises:
        CheckpointError: there is none, it is none that we know, or it does not fit together.
    """
    found = find_networks(tree)
    name = choose_network(tree, found, network)
    where = f"{tree.path}: {name}" if name else str(tree.path)
    value = found[name]
    made_with = (
        {"conv_clamp": _clamp(value)} | pickle_records.settings(value, where)[2]
        if isinstance(value, pickle_records.Persistent)
        else {}
    )
    centre = _beside(tree.root, name, "latent_avg")
    state = _stripped(pickle_records.tensors(value, where))
    try:
        match detect_architecture(state):
            case "stylegan2" | "stylegan3":
                return nvidia.convert(state, made_with)
            case "rosinality":
                return rosinality.convert(
                    state,
                    None
                    if centre is None
                    else pickle_records.tensors({"centre": centre}, where)["centre"],
                )
            case "dcgan":
                return dcgan.convert(state)
    except KeyError as error:
        raise CheckpointError(
            f"{where} has no {error}; it is damaged, or a kind of network that is not read"
        ) from None
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(f"{where} does not fit together: {one_line(error)}") from None
    what = (
        f"a {value.class_name}"
        if isinstance(value, pickle_records.Persistent)
        else f"a network with {next(iter(state))!r}"
    )
    raise CheckpointError(
        f"{where} is {what}, which is not read; StyleGAN2, StyleGAN3 and DCGAN are, and generator=module takes what your own code loads"
    )


def find_networks(
    tree: pickle_records.Tree,
) -> dict[str, pickle_records.Persistent | dict[str, pickle_records.Stored]]:
    """Name -> every network in a file; the name of a bare one is empty."""

    def walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
        if isinstance(value, pickle_records.Persistent):
            yield name, value
        elif (
            isinstance(value, dict)
            and sum(isinstance(one, pickle_records.Stored) for one in value.values()) > 2
        ):
            yield (
                name,
                {key: one for key, one in value.items() if isinstance(one, pickle_records.Stored)},
            )
        elif isinstance(value, dict) and depth:
            for key, one in value.items():
                yield from walk(one, f"{name}.{key}" if name else str(key), depth - 1)

    return dict(walk(tree.root, "", DEPTH))


def choose_network(tree: pickle_records.Tree, found: Mapping[str, Any], network: str | None) -> str:
    """The name of the one that is meant: by ``network``, by preference, or because it is the only one that paints."""
    names = ", ".join(ascii(name)[1:-1][:60] for name in found) or "no network at all"
    if network is not None:
        if network not in found:
            raise CheckpointError(f"{tree.path} holds no network {network!r}; it holds {names}")
        return network
    for name in PREFERRED:
        if name in found:
            return name
    painting = [
        name
        for name, value in found.items()
        if detect_architecture(_stripped(pickle_records.stored(value, str(tree.path))))
    ]
    if len(painting) == 1:
        return painting[0]
    if not painting:
        raise CheckpointError(
            f"{tree.path} holds no StyleGAN2, StyleGAN3 or DCGAN; it holds {names}"
        )
    raise CheckpointError(
        f"{tree.path} holds several networks; say generator.network=NAME, one of {', '.join(painting)}"
    )


def detect_architecture(state: Mapping[str, Any]) -> str | None:
    """What a state dict is, told by the names in it - of a DCGAN, by the shapes."""
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
    """The limit that a network's convolutions keep to: where it was left to a default, only they know."""
    parts = module.state.get("_modules")
    inside = (
        [part for part in parts.values() if isinstance(part, pickle_records.Persistent)]
        if isinstance(parts, dict)
        else []
    )
    return module.state.get(
        "conv_clamp", next((found for part in inside if (found := _clamp(part)) is not None), None)
    )


def _stripped(state: Mapping[str, Any]) -> dict[str, Any]:
    """Without the prefix that training on several GPUs leaves behind."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def _beside(root: Any, name: str, key: str) -> pickle_records.Stored | None:
    """What stands under ``key`` where the network ``name`` stands."""
    for key_of_parent in name.split(".")[:-1]:
        root = root.get(key_of_parent) if isinstance(root, dict) else None
    value = root.get(key) if isinstance(root, dict) else None
    return value if isinstance(value, pickle_records.Stored) else None
