"""Orderings by likeness: units that speak alike die after one another, or together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import (
    FIRST,
    NEVER,
    RankRequest,
    check_settings,
    rank_units,
)
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.models.generator import Generator
from forgetting.models.units import Layer, Units
from forgetting.parts import part
from forgetting.progress import track

FACES, GRID = 8, 8
"""A unit's signature is what it says for so many faces, in so many places across the picture and down."""

MAX_PROFILED = 100_000
"""More units than this have one place a face in their signature."""


@part("ordering/contagion")
@dataclass(frozen=True)
class Contagion:
    """Death spreads between units whose activations correlate, as misfolded proteins spread in a brain.

    The first are ``seeds``: addresses, or how many are drawn. Then those die whose activations correlate most with those of
    all the dead (the correlation of every pair, summed over the dead: the network diffusion of Raj et al. 2012, "A Network
    Diffusion Model of Disease Progression in Dementia", with units for regions). ``chance`` mixes in luck: 0 is none, 1 is luck alone.
    """

    seeds: int | str | Sequence[str] = 3
    chance: float = 0.1
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed)
        check_range("ordering.chance", self.chance, 0.0, 1.0)
        if isinstance(self.seeds, int):
            check_int("ordering.seeds", self.seeds, 1, 1_000_000)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units = request.generator, request.units
        chosen, draw = units.select(self.layers), np.random.RandomState(self.seed)
        signature, luck = (
            activation_profiles(generator, units)[chosen],
            torch.from_numpy(draw.rand(int(chosen.sum()))).float(),
        )
        count = len(signature)
        if isinstance(self.seeds, int):
            first = torch.from_numpy(draw.permutation(count)[: min(self.seeds, count)])
        else:
            first = torch.nonzero((units.select(self.seeds) & chosen)[chosen])[:, 0]
            if not len(first):
                raise RequestError(
                    f"ordering.seeds {self.seeds!r} and ordering.layers {self.layers!r} have no unit in common"
                )
        order, alive = [first], torch.ones(count, dtype=torch.bool)
        alive[first] = False
        dead = signature[first].sum(dim=0)
        rounds = min(count, 256)
        for k in range(rounds):
            left = torch.nonzero(alive)[:, 0]
            if not len(left):
                break
            pressure = (
                _spread(signature[left] @ dead) * (1 - self.chance) + luck[left] * self.chance
            )
            fall = left[
                pressure.argsort(descending=True, stable=True)[
                    : math.ceil(len(left) / (rounds - k))
                ]
            ]
            order.append(fall)
            alive[fall] = False
            dead = dead + signature[fall].sum(dim=0)
        times = torch.empty(count, dtype=torch.float64)
        times[torch.cat(order)] = torch.arange(count, dtype=torch.float64)
        score = torch.zeros(len(units), dtype=torch.float64)
        score[chosen] = times
        return rank_units(score, units, "network", self.seed, chosen)


@part("ordering/cluster")
@dataclass(frozen=True)
class Cluster:
    """Units that speak alike die together, one group after another.

    Args:
        clusters: how many groups; units are grouped by their signatures (k-means, Lloyd 1982).
        first: ``smallest`` or ``largest`` groups first, ``quietest`` or ``loudest`` (by what they say on average).
        only: the groups that die at all, counted in that order; None is all of them.
    """

    clusters: int = 12
    first: str = "smallest"
    only: Sequence[int] | None = None
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed)
        check_int("ordering.clusters", self.clusters, 1, 4096)
        check_choice("ordering.first", self.first, (*FIRST, "quietest", "loudest"))
        for one in self.only or ():
            check_int("a group in ordering.only", one, 0, self.clusters - 1)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units = request.generator, request.units
        chosen = units.select(self.layers)
        signature = activation_profiles(generator, units)[chosen]
        group, distance = k_means(signature, self.clusters, self.seed)
        count = max(int(group.max()) + 1, 1)
        sizes = torch.bincount(group, minlength=count).double()
        if self.first in ("quietest", "loudest"):
            loudness = activations.rms_over_faces(generator, units)[chosen].double()
            sizes = torch.bincount(group, loudness, minlength=count) / sizes.clamp_min(1)
        turn = sizes.argsort(stable=True, descending=self.first in ("largest", "loudest")).argsort()
        place = turn[group].double()
        score = torch.full((len(units),), NEVER, dtype=torch.float64)
        score[chosen] = place + distance.double() / (distance.max().double() + 1e-9) * 0.999
        if self.only is not None:
            spared = chosen.clone()
            spared[chosen] = ~torch.isin(place.long(), torch.tensor([*self.only]))
            chosen = chosen & ~spared
        return rank_units(score, units, "network", self.seed, chosen)


def activation_profiles(generator: Generator, units: Units) -> Tensor:
    """[U, D] of unit length and zero mean: what each unit says for a few faces, place by place; a product is a correlation."""
    grid = GRID if len(units) <= MAX_PROFILED else 1
    heard: dict[str, list[Tensor]] = {layer.name: [] for layer in units.layers}

    def hear(x: Tensor, layer: Layer) -> None:
        heard[layer.name].append(
            F.adaptive_avg_pool2d(x[0], grid).flatten(1)
            if x.shape[2] * x.shape[3] > 1
            else x[0, :, :, 0].expand(-1, grid**2)
        )

    for ws in track(
        activations.sample_faces(generator, FACES), "listening to who speaks alike", FACES
    ):
        activations.visit_activations(generator, units, ws, hear)
    found = torch.cat(
        [torch.cat(parts, dim=1) for parts in heard.values()]
    )  # [U, FACES * grid * grid]
    still = found.std(dim=1, keepdim=True) <= 1e-6 * found.abs().mean(dim=1, keepdim=True)
    centred = torch.where(
        still, found, found - found.mean(dim=1, keepdim=True)
    )  # a synapse says the same to everybody: its sign is left
    return F.normalize(centred, dim=1)


def k_means(points: Tensor, count: int, seed: int, rounds: int = 30) -> tuple[Tensor, Tensor]:
    """[N] numbers of groups, and how far each of the ``points`` [N, D] is from the middle of its own (k-means)."""
    draw = np.random.RandomState(seed)
    centres = points[torch.from_numpy(draw.permutation(len(points))[:count].copy())]
    for _ in range(rounds):
        group = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, group, points)
        sizes = torch.bincount(group, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
    group = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
    return group, (points - centres[group]).norm(dim=1)


def _spread(values: Tensor) -> Tensor:
    """In [0, 1], by place: how much more is not asked."""
    return values.argsort(stable=True).argsort().float() / max(len(values) - 1, 1)
