"""Files of weights: path -> architecture, hyperparameters, state dict -> network.

Our own files are safetensors whose metadata names the architecture and its hyperparameters. Foreign formats have a
file each beside this one and are converted once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from forgetting import cache
from forgetting.errors import CheckpointError
from forgetting.generators import Generator
from forgetting.generators.dcgan import DCGAN
from forgetting.generators.mobile_stylegan import MobileStyleGAN
from forgetting.generators.stylegan2 import StyleGAN2
from forgetting.generators.stylegan3 import StyleGAN3
from forgetting.generators.toy import Toy

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "mobile_stylegan": MobileStyleGAN,
    "stylegan2": StyleGAN2,
    "stylegan3": StyleGAN3,
    "dcgan": DCGAN,
    "toy": Toy,
}


def build(architecture: str, hyperparameters: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> Generator:
    """The network of that architecture with exactly those weights, ready to use and never trained again.

    Raises:
        CheckpointError: an architecture, a key or a shape that does not fit.
    """
    if architecture not in ARCHITECTURES:
        raise CheckpointError(f"{where} holds a {architecture!r}; known architectures are {', '.join(ARCHITECTURES)}")
    try:
        with torch.device("meta"):
            network = ARCHITECTURES[architecture](**hyperparameters)
        types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        network.load_state_dict({name: tensor.to(types.get(name)) for name, tensor in state.items()}, strict=True, assign=True)
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise CheckpointError(f"{where} does not fit a {architecture}: {' '.join(str(error).split())[:300]}") from None
    return cast(Generator, network.eval().requires_grad_(False))


def write(path: Path, architecture: str, hyperparameters: Mapping[str, Any], state: Mapping[str, Tensor], provenance: str) -> None:
    """Write a file of our own, whole or not at all."""
    metadata = {"architecture": architecture, "hyperparameters": json.dumps(dict(hyperparameters)), "provenance": provenance}
    with cache.whole(path) as part:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, part, metadata)


def read(path: Path) -> Generator:
    """Open a file of our own.

    Raises:
        CheckpointError: it is not one, or it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # Copied: in the file tensors lie at any address, and which kernel runs, hence how it rounds, can depend on that.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        architecture, hyperparameters = metadata["architecture"], json.loads(metadata["hyperparameters"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a model of ours or is damaged ({error}); fetch or convert it again") from None
    return build(architecture, hyperparameters, state, str(path))


def fingerprint(generator: Generator) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights: the same on every machine."""
    digest = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
