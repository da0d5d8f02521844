"""Statistics of activations over faces.

Statistics over many faces are computed once for every network and then cached, in files that are
named by the fingerprint of the network's weights. Those of the default network are part of the
package, so the default film is the same on every machine.
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
from forgetting.models.units import PICTURE, UNIT_KINDS, Layer, Units
from forgetting.progress import track

FACES = 96
"""Number of faces of a statistic.

Ranks by 16 faces already correlate to 0.97 with those by many faces, ranks by one face to 0.89.
"""


def sample_faces(generator: Generator, count: int) -> list[Tensor]:
    """Return the same ``count`` untruncated faces [1, L, W] every time; all classes take turns."""
    z = torch.from_numpy(np.random.RandomState(0).randn(count, generator.z_dim)).float()
    return [
        generator.mapping(row[None], label=one_hot(generator, k % max(1, generator.labels)))
        for k, row in enumerate(z)
    ]


def rms_over_faces(generator: Generator, units: Units, count: int = FACES) -> Tensor:
    """Return the rms activations [U] float32 of units over ``count`` faces without truncation."""
    rms: dict[str, Tensor] = {}
    for kind in dict.fromkeys(layer.kind for layer in units.layers):
        units_of_kind = unit_kinds.units_of_kinds(generator, kind)
        rms |= units_of_kind.split(_rms(generator, units_of_kind, kind, count))
    return torch.cat([rms[layer.name] for layer in units.layers])


def _rms(generator: Generator, units: Units, kind: str, count: int) -> Tensor:
    def compute() -> dict[str, Tensor]:
        total = torch.zeros(len(units), dtype=torch.float64)
        for ws in track(sample_faces(generator, count), "recording activations", count):
            total += rms_activations(generator, units, ws).double().square()
        return {"rms": (total / count).sqrt().float()}

    return _cached(generator, _entry_name("rms", kind, count), compute)["rms"]


def average_maps(
    generator: Generator, kind: str = "channels", count: int = FACES
) -> dict[str, Tensor]:
    """Return the mean maps of all units of a kind over ``count`` faces without truncation.

    Returns:
        Layer name -> [C, H, W] float16.
    """
    units = unit_kinds.units_of_kinds(generator, kind)

    def compute() -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}

        def add(x: Tensor, layer: Layer) -> None:
            total[layer.name] = (
                total[layer.name].add_(x[0]) if layer.name in total else x[0].clone()
            )

        for ws in track(sample_faces(generator, count), "averaging activations", count):
            visit_activations(generator, units, ws, add)
        return {name: (maps / count).half() for name, maps in total.items()}

    return _cached(generator, _entry_name("average", kind, count), compute)


def rms_activations(generator: Generator, units: Units, ws: Tensor) -> Tensor:
    """Return the rms activations [U] float32 of units over the faces ``ws`` [B, L, W]."""
    rms: dict[str, Tensor] = {}

    def record(x: Tensor, layer: Layer) -> None:
        rms[layer.name] = x.square().mean(dim=(0, 2, 3)).sqrt()  # [C]

    visit_activations(generator, units, ws, record)
    return torch.cat([rms[layer.name] for layer in units.layers])


def visit_activations(
    generator: Generator, units: Units, ws: Tensor, visit: Callable[[Tensor, Layer], object]
) -> None:
    """Call ``visit`` with the activations [B, C, H, W] of every layer, and the layer.

    The tensor may be overwritten later; ``visit`` must copy what it needs.

    Args:
        generator: the network.
        units: those whose layers are visited.
        ws: the faces, [B, L, W].
        visit: called once for every layer.
    """

    def edit(x: Tensor, layer: Layer) -> Tensor:
        if layer.name in units.slices:
            visit(x, layer)
        return x

    bound = any(UNIT_KINDS[layer.kind].bound for layer in units.layers)
    synthesis = generator.bind(ws, edit if bound else None)
    if any(not UNIT_KINDS[layer.kind].bound for layer in units.layers):
        edit(synthesis(edit).mean(dim=1, keepdim=True), PICTURE)


def _entry_name(statistic: str, kind: str, count: int) -> str:
    return f"{statistic}-{count}" if kind == "channels" else f"{statistic}-{kind}-{count}"


@torch.inference_mode()
def _cached(
    generator: Generator, entry: str, compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the tensors of a cache entry; they are computed if there is no whole file of it."""
    name = f"{entry}-{fingerprint(generator)[:16]}.safetensors"
    if (files.SHIPPED / name).exists():
        return load_file(files.SHIPPED / name)
    path = files.cache_folder() / "statistics" / name
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        pass  # the file is missing or incomplete
    tensors = compute()
    path.parent.mkdir(exist_ok=True)
    with files.atomic_write(path) as part:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    return tensors
