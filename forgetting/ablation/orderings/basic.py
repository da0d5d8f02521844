"""Orderings by chance, by layer, by weights and activations, one after another, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import (
    NEVER,
    Ordering,
    RankRequest,
    check_settings,
    even_ranks,
    normalise,
    rank_scores,
    rank_units,
    weight_norms,
)
from forgetting.errors import RequestError, check_choice, check_range, one_line
from forgetting.models.units import Units
from forgetting.parts import part


@part("ordering/random")
@dataclass(frozen=True)
class Random:
    """Every order is equally likely; ``seed`` draws it."""

    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope)

    def rank(self, request: RankRequest) -> Tensor:
        units = request.units
        return rank_units(
            torch.zeros(len(units)), units, self.scope, self.seed, units.select(self.layers)
        )


@part("ordering/together")
@dataclass(frozen=True)
class Together:
    """No order: all chosen units go together, as far as the schedule says. A target that is turned."""

    layers: str | Sequence[str] = "*"

    def rank(self, request: RankRequest) -> Tensor:
        units = request.units
        chosen = units.select(self.layers)
        return torch.where(chosen, 0.0, NEVER)


@part("ordering/magnitude")
@dataclass(frozen=True)
class Magnitude:
    """By the norm of a unit's weights: those it hears through (``incoming``) or is heard through (``outgoing``)."""

    weights: str = "outgoing"
    norm: str = "l2"
    first: str = "smallest"
    normalise: str = "none"
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first, self.normalise)
        check_choice("ordering.weights", self.weights, ("incoming", "outgoing"))
        check_choice("ordering.norm", self.norm, ("l1", "l2"))

    def rank(self, request: RankRequest) -> Tensor:
        generator, units = request.generator, request.units
        score = weight_norms(generator, units, self.weights, self.norm)
        return rank_scores(normalise(score.double(), units, self.normalise), units, self)


@part("ordering/activation")
@dataclass(frozen=True)
class Activation:
    """By how strongly a unit speaks for this very face: the root mean square of its map."""

    first: str = "smallest"
    normalise: str = "none"
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first, self.normalise)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units, ws = request.generator, request.units, request.ws
        return rank_scores(
            normalise(
                activations.rms_activations(generator, units, ws).double(), units, self.normalise
            ),
            units,
            self,
        )


@part("ordering/contribution")
@dataclass(frozen=True)
class Contribution:
    """By how much of a unit the rest of the network hears: its root mean square over many faces times the norm of
    its outgoing weights."""

    first: str = "smallest"
    normalise: str = "none"
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first, self.normalise)

    def rank(self, request: RankRequest) -> Tensor:
        generator, units = request.generator, request.units
        score = activations.rms_over_faces(generator, units).double() * weight_norms(
            generator, units, "outgoing", "l2"
        )
        return rank_scores(normalise(score.double(), units, self.normalise), units, self)


