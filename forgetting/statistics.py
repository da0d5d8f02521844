"""What the units of a generator say over many faces: computed once per model, then cached.

Entries are named by the fingerprint of the weights. Those of the default model ship with the package, so that
everybody's default film is the same film.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from forgetting import cache
from forgetting.checkpoints import fingerprint
from forgetting.generators import Generator
from forgetting.latents import one_hot
from forgetting.progress import track
from forgetting.units import Layer, Units

FACES = 96
"""How many faces statistics look at: with 16 the ranks already correlate to 0.97, with one to 0.89."""

SHIPPED = Path(__file__).parent / "data"


def faces(generator: Generator, count: int) -> list[Tensor]:
    """``count`` untruncated faces, each [1, L, W]: the same ones every time, and every class in turn."""
    z = torch.from_numpy(np.random.RandomState(0).randn(count, generator.z_dim)).float()
    return [generator.mapping(row[None], label=one_hot(generator, k % max(1, generator.labels))) for k, row in enumerate(z)]


def rms(generator: Generator, count: int = FACES) -> Tensor:
    """[U] float32: root mean square of every unit's map over ``count`` faces at psi 1."""

    def compute() -> dict[str, Tensor]:
        total = torch.zeros(len(Units(generator.layers)), dtype=torch.float64)
        for ws in track(faces(generator, count), "listening to every unit", count):
            total += activations(generator, ws).double().square()
        return {"rms": (total / count).sqrt().float()}

    return _cached(generator, f"rms-{count}", compute)["rms"]


def average_maps(generator: Generator, count: int = FACES) -> dict[str, Tensor]:
    """Layer name -> [C, H, W] float16: every unit's mean map over ``count`` faces at psi 1."""

    def compute() -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}

        def add(x: Tensor, layer: Layer) -> Tensor:
            total[layer.name] = total[layer.name].add_(x[0]) if layer.name in total else x[0].clone()
            return x

        for ws in track(faces(generator, count), "averaging every unit's map", count):
            generator.bind(ws)(add)
        return {name: (maps / count).half() for name, maps in total.items()}

    return _cached(generator, f"average-{count}", compute)


def activations(generator: Generator, ws: Tensor) -> Tensor:
    """[U] float32: root mean square of every unit's map over the faces ``ws`` [B, L, W] and over space."""
    found = []

    def listen(x: Tensor, layer: Layer) -> Tensor:
        found.append(x.square().mean(dim=(0, 2, 3)).sqrt())  # [C]
        return x

    generator.bind(ws)(listen)
    return torch.cat(found)


@torch.inference_mode()
def _cached(generator: Generator, what: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    name = f"{what}-{fingerprint(generator)[:16]}.safetensors"
    if (SHIPPED / name).exists():
        return load_file(SHIPPED / name)
    path = cache.folder() / "statistics" / name
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        pass  # not there, or not whole: computed anew
    tensors = compute()
    path.parent.mkdir(exist_ok=True)
    with cache.whole(path) as part:
        save_file(tensors, part)
    return tensors
