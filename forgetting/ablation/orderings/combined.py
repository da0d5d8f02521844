"""Orderings made of other orderings: layer after layer, or one ordering after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.orderings.ordering import NEVER, Ordering, RankRequest, check_settings
from forgetting.ablation.orderings.ranks import even_ranks, rank_units
from forgetting.errors import RequestError, check_choice, check_range
from forgetting.models.units import Units
from forgetting.parts import part


@part("ordering/layers")
@dataclass(frozen=True)
class Layers:
    """Ranks the units of one layer after those of another.

    Args:
        order: ``coarse_to_fine``, ``fine_to_coarse``, or a list of addresses.
        inside: the ordering of the units of every layer.
        overlap: how far layers overlap in time: at 0 a layer begins when all units of the layer
            before are ablated, at 1 all layers begin at once.
        seed: draws the order of equal ranks.
        layers: addresses of the units that are ranked.
    """

    order: str | Sequence[str] = "coarse_to_fine"
    inside: Ordering = field(default_factory=lambda: Random(scope="layer"))
    overlap: float = 0.0
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, "network")
        check_range("ordering.overlap", self.overlap, 0.0, 1.0)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U], layer after layer.

        Raises:
            RequestError: ``order`` and ``layers`` have no unit in common.
        """
        units = request.units
        selected = units.select(self.layers)
        groups = [group & selected for group in self._groups(units)]
        groups = [group for group in groups if group.any()]
        if not groups:
            raise RequestError(
                f"ordering.order {self.order!r} and ordering.layers {self.layers!r} have no unit "
                "in common; change one of them"
            )
        ranks = self.inside.rank(request)
        total = float(sum(int(group.sum()) for group in groups))
        times, start = torch.full((len(units),), NEVER, dtype=torch.float64), 0.0
        for group in groups:
            # A group takes as long as it has units. Without overlap, time is the share of units.
            share = int(group.sum()) / total
            span = share + self.overlap * (1 - share)
            position = even_ranks(ranks[group].double(), np.random.RandomState(self.seed))
            times[group] = (1 - self.overlap) * start + span * position
            start += share
        return rank_units(times, units, "network", self.seed, torch.stack(groups).any(0))

    def _groups(self, units: Units) -> list[Tensor]:
        """Return the units [U] bool of every group; no unit belongs to two."""
        names = [layer.name for layer in units.layers]
        if isinstance(self.order, str):
            check_choice("ordering.order", self.order, ("coarse_to_fine", "fine_to_coarse"))
            ordered = names if self.order == "coarse_to_fine" else names[::-1]
            return [units.select(name) for name in ordered]
        groups: list[Tensor] = []
        grouped = torch.zeros(len(units), dtype=torch.bool)
        for address in self.order:
            groups.append(units.select(address) & ~grouped)
            grouped |= groups[-1]
        return groups


@part("ordering/sequence")
@dataclass(frozen=True)
class SequentialOrdering:
    """Applies several orderings in turn; each ranks units that no earlier ordering has ranked.

    Args:
        orderings: in their order.
        take: the share in [0, 1] of every ordering's ranks that is used; None uses all of them.
        shares: how long every ordering takes, relative to the others; None is proportional to its
            number of units.
        seed: draws the order of equal ranks.
        layers: addresses of the units that are ranked.
    """

    orderings: Sequence[Ordering] = ()
    take: Sequence[float] | None = None
    shares: Sequence[float] | None = None
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed)
        count = len(self.orderings)
        if not self.orderings:
            raise RequestError(
                "ordering=sequence needs orderings: a list of them, each with its _target_"
            )
        if self.take is not None and (
            len(self.take) != count or not all(0 <= share <= 1 for share in self.take)
        ):
            raise RequestError(
                f"ordering.take must be {count} shares in [0, 1], got {[*self.take]}"
            )
        if self.shares is not None and (len(self.shares) != count or min(self.shares) <= 0):
            raise RequestError(
                f"ordering.shares must be {count} positive numbers, got {[*self.shares]}"
            )

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U], ordering after ordering."""
        units = request.units
        unranked, groups = units.select(self.layers), []
        takes = self.take or [1.0] * len(self.orderings)
        for ordering, take in zip(self.orderings, takes, strict=True):
            ranks = ordering.rank(request)
            group = unranked & (ranks <= take)
            unranked &= ~group
            groups.append((group, ranks))
        shares = (
            [float(group.sum()) for group, _ in groups]
            if self.shares is None
            else [float(share) for share in self.shares]
        )
        ends = np.cumsum([0.0, *shares]) / max(sum(shares), 1e-9)
        combined, random = torch.full((len(units),), NEVER), np.random.RandomState(self.seed)
        for (group, ranks), (start, end) in zip(groups, pairwise(ends), strict=True):
            positions = even_ranks(ranks[group].double(), random)
            combined[group] = (start + (end - start) * positions).float()
        return combined