@part("ordering/layers")
@dataclass(frozen=True)
class Layers:
    """Layer after layer: ``coarse_to_fine``, ``fine_to_coarse``, or the given ``order`` of addresses.

    ``inside`` orders the units of each layer. ``overlap`` 0 lets a layer die out before the next begins; 1 lets all
    of them die at once.
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
        units = request.units
        chosen = units.select(self.layers)
        groups = [group & chosen for group in self._groups(units)]
        groups = [group for group in groups if group.any()]
        if not groups:
            raise RequestError(
                f"ordering.order {self.order!r} and ordering.layers {self.layers!r} have no unit in common"
            )
        ranks = self.inside.rank(request)
        total = float(sum(int(group.sum()) for group in groups))
        times, gone = torch.full((len(units),), NEVER, dtype=torch.float64), 0.0
        for group in groups:
            # Where a group is larger it takes longer, so that without overlap time is the share of units gone.
            share = int(group.sum()) / total
            span = share + self.overlap * (1 - share)
            position = even_ranks(ranks[group].double(), np.random.RandomState(self.seed))
            times[group] = (1 - self.overlap) * gone + span * position
            gone += share
        return rank_units(times, units, "network", self.seed, torch.stack(groups).any(0))

    def _groups(self, units: Units) -> list[Tensor]:
        names = [layer.name for layer in units.layers]
        if isinstance(self.order, str):
            check_choice("ordering.order", self.order, ("coarse_to_fine", "fine_to_coarse"))
            return [
                units.select(name)
                for name in (names if self.order == "coarse_to_fine" else names[::-1])
            ]
        groups: list[Tensor] = []
        seen = torch.zeros(len(units), dtype=torch.bool)
        for address in self.order:
            groups.append(units.select(address) & ~seen)
            seen |= groups[-1]
        return groups


@part("ordering/sequence")
@dataclass(frozen=True)
class SequentialOrdering:
    """Several orderings one after another: who was in an earlier one is not in a later one.

    ``take`` is how much of its way each is followed, in [0, 1]; without, to its end. ``shares`` are how long each takes,
    against the others; without, as long as it has units.
    """

    orderings: Sequence[Ordering] = ()
    take: Sequence[float] | None = None
    shares: Sequence[float] | None = None
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed)
        if not self.orderings:
            raise RequestError(
                "ordering=sequence needs orderings: a list of them, each with its _target_"
            )
        if self.take is not None and (
            len(self.take) != len(self.orderings) or not all(0 <= one <= 1 for one in self.take)
        ):
            raise RequestError(
                f"ordering.take must be {len(self.orderings)} shares in [0, 1], got {[*self.take]}"
            )
        if self.shares is not None and (
            len(self.shares) != len(self.orderings) or min(self.shares) <= 0
        ):
            raise RequestError(
                f"ordering.shares must be {len(self.orderings)} positive numbers, got {[*self.shares]}"
            )

    def rank(self, request: RankRequest) -> Tensor:
        units = request.units
        free, groups = units.select(self.layers), []
        for ordering, take in zip(
            self.orderings, self.take or [1.0] * len(self.orderings), strict=True
        ):
            ranks = ordering.rank(request)
            mine = free & (ranks <= take)
            free &= ~mine
            groups.append((mine, ranks))
        shares = (
            [float(mine.sum()) for mine, _ in groups]
            if self.shares is None
            else [float(share) for share in self.shares]
        )
        ends = np.cumsum([0.0, *shares]) / max(sum(shares), 1e-9)
        found, draw = torch.full((len(units),), NEVER), np.random.RandomState(self.seed)
        for (mine, ranks), (begin, end) in zip(groups, pairwise(ends), strict=True):
            found[mine] = (begin + (end - begin) * even_ranks(ranks[mine].double(), draw)).float()
        return found


@part("ordering/file")
@dataclass(frozen=True)
class ScoreFile:
    """Scores from a file: .npy, or text with a number a line, one for every unit; the smallest die first."""

    path: str
    first: str = "smallest"
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first)
        if not self.path:
            raise RequestError("ordering=file needs a file of scores: say ordering.path=scores.npy")

    def rank(self, request: RankRequest) -> Tensor:
        units = request.units
        path = Path(self.path).expanduser()
        try:
            if path.stat().st_size > 64 * len(units) + 4096:
                raise ValueError(f"{path.stat().st_size} bytes are far too many")
            score = (
                np.load(path, allow_pickle=False)
                if path.suffix == ".npy"
                else np.loadtxt(path, delimiter=None, ndmin=1)
            )
            score = score.astype(np.float64)
        except (OSError, ValueError, TypeError, EOFError) as error:
            told = getattr(error, "strerror", None) or one_line(error)
            raise RequestError(
                f"ordering.path {path} holds no scores ({told}); write .npy or a number a line"
            ) from None
        if score.shape != (len(units),) or np.isnan(score).any():
            raise RequestError(
                f"ordering.path {path} must hold {len(units)} numbers, one for every unit, got {list(score.shape)}"
            )
        return rank_scores(torch.from_numpy(score), units, self)
