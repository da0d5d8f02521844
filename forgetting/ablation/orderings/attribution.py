"""Orderings by attribution: how the picture changes when a unit is ablated, from gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation.orderings.ordering import RankRequest, check_settings
from forgetting.ablation.orderings.ranks import rank_scores, rank_units
from forgetting.ablation.orderings.regions import discs, distance_to_discs
from forgetting.ablation.perceptual_distance import luma
from forgetting.errors import check_choice, check_int, check_range
from forgetting.models.generator import Generator, edited_picture
from forgetting.models.units import Layer, Units
from forgetting.parts import part
from forgetting.progress import track

EFFECTS = ("brightness", "warmth", "green", "colour", "contrast", "detail", "region")


@part("ordering/semantic")
@dataclass(frozen=True)
class Semantic:
    """Ranks units by their effect on a quantity of the picture, such as its brightness.

    The effect of a unit is the integral of the quantity's derivative along the path on which all
    units fade together (integrated gradients: Sundararajan, Taly and Yan 2017, "Axiomatic
    Attribution for Deep Networks").

    Args:
        effect: the quantity: ``brightness`` (luma), ``warmth`` (red minus blue), ``green`` (green
            minus red and blue), ``colour`` (saturation), ``contrast``, ``detail`` (what a small
            blur removes) or ``region`` (the contrast in a region).
        towards: ``less`` or ``more`` ablates first the units whose ablation changes the quantity
            most in that direction; ``either`` those that change it most in any direction.
        region: of ``effect=region``: a name, or a list of discs [x, y, radius].
        steps: points on the path at which the derivative is taken.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
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
        """Return ranks [U] by integrated gradients."""
        generator, units, ws = request.generator, request.units, request.ws

        def quantity(image: Tensor) -> Tensor:
            return picture_quantity(image, self.effect, self.region)

        change = torch.zeros(len(units), dtype=torch.float64)
        for k in track(range(self.steps), "measuring the effect of every unit", self.steps):
            gates = torch.full((len(units),), 1 - 0.5 * (k + 0.5) / self.steps)
            change -= gate_gradients(generator, units, ws, gates, quantity).double()
        scores = {"less": change, "more": -change, "either": -change.abs()}[self.towards]
        return rank_units(scores, units, self.scope, self.seed, units.select(self.layers))


@part("ordering/importance")
@dataclass(frozen=True)
class Importance:
    """Ranks units by an estimate of how much the picture changes without them.

    The estimate is the first-order score of Molchanov et al. 2017, "Pruning Convolutional Neural
    Networks for Resource Efficient Inference", section 2.2, for the squared difference from the
    intact picture. That difference has no slope at the intact picture itself, so the score is
    averaged over pictures in which all units are faded by random amounts.

    Args:
        first: which scores are ablated first, the ``smallest`` or the ``largest``.
        draws: number of pictures.
        fade: the largest amount in (0, 1] by which a unit is faded.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the amounts.
        layers: addresses of the units that are ranked.
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
        """Return ranks [U] by first-order importance."""
        generator, units, ws = request.generator, request.units, request.ws
        random = np.random.RandomState(self.seed)
        scores = torch.zeros(len(units), dtype=torch.float64)
        with torch.no_grad():
            intact = generator.bind(ws.clone())()
        for _ in track(range(self.draws), "estimating the importance of every unit", self.draws):
            gates = 1 - self.fade * torch.from_numpy(random.rand(len(units))).float()
            gradients = gate_gradients(
                generator, units, ws, gates, lambda image: (image - intact).square().mean()
            )
            scores += (gates.double() * gradients.double()).square()
        return rank_scores(scores, units, self)


def picture_quantity(image: Tensor, effect: str, region: str | Sequence[Sequence[float]]) -> Tensor:
    """Return a quantity of pictures as a scalar.

    Args:
        image: pictures [B, C, H, W] in [-1, 1]; grey if C is below 3.
        effect: the name of the quantity, one of ``EFFECTS``.
        region: of the effect ``region``.
    """
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
            blurred = F.avg_pool2d(y[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
            return (y - blurred).square().mean().add(1e-12).sqrt()
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
    """Return the derivatives [U] of a measure of the picture by the gates of all units.

    Args:
        generator: the network.
        units: that have gates.
        ws: the faces, [B, L, W].
        gates: factors of the units' activations, [U]: 1 leaves them unchanged, 0 ablates them.
        measure: pictures [B, C, H, W] in [-1, 1] -> a scalar.
    """
    with torch.inference_mode(False), torch.enable_grad():
        gates = gates.clone().requires_grad_(True)
        parts = units.split(gates)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            return x * parts[layer.name].view(1, -1, 1, 1) if layer.name in parts else x

        image = edited_picture(generator.bind(ws.clone(), edit), edit)
        (gradients,) = torch.autograd.grad(measure(image), gates, allow_unused=True)
    return torch.zeros_like(gates.detach()) if gradients is None else gradients
