"""What the units of a generator say over many faces: computed once per model, then cached.

Entries are named by the fingerprint of the weights. Those of the default model ship with the package, so that
everybody's default film is the same film.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from forgetting import files
from forgetting.models import unit_kinds
from forgetting.models.checkpoints.native import fingerprint
from forgetting.models.generator import Generator
from forgetting.models.latents import one_hot
from forgetting.models.units import PICTURE, Layer, Units
from forgetting.progress import track

FACES = 96
"""How many faces statistics look at: with 16 the ranks already correlate to 0.97, with one to 0.89."""


def sample_faces(generator: Generator, count: int) -> list[Tensor]:
    """``count`` untruncated faces, each [1, L, W]: the same ones every time, and every class in turn."""
    z = torch.from_numpy(np.random.RandomState(0).randn(count, generator.z_dim)).float()
    return [
        generator.mapping(row[None], label=one_hot(generator, k % max(1, generator.labels)))
        for k, row in enumerate(z)
    ]


def rms_over_faces(generator: Generator, units: Units, count: int = FACES) -> Tensor:
    """[U] float32: root mean square of every unit's map over ``count`` faces at psi 1."""
    found: dict[str, Tensor] = {}
    for kind in dict.fromkeys(layer.kind for layer in units.layers):
        those = unit_kinds.units_of_kinds(generator, kind)
        found |= those.split(_rms(generator, those, kind, count))
    return torch.cat([found[layer.name] for layer in units.layers])


def _rms(generator: Generator, units: Units, kind: str, count: int) -> Tensor:
    def compute() -> dict[str, Tensor]:
        total = torch.zeros(len(units), dtype=torch.float64)
        for ws in track(sample_faces(generator, count), "listening to every unit", count):
            total += rms_activations(generator, units, ws).double().square()
        return {"rms": (total / count).sqrt().float()}

    return _cached(generator, _named("rms", kind, count), compute)["rms"]


def average_maps(
    generator: Generator, kind: str = "channels", count: int = FACES
) -> dict[str, Tensor]:
    """Layer name -> [C, H, W] float16: every unit's mean map over ``count`` faces at psi 1."""
    units = unit_kinds.units_of_kinds(generator, kind)

    def compute() -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}

        def add(x: Tensor, layer: Layer) -> None:
            total[layer.name] = (
                total[layer.name].add_(x[0]) if layer.name in total else x[0].clone()
            )

        for ws in track(sample_faces(generator, count), "averaging every unit's map", count):
            visit_activations(generator, units, ws, add)
        return {name: (maps / count).half() for name, maps in total.items()}

    return _cached(generator, _named("average", kind, count), compute)


def rms_activations(generator: Generator, units: Units, ws: Tensor) -> Tensor:
    """[U] float32: root mean square of every unit's map over the faces ``ws`` [B, L, W] and over space."""
    found: dict[str, Tensor] = {}

    def hear(x: Tensor, layer: Layer) -> None:
        found[layer.name] = x.square().mean(dim=(0, 2, 3)).sqrt()  # [C]

    visit_activations(generator, units, ws, hear)
    return torch.cat([found[layer.name] for layer in units.layers])


def visit_activations(
    generator: Generator, units: Units, ws: Tensor, hear: Callable[[Tensor, Layer], object]
) -> None:
    """Call ``hear`` with what the units of every layer say, [B, C, H, W], for the faces ``ws``; it is not to be kept as it is."""

    def edit(x: Tensor, layer: Layer) -> Tensor:
        if layer.name in units.slices:
            hear(x, layer)
        return x

    folded = any(layer.kind != "channels" for layer in units.layers)
    synthesis = generator.bind(ws, edit if folded else None)
    if any(layer.kind in ("channels", "picture") for layer in units.layers):
        edit(synthesis(edit).mean(dim=1, keepdim=True), PICTURE)


def _named(what: str, kind: str, count: int) -> str:
    return f"{what}-{count}" if kind == "channels" else f"{what}-{kind}-{count}"


@torch.inference_mode()
def _cached(
    generator: Generator, what: str, compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    name = f"{what}-{fingerprint(generator)[:16]}.safetensors"
    if (files.SHIPPED / name).exists():
        return load_file(files.SHIPPED / name)
    path = files.cache_folder() / "statistics" / name
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        pass  # not there, or not whole: computed anew
    tensors = compute()
    path.parent.mkdir(exist_ok=True)
    with files.atomic_write(path) as part:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    return tensors
