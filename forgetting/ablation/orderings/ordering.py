"""The contract of orderings, and how scores become ranks.

An ordering gives every unit a rank in [0, 1); units with the lowest ranks are ablated first. Units
that the ordering's ``layers`` do not select have rank infinity and are never ablated. Rank 0 is for
units without a turn of their own: they are ablated as far as the fraction says, all together.

``scope`` says which units compete: ``network`` ranks all selected units together, ``layer`` ranks
each layer by itself, so that all layers lose the same share at any time. Ties are broken in an order
drawn from ``seed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import check_choice, check_seed
from forgetting.models import unit_kinds
from forgetting.models.generator import Generator
from forgetting.models.units import Units

NEVER = torch.inf
SCOPES = ("network", "layer")
FIRST = ("smallest", "largest")

_NORMALISERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda score: score.mean(),
    "max": lambda score: score.max(),
    "rms": lambda score: score.square().mean().sqrt(),
}


@dataclass(frozen=True)
class RankRequest:
    """What an ordering ranks: the ``units`` of a ``generator``, for the faces ``ws`` [B, L, W]."""

    generator: Generator
    units: Units
    ws: Tensor


class Ordering(Protocol):
    """Decides in which order units are ablated."""

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] in [0, 1): the lowest are ablated first, infinity means never."""
        ...


def check_settings(
    seed: int, scope: str = "network", first: str = "smallest", normalise: str = "none"
) -> None:
    """Raise unless these settings, which most orderings have, are possible."""
    check_seed("ordering.seed", seed)
    check_choice("ordering.scope", scope, SCOPES)
    check_choice("ordering.first", first, FIRST)
    check_choice("ordering.normalise", normalise, ("none", *_NORMALISERS))


def weight_norms(generator: Generator, units: Units, which: str, norm: str) -> Tensor:
    """[U] float64: the l1 or l2 norm of every unit's ``incoming`` or ``outgoing`` weights."""
    weights = unit_kinds.incoming_weights if which == "incoming" else unit_kinds.outgoing_weights
    order = 1 if norm == "l1" else 2
    return torch.cat(
        [
            torch.linalg.vector_norm(weights(generator, layer).double(), order, dim=1)
            for layer in units.layers
        ]
    )


def normalise(score: Tensor, units: Units, how: str) -> Tensor:
    """Make scores of different layers comparable: each layer is divided by its own mean, maximum or rms."""
    if how == "none":
        return score
    measure = _NORMALISERS[how]
    return torch.cat(
        [part / measure(part).clamp_min(1e-30) for part in units.split(score).values()]
    )


class ScoreSettings(Protocol):
    """The settings of an ordering by a score."""

    @property
    def first(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def layers(self) -> str | Sequence[str]: ...


def rank_scores(score: Tensor, units: Units, how: ScoreSettings) -> Tensor:
    """[U] ranks of scores [U], in the order, scope and layers that an ordering asks for."""
    return rank_units(
        score if how.first == "smallest" else -score,
        units,
        how.scope,
        how.seed,
        units.select(how.layers),
    )


def rank_units(score: Tensor, units: Units, scope: str, seed: int, chosen: Tensor) -> Tensor:
    """[U] ranks, evenly spaced in (0, 1), of scores [U], the smallest first; who is not ``chosen`` never dies."""
    draw = np.random.RandomState(seed)
    ranks = torch.full((len(units),), NEVER)
    if scope == "network":
        ranks[chosen] = even_ranks(score[chosen], draw).float()
        return ranks
    for where in units.slices.values():
        inside = chosen[where]
        ranks[where][inside] = even_ranks(score[where][inside], draw).float()
    return ranks


def even_ranks(score: Tensor, draw: np.random.RandomState) -> Tensor:
    """[N] scores -> [N] float64: (place + 1/2) / N, equal scores in drawn order."""
    count = len(score)
    tie_break = draw.permutation(count)
    places = torch.empty(count, dtype=torch.float64)
    places[torch.from_numpy(np.lexsort((tie_break, score.numpy())))] = torch.arange(
        count, dtype=torch.float64
    )
    return (places + 0.5) / count
