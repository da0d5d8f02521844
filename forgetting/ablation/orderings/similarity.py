"""Orderings by similarity: units with similar activations are ablated in turn, or together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import FIRST, NEVER, RankRequest, check_settings
from forgetting.ablation.orderings.ranks import rank_units
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.models.generator import Generator
from forgetting.models.units import Layer, Units
from forgetting.parts import part
from forgetting.progress import track

FACES, GRID = 8, 8
"""The activation profile of a unit: its activations for this many faces, on a square grid."""

MAX_PROFILED = 100_000
"""With more units than this the grid of a profile has a single cell, to save memory."""

MAX_ROUNDS = 256
"""A contagion spreads in at most this many rounds."""


@part("ordering/contagion")
@dataclass(frozen=True)
class Contagion:
    """Ranks units as a disease would spread between units whose activations correlate.

    After the first units, those are next whose activations correlate most with those of all units
    so far, summed over pairs. This is the network diffusion of Raj et al. 2012, "A Network
    Diffusion Model of Disease Progression in Dementia", with units for regions of the brain.

    Args:
        seeds: the first units: their addresses, or how many are drawn.
        chance: how much noise is mixed in: 0 is none, 1 is a random order.
        seed: draws the first units and the noise.
        layers: addresses of the units that are ranked.
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
        """Return ranks [U] in the order of contagion.

        Raises:
            RequestError: ``seeds`` and ``layers`` have no unit in common.
        """
        units = request.units
        selected, random = units.select(self.layers), np.random.RandomState(self.seed)
        profiles = activation_profiles(request.generator, units)[selected]
        noise = torch.from_numpy(random.rand(int(selected.sum()))).float()
        count = len(profiles)
        if isinstance(self.seeds, int):
            first = torch.from_numpy(random.permutation(count)[: min(self.seeds, count)])
        else:
            first = torch.nonzero((units.select(self.seeds) & selected)[selected])[:, 0]
            if not len(first):
                raise RequestError(
                    f"ordering.seeds {self.seeds!r} and ordering.layers {self.layers!r} have no "
                    "unit in common; change one of them"
                )
        order, healthy = [first], torch.ones(count, dtype=torch.bool)
        healthy[first] = False
        infected_sum = profiles[first].sum(dim=0)
        rounds = min(count, MAX_ROUNDS)
        for k in range(rounds):
            candidates = torch.nonzero(healthy)[:, 0]
            if not len(candidates):
                break
            correlation = _even_scores(profiles[candidates] @ infected_sum)
            risk = correlation * (1 - self.chance) + noise[candidates] * self.chance
            by_risk = risk.argsort(descending=True, stable=True)
            infected = candidates[by_risk[: math.ceil(len(candidates) / (rounds - k))]]
            order.append(infected)
            healthy[infected] = False
            infected_sum = infected_sum + profiles[infected].sum(dim=0)
        times = torch.empty(count, dtype=torch.float64)
        times[torch.cat(order)] = torch.arange(count, dtype=torch.float64)
        scores = torch.zeros(len(units), dtype=torch.float64)
        scores[selected] = times
        return rank_units(scores, units, "network", self.seed, selected)


@part("ordering/cluster")
@dataclass(frozen=True)
class Cluster:
    """Ranks units cluster after cluster; units of a cluster have similar activations.

    Args:
        clusters: number of clusters; k-means (Lloyd 1982) groups the units' activation profiles.
        first: which clusters are ablated first, the ``smallest`` or ``largest``, or those with the
            lowest (``quietest``) or highest (``loudest``) mean rms activation.
        only: the indices of the clusters that are ablated, in that order; None ablates all.
        seed: draws the first centres.
        layers: addresses of the units that are ranked.
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
        for index in self.only or ():
            check_int("a group in ordering.only", index, 0, self.clusters - 1)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U], cluster after cluster."""
        generator, units = request.generator, request.units
        selected = units.select(self.layers)
        profiles = activation_profiles(generator, units)[selected]
        cluster, distance = k_means(profiles, self.clusters, self.seed)
        count = max(int(cluster.max()) + 1, 1)
        keys = torch.bincount(cluster, minlength=count).double()
        if self.first in ("quietest", "loudest"):
            rms = activations.rms_over_faces(generator, units)[selected].double()
            keys = torch.bincount(cluster, rms, minlength=count) / keys.clamp_min(1)
        descending = self.first in ("largest", "loudest")
        turns = keys.argsort(stable=True, descending=descending).argsort()[cluster].double()
        scores = torch.full((len(units),), NEVER, dtype=torch.float64)
        scores[selected] = turns + distance.double() / (distance.max().double() + 1e-9) * 0.999
        if self.only is not None:
            spared = selected.clone()
            spared[selected] = ~torch.isin(turns.long(), torch.tensor([*self.only]))
            selected = selected & ~spared
        return rank_units(scores, units, "network", self.seed, selected)


def activation_profiles(generator: Generator, units: Units) -> Tensor:
    """Return the activation profiles [U, D] of units, with zero mean and unit length.

    A profile holds a unit's activations for a few faces, pooled to a grid, so the product of two
    profiles is the correlation of two units.
    """
    grid = GRID if len(units) <= MAX_PROFILED else 1
    pooled: dict[str, list[Tensor]] = {layer.name: [] for layer in units.layers}

    def record(x: Tensor, layer: Layer) -> None:
        pooled[layer.name].append(
            F.adaptive_avg_pool2d(x[0], grid).flatten(1)
            if x.shape[2] * x.shape[3] > 1
            else x[0, :, :, 0].expand(-1, grid**2)
        )

    faces = activations.sample_faces(generator, FACES)
    for ws in track(faces, "recording activation profiles", FACES):
        activations.visit_activations(generator, units, ws, record)
    # [U, FACES * grid * grid]
    profiles = torch.cat([torch.cat(parts, dim=1) for parts in pooled.values()])
    mean = profiles.mean(dim=1, keepdim=True)
    constant = profiles.std(dim=1, keepdim=True) <= 1e-6 * profiles.abs().mean(dim=1, keepdim=True)
    # A weight is the same for every face: nothing but its sign remains of its profile.
    return F.normalize(torch.where(constant, profiles, profiles - mean), dim=1)


def k_means(points: Tensor, count: int, seed: int, rounds: int = 30) -> tuple[Tensor, Tensor]:
    """Cluster points by k-means.

    Args:
        points: [N, D].
        count: number of clusters.
        seed: draws the first centres among the points.
        rounds: of the algorithm.

    Returns:
        The index of every point's cluster [N], and its distance from the cluster's centre [N].
    """
    random = np.random.RandomState(seed)
    centres = points[torch.from_numpy(random.permutation(len(points))[:count].copy())]
    for _ in range(rounds):
        cluster = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, cluster, points)
        sizes = torch.bincount(cluster, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
    cluster = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
    return cluster, (points - centres[cluster]).norm(dim=1)


def _even_scores(values: Tensor) -> Tensor:
    """Return the position of every value among all, scaled to [0, 1]."""
    return values.argsort(stable=True).argsort().float() / max(len(values) - 1, 1)
