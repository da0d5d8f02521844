"""Operators that change a unit's map in space: they blur, move, turn and grow it.

Lengths are shares of the map's size, so that a setting means the same in every layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation.operators.operator import OperatorSettings
from forgetting.ablation.operators.per_layer import actual_layer, cached_per_layer
from forgetting.errors import check_choice, check_range
from forgetting.models.generator import Edit, Generator
from forgetting.models.units import Layer
from forgetting.parts import part


@part("operator/blur")
@dataclass(frozen=True, kw_only=True)
class Blur(OperatorSettings):
    """Blurs a map with a Gaussian filter.

    Args:
        radius: standard deviation, as a share of the map's size.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    radius: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.radius", self.radius, 0.001, 1.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return _filtered(lambda size: _gaussian(size, self.radius))


@part("operator/spectral")
@dataclass(frozen=True, kw_only=True)
class Spectral(OperatorSettings):
    """Removes the high or the low frequencies of a map.

    Frequencies are those of the cosine transform (Ahmed, Natarajan and Rao 1974, "Discrete Cosine
    Transform"), which does not wrap around at the edges.

    Args:
        keep: ``low`` or ``high`` frequencies stay.
        cutoff: the limit between both, as a share of the highest frequency.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    keep: str = "low"
    cutoff: float = 0.125

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("operator.keep", self.keep, ("low", "high"))
        check_range("operator.cutoff", self.cutoff, 0.0, 1.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        low = _filtered(lambda size: _low_pass(size, self.cutoff))
        return low if self.keep == "low" else lambda x, layer: x - low(x, layer)


@part("operator/shift")
@dataclass(frozen=True, kw_only=True)
class Shift(OperatorSettings):
    """Moves a map; what leaves it on one side enters on the other.

    Args:
        right: share of the map's width.
        down: share of the map's height.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    right: float = 0.25
    down: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.right", self.right, -1.0, 1.0)
        check_range("operator.down", self.down, -1.0, 1.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            height, width = actual_layer(x, layer).size
            right, down = round(self.right * width) % width, round(self.down * height) % height
            if right:
                x = torch.cat((x[..., -right:], x[..., :-right]), dim=3)
            return torch.cat((x[:, :, -down:], x[:, :, :-down]), dim=2) if down else x + 0

        return replacement


@part("operator/scale")
@dataclass(frozen=True, kw_only=True)
class Scale(OperatorSettings):
    """Enlarges or shrinks a map around its centre; beyond its edges it is mirrored.

    Args:
        factor: of enlargement; below 1 the map shrinks.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    factor: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.factor", self.factor, 0.05, 20.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        inverse = ((1 / self.factor, 0.0), (0.0, 1 / self.factor))
        grid = cached_per_layer(lambda layer: _sampling_grid(layer, inverse))
        return lambda x, layer: _sampled(x, grid(x, layer))


@part("operator/rotate")
@dataclass(frozen=True, kw_only=True)
class Rotate(OperatorSettings):
    """Rotates a map around its centre; beyond its edges it is mirrored.

    Args:
        degrees: of rotation, anticlockwise.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    degrees: float = 45.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.degrees", self.degrees, -360.0, 360.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        cos, sin = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        grid = cached_per_layer(lambda layer: _sampling_grid(layer, ((cos, -sin), (sin, cos))))
        return lambda x, layer: _sampled(x, grid(x, layer))


@part("operator/flip")
@dataclass(frozen=True, kw_only=True)
class Flip(OperatorSettings):
    """Mirrors a map.

    Args:
        axis: ``horizontal``, ``vertical`` or ``both``.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    axis: str = "horizontal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("operator.axis", self.axis, ("horizontal", "vertical", "both"))

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        dims = {"horizontal": (3,), "vertical": (2,), "both": (2, 3)}[self.axis]
        return lambda x, layer: x.flip(dims)


@part("operator/dilate")
@dataclass(frozen=True, kw_only=True)
class Dilate(OperatorSettings):
    """Replaces every value of a map by the largest value near it: bright areas grow.

    Args:
        radius: of the neighbourhood, as a share of the map's size; at least one value.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    radius: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.radius", self.radius, 0.0, 0.5)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: _local_maximum(x, layer, self.radius)


@part("operator/erode")
@dataclass(frozen=True, kw_only=True)
class Erode(OperatorSettings):
    """Replaces every value of a map by the smallest value near it: bright areas shrink.

    Args:
        radius: of the neighbourhood, as a share of the map's size; at least one value.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    radius: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.radius", self.radius, 0.0, 0.5)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: -_local_maximum(-x, layer, self.radius)


def _gaussian(size: int, radius: float) -> Tensor:
    """Return the matrix [size, size] of a Gaussian filter along an axis, mirrored at the edges."""
    x, sigma = torch.arange(size, dtype=torch.float64), radius * size
    mirrored = torch.stack(
        [copy for n in (-1, 0, 1) for copy in (2 * n * size + x, 2 * n * size - 1 - x)]
    )
    weights = torch.exp(-0.5 * ((x[:, None, None] - mirrored) / sigma).square()).sum(dim=1)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def _low_pass(size: int, cutoff: float) -> Tensor:
    """Return the projection [size, size] on the cosine transform's frequencies below ``cutoff``."""
    k, n = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    cosines = (
        torch.cos(math.pi * (n + 0.5) * k / size) * torch.where(k == 0, 1.0, 2.0).div(size).sqrt()
    )
    low = cosines[: max(1, round(cutoff * size))]
    return (low.T @ low).float()


def _filtered(matrix: Callable[[int], Tensor]) -> Edit:
    """Return a function that filters maps along both axes by ``matrix(size)`` [size, size]."""
    vertical = cached_per_layer(lambda layer: matrix(layer.size[0]))
    horizontal = cached_per_layer(lambda layer: matrix(layer.size[1]))
    return lambda x, layer: vertical(x, layer) @ x @ horizontal(x, layer).T


def _sampling_grid(layer: Layer, matrix: Sequence[Sequence[float]]) -> Tensor:
    """Return where a map is sampled, [1, H, W, 2] in [-1, 1], to transform it around its centre.

    The 2x2 ``matrix`` maps output coordinates (x, y) to those of the input.
    """
    height, width = layer.size
    y, x = (
        (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) / (max(height, width) / 2)
        for n in layer.size
    )
    (a, b), (c, d) = matrix
    input_x, input_y = a * x[None] + b * y[:, None], c * x[None] + d * y[:, None]
    longer = max(height, width)
    return torch.stack((input_x * longer / width, input_y * longer / height), dim=2)[None].float()


def _sampled(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        x,
        grid.expand(x.shape[0], -1, -1, -1),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )


def _local_maximum(x: Tensor, layer: Layer, radius: float) -> Tensor:
    """Return the largest value around every value of ``x`` [B, C, H, W].

    The neighbourhood is a square, so one axis after the other gives the same result at less cost.
    """
    for axis, size in zip((2, 3), actual_layer(x, layer).size, strict=True):
        reach = min(max(1, round(radius * size)), (size - 1) // 2)
        if reach > 0:
            kernel, padding = (2 * reach + 1, 1), (reach, 0)
            x = F.max_pool2d(
                x, kernel if axis == 2 else kernel[::-1], 1, padding if axis == 2 else padding[::-1]
            )
    return x + 0  # a copy even where nothing was pooled
