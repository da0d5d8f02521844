"""Bends of a map in space: what it says is blurred, moved, turned, grown; lengths are shares of the map's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation.operators.bending import BendingOperator, actual_layer, cached_per_layer
from forgetting.errors import check_choice, check_range
from forgetting.models.generator import Edit, Generator
from forgetting.models.units import Layer
from forgetting.parts import part


@part("operator/blur")
@dataclass(frozen=True, kw_only=True)
class Blur(BendingOperator):
    """Out of focus: a Gaussian of standard deviation ``radius``, a share of the map's size."""

    radius: float = 0.05

    def check(self) -> None:
        check_range("operator.radius", self.radius, 0.001, 1.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return _filtered(lambda size: _gaussian(size, self.radius))


@part("operator/spectral")
@dataclass(frozen=True, kw_only=True)
class Spectral(BendingOperator):
    """Only its ``low`` or its ``high`` frequencies, below or from ``cutoff``, a share of the highest there is.

    Frequencies are those of the cosine transform (Ahmed, Natarajan and Rao 1974), which knows no edges.
    """

    keep: str = "low"
    cutoff: float = 0.125

    def check(self) -> None:
        check_choice("operator.keep", self.keep, ("low", "high"))
        check_range("operator.cutoff", self.cutoff, 0.0, 1.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        low = _filtered(lambda size: _low_pass(size, self.cutoff))
        return low if self.keep == "low" else lambda x, layer: x - low(x, layer)


@part("operator/shift")
@dataclass(frozen=True, kw_only=True)
class Shift(BendingOperator):
    """Moved to the ``right`` and ``down`` by shares of its size; what leaves on one side comes in on the other."""

    right: float = 0.25
    down: float = 0.0

    def check(self) -> None:
        for name, value in (("right", self.right), ("down", self.down)):
            check_range(f"operator.{name}", value, -1.0, 1.0)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        height, width = actual_layer(x, layer).size
        right, down = round(self.right * width) % width, round(self.down * height) % height
        if right:
            x = torch.cat((x[..., -right:], x[..., :-right]), dim=3)
        return torch.cat((x[:, :, -down:], x[:, :, :-down]), dim=2) if down else x + 0


@part("operator/scale")
@dataclass(frozen=True, kw_only=True)
class Scale(BendingOperator):
    """Enlarged by ``factor`` around its middle; below 1 it is smaller, and mirrored beyond its edges."""

    factor: float = 1.5

    def check(self) -> None:
        check_range("operator.factor", self.factor, 0.05, 20.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        grid = cached_per_layer(
            lambda layer: _grid(layer, ((1 / self.factor, 0.0), (0.0, 1 / self.factor)))
        )
        return lambda x, layer: _sampled(x, grid(x, layer))


@part("operator/rotate")
@dataclass(frozen=True, kw_only=True)
class Rotate(BendingOperator):
    """Turned by ``degrees`` around its middle, anticlockwise, and mirrored beyond its edges."""

    degrees: float = 45.0

    def check(self) -> None:
        check_range("operator.degrees", self.degrees, -360.0, 360.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        cos, sin = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        grid = cached_per_layer(lambda layer: _grid(layer, ((cos, -sin), (sin, cos))))
        return lambda x, layer: _sampled(x, grid(x, layer))


@part("operator/flip")
@dataclass(frozen=True, kw_only=True)
class Flip(BendingOperator):
    """Mirrored: ``horizontal``, ``vertical`` or ``both``."""

    axis: str = "horizontal"

    def check(self) -> None:
        check_choice("operator.axis", self.axis, ("horizontal", "vertical", "both"))

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return x.flip({"horizontal": (3,), "vertical": (2,), "both": (2, 3)}[self.axis])


@part("operator/dilate")
@dataclass(frozen=True, kw_only=True)
class Dilate(BendingOperator):
    """Its bright parts grow: the largest value within ``radius``, a share of the map's size (one value at least)."""

    radius: float = 0.03

    def check(self) -> None:
        check_range("operator.radius", self.radius, 0.0, 0.5)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return _largest(x, layer, self.radius)


@part("operator/erode")
@dataclass(frozen=True, kw_only=True)
class Erode(BendingOperator):
    """Its bright parts shrink: the least value within ``radius``, a share of the map's size (one value at least)."""

    radius: float = 0.03

    def check(self) -> None:
        check_range("operator.radius", self.radius, 0.0, 0.5)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return -_largest(-x, layer, self.radius)


def _gaussian(size: int, radius: float) -> Tensor:
    """[size, size]: the Gaussian filter along an axis, mirrored at the edges, as a matrix."""
    at, sigma = torch.arange(size, dtype=torch.float64), radius * size
    places = torch.stack(
        [place for n in (-1, 0, 1) for place in (2 * n * size + at, 2 * n * size - 1 - at)]
    )
    folded = torch.exp(-0.5 * ((at[:, None, None] - places) / sigma).square()).sum(dim=1)
    return (folded / folded.sum(dim=1, keepdim=True)).float()


def _low_pass(size: int, cutoff: float) -> Tensor:
    """[size, size]: the projection on the frequencies below ``cutoff`` of the orthonormal cosine transform."""
    k, n = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    cosines = (
        torch.cos(math.pi * (n + 0.5) * k / size) * torch.where(k == 0, 1.0, 2.0).div(size).sqrt()
    )
    kept = cosines[: max(1, round(cutoff * size))]
    return (kept.T @ kept).float()


def _filtered(matrix: Callable[[int], Tensor]) -> Edit:
    """Every map filtered along both axes, by the ``matrix`` [size, size] of each."""
    down, across = (
        cached_per_layer(lambda layer: matrix(layer.size[0])),
        cached_per_layer(lambda layer: matrix(layer.size[1])),
    )
    return lambda x, layer: down(x, layer) @ x @ across(x, layer).T


def _grid(layer: Layer, turn: Sequence[Sequence[float]]) -> Tensor:
    """[1, H, W, 2]: where to look, in [-1, 1], so that the map is transformed around its middle."""
    height, width = layer.size
    y, x = (
        (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) / (max(height, width) / 2)
        for n in layer.size
    )
    (a, b), (c, d) = turn
    across, down = a * x[None] + b * y[:, None], c * x[None] + d * y[:, None]
    longer = max(height, width)
    return torch.stack((across * longer / width, down * longer / height), dim=2)[None].float()


def _sampled(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        x,
        grid.expand(x.shape[0], -1, -1, -1),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )


def _largest(x: Tensor, layer: Layer, radius: float) -> Tensor:
    """[B, C, H, W]: the largest value around each; one axis after the other is the same and cheaper."""
    for axis, size in zip((2, 3), actual_layer(x, layer).size, strict=True):
        reach = min(max(1, round(radius * size)), (size - 1) // 2)
        if reach > 0:
            kernel, padding = (2 * reach + 1, 1), (reach, 0)
            x = F.max_pool2d(
                x, kernel if axis == 2 else kernel[::-1], 1, padding if axis == 2 else padding[::-1]
            )
    return x + 0
