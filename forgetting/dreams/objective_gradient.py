"""The gradient of weighted objectives with respect to a picture, computed whole or in tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from forgetting.dreams.objectives import BoundObjective
from forgetting.models.classifier import Classifier
from forgetting.models.generator import Edit

LARGEST_TILE = 16384
"""Pixels; no picture is larger, so such a tile is the whole picture."""

TILE_GRID = 32
"""Pixels; tiles begin at multiples of it, so that the network's pooling windows do not move."""

WeightedObjective = tuple[float, BoundObjective]
"""The weight of an objective, and the objective."""


@dataclass(frozen=True)
class ObjectiveGradient:
    """The gradient of weighted objectives of one network.

    Args:
        classifier: the network.
        objectives: their weighted numbers are added.
        tile: pixels; larger pictures are computed in tiles.
        overlap: pixels around a tile that are computed with it.
        edit: ablates units of the network.
        weights: of the network, by name, that replace its own.
        precision: in which the network runs; the picture stays in float32.
        mask: [1, 1, H, W] in [0, 1], the area of the picture that may change; None is all of it.
    """

    classifier: Classifier
    objectives: Sequence[WeightedObjective]
    tile: int = LARGEST_TILE
    overlap: int = 0
    edit: Edit | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    precision: torch.dtype = torch.float32
    mask: Tensor | None = None

    @property
    def positional(self) -> bool:
        """Whether an objective depends on a position in the picture."""
        return any(objective.positional for _, objective in self.objectives)

    def balanced(self, picture: Tensor) -> ObjectiveGradient:
        """Return the same with objectives whose gradients for this picture are equally large.

        Then their weights alone set how much they count.
        """
        if len(self.objectives) == 1:
            return self
        balanced = []
        for weight, objective in self.objectives:
            gradient = replace(self, objectives=[(1.0, objective)]).gradient(picture)
            size = float(gradient.abs().mean())
            balanced.append((weight / max(size, 1e-20), objective))
        return replace(self, objectives=balanced)

    def value(self, picture: Tensor) -> Tensor:
        """Return the number [] that the dream increases."""
        layers = dict.fromkeys(
            name for _, objective in self.objectives for name in objective.layers
        )
        activations = self.classifier.activations(picture, tuple(layers), self.edit, self.weights)
        total, *others = (
            weight * objective.value(activations) for weight, objective in self.objectives
        )
        for other in others:
            total = total + other
        return total

    def gradient(self, picture: Tensor) -> Tensor:
        """Return the gradient [1, 3, H, W] for a picture [1, 3, H, W] in [-1, 1]."""
        height, width = picture.shape[2:]
        tile = LARGEST_TILE if self.positional else self.tile
        tile_height, tile_width = _tile_side(height, tile), _tile_side(width, tile)
        gradient = torch.empty_like(picture)
        for top in range(0, height, tile_height):
            for left in range(0, width, tile_width):
                bottom, right = min(top + tile_height, height), min(left + tile_width, width)
                y, x = max(top - self.overlap, 0), max(left - self.overlap, 0)
                padded = picture[:, :, y : bottom + self.overlap, x : right + self.overlap]
                gradient[:, :, top:bottom, left:right] = self._whole(padded)[
                    :, :, top - y : bottom - y, left - x : right - x
                ]
        return gradient

    def _whole(self, picture: Tensor) -> Tensor:
        """Return the gradient for a picture that is computed at once."""
        lower = self.precision != torch.float32
        with (
            torch.enable_grad(),
            torch.autocast(picture.device.type, self.precision, enabled=lower),
        ):
            picture = picture.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.value(picture), picture)
        return gradient


def _tile_side(size: int, tile: int) -> int:
    """Return the side of tiles that divide ``size`` into as few and as equal parts as possible."""
    count = -(-size // tile)
    return -(-size // count // TILE_GRID) * TILE_GRID
