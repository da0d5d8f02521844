"""Orderings that look at what units do to the picture: who speaks where, and what it owes to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import (
    RankRequest,
    check_settings,
    rank_scores,
    rank_units,
)
from forgetting.ablation.perceptual_distance import luma
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.models.generator import Generator
from forgetting.models.units import PICTURE, Layer, Units
from forgetting.parts import part
from forgetting.progress import track

REGIONS: Mapping[str, Sequence[Sequence[float]]] = {
    "eyes": ((0.385, 0.48, 0.09), (0.615, 0.48, 0.09)),
    "mouth": ((0.5, 0.72, 0.12),),
    "nose": ((0.5, 0.6, 0.08),),
    "face": ((0.5, 0.58, 0.28),),
    "hair": ((0.5, 0.15, 0.28),),
    "left": ((0.0, 0.5, 0.5),),
    "right": ((1.0, 0.5, 0.5),),
}
"""Discs (x, y, radius), in shares of the picture, where they are in faces that are cut out as FFHQ's are."""


@part("ordering/spatial")
@dataclass(frozen=True)
class Spatial:
    """Units that speak in a region of this very picture die first.

    Args:
        region: a name (``eyes``, ``mouth``, ``nose``, ``face``, ``hair``, ``left``, ``right``) or discs [x, y, radius].
        spread: ``share`` ranks by the share of its energy that a unit has in the region; ``wound`` by how far from it, on
            average, its energy lies: a stroke that grows from there.
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
        generator, units, ws = request.generator, request.units, request.ws
        found: dict[str, Tensor] = {}

        def hear(x: Tensor, layer: Layer) -> None:
            energy = (x - x.amin(dim=(2, 3), keepdim=True)).square().mean(
                dim=0
            ).double() + 1e-12  # [C, H, W]
            far = distance_to_discs(discs(self.region), *x.shape[2:])
            if self.spread == "share":
                inside = torch.sigmoid(
                    -far * 40
                )  # soft at the rim, so that coarse layers have a say
                found[layer.name] = (
                    -(energy * inside).sum(dim=(1, 2)) / energy.sum(dim=(1, 2)) / inside.mean()
                )
            else:
                found[layer.name] = (energy * far.clamp_min(0)).sum(dim=(1, 2)) / energy.sum(
                    dim=(1, 2)
                )

        activations.visit_activations(generator, units, ws, hear)
        score = torch.cat([found[layer.name] for layer in units.layers])
        return rank_units(score, units, self.scope, self.seed, units.select(self.layers))


EFFECTS = ("brightness", "warmth", "green", "colour", "contrast", "detail", "region")


@part("ordering/semantic")
@dataclass(frozen=True)
class Semantic:
    """Units are ranked by what their loss does to the picture: to its brightness, its hue, its detail, or to a region.

    The effect of a unit is the integral of the quantity's derivative along the way on which all units fade together
    (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks"), in ``steps`` places.

    Args:
        effect: ``brightness`` (luma), ``warmth`` (red against blue), ``green`` (against red and blue), ``colour``
            (saturation), ``contrast``, ``detail`` (what a small blur takes away), or ``region`` (contrast in one).
        towards: ``less``, ``more``: units whose loss changes it that way most go first; ``either``: most either way.
    """

    effect: str = "brightness"
    towards: str = "less"
    region: str | Sequence[Sequence[float]] = "eyes"
    steps: int = 4
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope)
        check_choice("ordering.effect", self.effect, EFFECTS)
        check_choice("ordering.towards", self.towards, ("less", "more", "either"))
        check_int("ordering.steps", self.steps, 1, 1000)
        discs(self.region)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units, ws = request.generator, request.units, request.ws
        change = torch.zeros(len(units), dtype=torch.float64)
        for k in track(range(self.steps), "asking what each unit is for", self.steps):
            gates = torch.full((len(units),), 1 - 0.5 * (k + 0.5) / self.steps)
            change -= gate_gradients(
                generator,
                units,
                ws,
                gates,
                lambda image: picture_quantity(image, self.effect, self.region),
            ).double()
        score = {"less": change, "more": -change, "either": -change.abs()}[self.towards]
        return rank_units(score, units, self.scope, self.seed, units.select(self.layers))


@part("ordering/importance")
@dataclass(frozen=True)
class Importance:
    """By how much the picture would miss a unit: the first-order score of Molchanov et al. 2017, "Pruning Convolutional
    Neural Networks for Resource Efficient Inference", section 2.2, of the square difference from the intact picture.

    At the intact picture itself that has no slope; it is taken at ``draws`` pictures in which every unit is faded by a
    random amount, as much as ``fade``.
    """

    first: str = "smallest"
    draws: int = 8
    fade: float = 0.5
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first)
        check_int("ordering.draws", self.draws, 1, 1000)
        check_range("ordering.fade", self.fade, 0.01, 1.0)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units, ws = request.generator, request.units, request.ws
        draw, total = np.random.RandomState(self.seed), torch.zeros(len(units), dtype=torch.float64)
        with torch.no_grad():
            intact = generator.bind(ws.clone())()
        for _ in track(range(self.draws), "asking what each unit is worth", self.draws):
            gates = 1 - self.fade * torch.from_numpy(draw.rand(len(units))).float()
            slope = gate_gradients(
                generator, units, ws, gates, lambda image: (image - intact).square().mean()
            )
            total += (gates.double() * slope.double()).square()
        return rank_scores(total, units, self)


def discs(region: str | Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
    """The discs (x, y, radius) of a region."""
    if isinstance(region, str):
        check_choice("ordering.region", region, REGIONS)
        region = REGIONS[region]
    found = []
    for disc in region:
        if isinstance(disc, (int, float)) or len(disc) != 3:
            raise RequestError(
                f"ordering.region must be a name or a list of discs [x, y, radius], got {region!r}"
            )
        for name, value in zip(("x", "y", "radius"), disc, strict=True):
            check_range(f"{name} of a disc in ordering.region", value, -1.0, 2.0)
        found.append((float(disc[0]), float(disc[1]), float(disc[2])))
    return found


def distance_to_discs(
    region: Sequence[tuple[float, float, float]], height: int, width: int
) -> Tensor:
    """[H, W] float64: how far each place is from the nearest disc, in shares of the picture; negative inside."""
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.stack(
        [
            ((x[None] - cx) ** 2 + (y[:, None] - cy) ** 2).sqrt() - radius
            for cx, cy, radius in region
        ]
    ).amin(dim=0)


def picture_quantity(image: Tensor, effect: str, region: str | Sequence[Sequence[float]]) -> Tensor:
    """[B, C, H, W] in [-1, 1] -> a number: what an ordering by effect looks at."""
    if image.shape[1] < 3:
        image = image[:, :1].expand(-1, 3, -1, -1)
    red, green, blue = image[:, :3].unbind(1)
    y = luma(image[:, :3])
    match effect:
        case "brightness":
            return y.mean()
        case "warmth":
            return (red - blue).mean()
        case "green":
            return (green - (red + blue) / 2).mean()
        case "colour":
            return (image[:, :3] - y[:, None]).square().mean().add(1e-12).sqrt()
        case "contrast":
            return y.std()
        case "detail":
            return (
                (y - F.avg_pool2d(y[:, None], 5, 1, 2, count_include_pad=False)[:, 0])
                .square()
                .mean()
                .add(1e-12)
                .sqrt()
            )
    inside = torch.sigmoid(-distance_to_discs(discs(region), *y.shape[1:]) * 40).to(y)
    mean = (y * inside).sum() / inside.sum()
    return ((y - mean).square() * inside).sum().div(inside.sum()).add(1e-12).sqrt()


def gate_gradients(
    generator: Generator,
    units: Units,
    ws: Tensor,
    gates: Tensor,
    measure: Callable[[Tensor], Tensor],
) -> Tensor:
    """[U]: the derivative of a measure of the picture by every unit's gate [U] (1: as it is, 0: silent)."""
    with torch.inference_mode(False), torch.enable_grad():
        gates = gates.clone().requires_grad_(True)
        parts = units.split(gates)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            return x * parts[layer.name].view(1, -1, 1, 1) if layer.name in parts else x

        image = edit(generator.bind(ws.clone(), edit)(edit), PICTURE)
        (slope,) = torch.autograd.grad(measure(image), gates, allow_unused=True)
    return torch.zeros_like(gates.detach()) if slope is None else slope
