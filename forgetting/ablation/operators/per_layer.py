"""What operators compute once for every layer, whatever its activations are."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.activations import visit_activations
from forgetting.models.generator import Edit, Generator
from forgetting.models.unit_kinds import units_of_kinds
from forgetting.models.units import PICTURE, Layer


def actual_layer(x: Tensor, layer: Layer) -> Layer:
    """Return the layer with the shape of its activations ``x`` [B, C, H, W].

    Only the picture's layer differs: it has the size of the network's pictures.
    """
    if layer != PICTURE:
        return layer
    return replace(layer, channels=int(x.shape[1]), size=(int(x.shape[2]), int(x.shape[3])))


def cached_per_layer(compute: Callable[[Layer], Tensor]) -> Edit:
    """Return a function from activations and their layer to ``compute(layer)``.

    The tensor is computed once for every layer, device and floating point type.
    """
    cache: dict[tuple[str, tuple[int, int], torch.device, torch.dtype], Tensor] = {}

    def cached(x: Tensor, layer: Layer) -> Tensor:
        layer = actual_layer(x, layer)
        key = (layer.name, layer.size, x.device, x.dtype)
        if key not in cache:
            tensor = compute(layer)
            cache[key] = tensor.to(x.device, x.dtype if tensor.is_floating_point() else None)
        return cache[key]

    return cached


def activations_of_face(generator: Generator, ws: Tensor) -> Edit:
    """Return a function that returns a layer's activations for ``ws`` [1, L, W], whatever it gets.

    All layers of a kind are recorded when the first of them is needed.
    """
    recorded: dict[str, Tensor] = {}

    def record(x: Tensor, layer: Layer) -> None:
        recorded.setdefault(layer.name, x.clone())

    def replacement(x: Tensor, layer: Layer) -> Tensor:
        if layer.name not in recorded:
            visit_activations(generator, units_of_kinds(generator, layer.kind), ws, record)
        return recorded[layer.name]

    return replacement


def layer_random(layer: Layer, seed: int) -> np.random.RandomState:
    """Return a random generator of the layer's own, the same on every machine."""
    return np.random.RandomState([seed, zlib.crc32(layer.name.encode())])


POOL = 16
"""Noise maps that the units of a layer share; a map for every unit would need much memory."""


def noise_maps(layer: Layer, seed: int) -> tuple[Tensor, Tensor]:
    """Return noise maps [1, P, H, W] of mean 0 and variance 1, and the index [C] of each unit's."""
    random, (height, width) = layer_random(layer, seed), layer.size
    if height * width == 1:
        noise = torch.from_numpy(random.randn(1, layer.channels, 1, 1)).float()
        return noise, torch.arange(layer.channels)
    pool = torch.from_numpy(random.randn(min(POOL, layer.channels), height, width)).float()
    mean, std = pool.mean((1, 2), keepdim=True), pool.std((1, 2), keepdim=True, correction=0)
    pool = (pool - mean) / std
    return pool[None], torch.from_numpy(random.randint(len(pool), size=layer.channels))
