"""An ordering by where in the picture units are active, and the regions of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import RankRequest, check_settings
from forgetting.ablation.orderings.ranks import rank_units
from forgetting.errors import RequestError, check_choice, check_range
from forgetting.models.units import Layer
from forgetting.parts import part

Disc = tuple[float, float, float]
"""A disc (x, y, radius) in shares of the picture; (0, 0) is its upper left corner."""

REGIONS: Mapping[str, Sequence[Sequence[float]]] = {
    "eyes": ((0.385, 0.48, 0.09), (0.615, 0.48, 0.09)),
    "mouth": ((0.5, 0.72, 0.12),),
    "nose": ((0.5, 0.6, 0.08),),
    "face": ((0.5, 0.58, 0.28),),
    "hair": ((0.5, 0.15, 0.28),),
    "left": ((0.0, 0.5, 0.5),),
    "right": ((1.0, 0.5, 0.5),),
}
"""Discs (x, y, radius) of the regions of a face that is cropped as in FFHQ."""


@part("ordering/spatial")
@dataclass(frozen=True)
class Spatial:
    """Ranks units by where in the film's picture they are active: those of a region first.

    Args:
        region: ``eyes``, ``mouth``, ``nose``, ``face``, ``hair``, ``left``, ``right``, or a list of
            discs [x, y, radius] in shares of the picture.
        spread: ``share`` ranks by the share of a unit's energy that lies in the region; ``wound``
            by the mean distance of its energy from the region, so that damage grows from there.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
    """

    region: str | Sequence[Sequence[float]] = "eyes"
    spread: str = "share"
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope)
        check_choice("ordering.spread", self.spread, ("share", "wound"))
        discs(self.region)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] by energy in the region."""
        units = request.units
        scores: dict[str, Tensor] = {}

        def record(x: Tensor, layer: Layer) -> None:
            shifted = x - x.amin(dim=(2, 3), keepdim=True)
            energy = shifted.square().mean(dim=0).double() + 1e-12  # [C, H, W]
            distance = distance_to_discs(discs(self.region), *x.shape[2:])
            if self.spread == "share":
                # The rim is soft, so that the region also covers a part of coarse maps.
                inside = torch.sigmoid(-distance * 40)
                scores[layer.name] = (
                    -(energy * inside).sum(dim=(1, 2)) / energy.sum(dim=(1, 2)) / inside.mean()
                )
            else:
                total = (energy * distance.clamp_min(0)).sum(dim=(1, 2))
                scores[layer.name] = total / energy.sum(dim=(1, 2))

        activations.visit_activations(request.generator, units, request.ws, record)
        score = torch.cat([scores[layer.name] for layer in units.layers])
        return rank_units(score, units, self.scope, self.seed, units.select(self.layers))


def discs(region: str | Sequence[Sequence[float]]) -> list[Disc]:
    """Return the discs of a region.

    Raises:
        RequestError: no such region, or a list that holds something else than discs.
    """
    if isinstance(region, str):
        check_choice("ordering.region", region, REGIONS)
        region = REGIONS[region]
    checked = []
    for disc in region:
        if isinstance(disc, (int, float)) or len(disc) != 3:
            raise RequestError(
                f"ordering.region must be a name or a list of discs [x, y, radius], got {region!r}"
            )
        for name, value in zip(("x", "y", "radius"), disc, strict=True):
            check_range(f"{name} of a disc in ordering.region", value, -1.0, 2.0)
        checked.append((float(disc[0]), float(disc[1]), float(disc[2])))
    return checked


def distance_to_discs(region: Sequence[Disc], height: int, width: int) -> Tensor:
    """Return the distances [H, W] float64 of pixels from the nearest disc, negative inside.

    Distances are shares of the picture.
    """
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.stack(
        [
            ((x[None] - cx) ** 2 + (y[:, None] - cy) ** 2).sqrt() - radius
            for cx, cy, radius in region
        ]
    ).amin(dim=0)
