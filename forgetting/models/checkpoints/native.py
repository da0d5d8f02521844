"""Our own files of weights, and the networks that are built from weights.

Our files are safetensors whose metadata names the architecture and its hyperparameters. Every
foreign format has a module beside this one, and is converted once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from forgetting import files
from forgetting.errors import CheckpointError, one_line
from forgetting.files import parse_json
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3
from forgetting.models.architectures.toy import Toy
from forgetting.models.generator import Generator
from forgetting.printable import listed

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "mobile_stylegan": MobileStyleGAN,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "dcgan": DCGAN,
    "toy": Toy,
}


LARGEST = 8192
"""The largest height or width in pixels that a file may ask for without weights that prove it."""

_SETTINGS = 10_000  # longest text of hyperparameters


def skeleton(architecture: str, hyperparameters: Mapping[str, Any], origin: str) -> Any:
    """Return the network of an architecture without weights, which takes no memory.

    Args:
        architecture: its name.
        hyperparameters: the arguments of its constructor.
        origin: the file, for messages.

    Raises:
        CheckpointError: an unknown architecture, or hyperparameters that it cannot have.
    """
    if architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{origin} holds a {architecture[:60]!a}; "
            f"known architectures are {', '.join(ARCHITECTURES)}"
        )
    try:
        with torch.device("meta"):
            network: Any = ARCHITECTURES[architecture](**hyperparameters)
        if max(*network.size, *(size for layer in network.layers for size in layer.size)) > LARGEST:
            raise ValueError(f"its maps would be larger than {LARGEST} x {LARGEST}")
    except _MISFITS as error:
        raise CheckpointError(
            f"{origin} does not fit a {architecture}: {one_line(error, 300)}"
        ) from None
    return network


def build(
    architecture: str, hyperparameters: Mapping[str, Any], state: Mapping[str, Tensor], origin: str
) -> Generator:
    """Return the network of an architecture with exactly these weights, in evaluation mode.

    Args:
        architecture: its name.
        hyperparameters: the arguments of its constructor.
        state: all weights by name.
        origin: the file, for messages.

    Raises:
        CheckpointError: an architecture, a key or a shape that does not fit, or weights that are no
            numbers.
    """
    network = skeleton(architecture, hyperparameters, origin)
    types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict(
            {name: tensor.to(types.get(name)) for name, tensor in state.items()},
            strict=True,
            assign=True,
        )
    except _MISFITS as error:
        raise CheckpointError(
            f"{origin} does not fit a {architecture}: {one_line(error, 300)}"
        ) from None
    for name, tensor in state.items():
        if not (tensor.numel() and torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{origin} has a {name} that is empty, infinite or no number; "
                "take a file from before its training broke"
            )
    return cast(Generator, network.eval().requires_grad_(False))


_MISFITS = (
    ArithmeticError,
    AttributeError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,
    MemoryError,
)


def write_checkpoint(
    path: Path,
    architecture: str,
    hyperparameters: Mapping[str, Any],
    state: Mapping[str, Tensor],
    provenance: str,
) -> None:
    """Write a file of our own atomically.

    Args:
        path: of the file.
        architecture: the name of the architecture.
        hyperparameters: the arguments of its constructor.
        state: all weights by name.
        provenance: where the weights come from.
    """
    metadata = {
        "architecture": architecture,
        "hyperparameters": json.dumps(dict(hyperparameters)),
        "provenance": provenance,
    }
    with files.atomic_write(path) as unfinished:
        save_file(
            {name: tensor.contiguous() for name, tensor in state.items()}, unfinished, metadata
        )


def read_checkpoint(path: Path) -> Generator:
    """Return the network in a file of our own.

    Raises:
        CheckpointError: it is no such file, or it is damaged.
    """
    architecture, hyperparameters, _ = read_metadata(path)
    expected = skeleton(architecture, hyperparameters, str(path)).state_dict()
    try:
        with safe_open(path, "pt") as file:
            _check_header(file, {name: list(value.shape) for name, value in expected.items()}, path)
            # Copied, because tensors in the file are not aligned, and the choice of a kernel,
            # hence its rounding, can depend on alignment.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or convert it again") from None
    return build(architecture, hyperparameters, state, str(path))


def _check_header(file: Any, shapes: Mapping[str, list[int]], path: Path) -> None:
    """Raise unless a file has weights of these names and shapes, before any of them is read."""
    names = set(file.keys())
    wrong = sorted(names ^ shapes.keys()) or [
        name for name in names if list(file.get_slice(name).get_shape()) != shapes[name]
    ]
    if wrong:
        raise CheckpointError(
            f"{path} does not fit the network that it names: {listed(wrong, 3)} is missing, of "
            "another shape or none of its weights; fetch or convert it again"
        )


def read_metadata(path: Path) -> tuple[str, dict[str, Any], str]:
    """Return architecture, hyperparameters and provenance of a file of our own.

    Raises:
        CheckpointError: it is no such file, or it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if "architecture" not in metadata:
            raise CheckpointError(
                f"{path} is no model of ours, because it names no architecture; "
                "'forgetting models convert' writes files that do"
            )
        text = metadata["hyperparameters"]
        hyperparameters = parse_json(text) if len(text) <= _SETTINGS else None
        if type(hyperparameters) is not dict:
            raise ValueError("its hyperparameters are not what we write")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or convert it again") from None
    return metadata["architecture"], hyperparameters, metadata.get("provenance", "unknown")


_hashed: ContextVar[dict[Any, tuple[str, Any]] | None] = ContextVar("hashed", default=None)
"""Fingerprints of this block of :func:`unchanged_weights`, and the weights, which keep their
addresses while they are held here."""


@contextmanager
def unchanged_weights() -> Iterator[None]:
    """Hash every network once while the block runs: nothing changes weights in it."""
    hashed = _hashed.get()
    token = _hashed.set({} if hashed is None else hashed)
    try:
        yield
    finally:
        _hashed.reset(token)


def fingerprint(generator: Generator) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all weights, and unusual settings.

    It is the same on every machine.
    """
    settings = json.dumps(dict(generator.settings), sort_keys=True) if generator.settings else ""
    state, hashed = sorted(generator.state_dict().items()), _hashed.get()
    key = settings, *((name, x.data_ptr(), x.dtype, tuple(x.shape)) for name, x in state)
    if hashed is not None and key in hashed:
        return hashed[key][0]
    digest = hashlib.sha256(settings.encode())
    for name, tensor in state:
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    if hashed is not None:
        hashed[key] = digest.hexdigest(), state
    return digest.hexdigest()
