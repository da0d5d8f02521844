"""Who dies when: orderings give every unit a rank in [0, 1); the lowest dies first.

A unit that the ordering's ``layers`` do not choose has rank infinity and never dies; rank 0 is for units that have no turn
of their own. ``scope`` says who competes
with whom: ``network`` ranks all chosen units together, ``layer`` gives each layer its own clock, so that all layers
lose the same share at any time. Equal scores are put in the order that ``seed`` draws.

To add an ordering, write a function or a frozen dataclass that can be called with (generator, units, ws) and
returns such a tensor [U].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting import errors
from forgetting.ablation import activations as statistics
from forgetting.errors import RequestError, check_choice, check_range, one_line
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


class Ordering(Protocol):
    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        """[U] ranks in [0, 1), infinity for units that never die; ``ws`` [B, L, W] is the face of the film."""
        ...


def check_settings(
    seed: int, scope: str = "network", first: str = "smallest", normalise: str = "none"
) -> None:
    """Raise unless these settings, which most orderings have, are possible."""
    errors.check_seed("ordering.seed", seed)
    check_choice("ordering.scope", scope, SCOPES)
    check_choice("ordering.first", first, FIRST)
    check_choice("ordering.normalise", normalise, ("none", *_NORMALISERS))


@dataclass(frozen=True)
class Random:
    """Every order is equally likely; ``seed`` draws it."""

    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        return rank_units(
            torch.zeros(len(units)), units, self.scope, self.seed, units.select(self.layers)
        )


@dataclass(frozen=True)
class Together:
    """No order: all chosen units go together, as far as the schedule says. A target that is turned."""

    layers: str | Sequence[str] = "*"

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        chosen = units.select(self.layers)
        return torch.where(chosen, 0.0, NEVER)


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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        score = weight_norms(generator, units, self.weights, self.norm)
        return rank_scores(normalise(score.double(), units, self.normalise), units, self)


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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        return rank_scores(
            normalise(
                statistics.rms_activations(generator, units, ws).double(), units, self.normalise
            ),
            units,
            self,
        )


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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        score = statistics.rms_over_faces(generator, units).double() * weight_norms(
            generator, units, "outgoing", "l2"
        )
        return rank_scores(normalise(score.double(), units, self.normalise), units, self)


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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        chosen = units.select(self.layers)
        groups = [group & chosen for group in self._groups(units)]
        groups = [group for group in groups if group.any()]
        if not groups:
            raise RequestError(
                f"ordering.order {self.order!r} and ordering.layers {self.layers!r} have no unit in common"
            )
        ranks = self.inside(generator, units, ws)
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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        free, groups = units.select(self.layers), []
        for ordering, take in zip(
            self.orderings, self.take or [1.0] * len(self.orderings), strict=True
        ):
            ranks = ordering(generator, units, ws)
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

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
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
