"""How the scores of units become ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.orderings.ordering import NEVER
from forgetting.models.units import Units

_LAYER_SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda scores: scores.mean(),
    "max": lambda scores: scores.max(),
    "rms": lambda scores: scores.square().mean().sqrt(),
}


class ScoreSettings(Protocol):
    """The settings of an ordering by a score."""

    @property
    def first(self) -> str:
        """Which scores are ablated first, ``smallest`` or ``largest``."""
        ...

    @property
    def scope(self) -> str:
        """Which units compete, all of the ``network`` or those of a ``layer``."""
        ...

    @property
    def seed(self) -> int:
        """Draws the order of equal scores."""
        ...

    @property
    def layers(self) -> str | Sequence[str]:
        """The addresses of the units that are ranked."""
        ...


def normalise(scores: Tensor, units: Units, by: str) -> Tensor:
    """Return scores [U] that are comparable between layers.

    The scores of every layer are divided by their ``mean``, ``max`` or ``rms``; ``none`` changes
    nothing.
    """
    if by == "none":
        return scores
    scale = _LAYER_SCALES[by]
    return torch.cat([part / scale(part).clamp_min(1e-30) for part in units.split(scores).values()])


def rank_scores(scores: Tensor, units: Units, settings: ScoreSettings) -> Tensor:
    """Return the ranks [U] of scores [U] by the settings of an ordering."""
    return rank_units(
        scores if settings.first == "smallest" else -scores,
        units,
        settings.scope,
        settings.seed,
        units.select(settings.layers),
    )


def rank_units(scores: Tensor, units: Units, scope: str, seed: int, selected: Tensor) -> Tensor:
    """Return ranks [U], evenly spaced in (0, 1), the smallest score first.

    Args:
        scores: of the units, [U].
        units: all units.
        scope: ``network`` ranks the selected units together, ``layer`` those of every layer apart.
        seed: draws the order of equal scores.
        selected: which units are ranked, [U] bool; the ranks of others are infinite.
    """
    random = np.random.RandomState(seed)
    ranks = torch.full((len(units),), NEVER)
    if scope == "network":
        ranks[selected] = even_ranks(scores[selected], random).float()
        return ranks
    for span in units.slices.values():
        inside = selected[span]
        ranks[span][inside] = even_ranks(scores[span][inside], random).float()
    return ranks


def even_ranks(scores: Tensor, random: np.random.RandomState) -> Tensor:
    """Return evenly spaced ranks [N] float64 in (0, 1); equal scores [N] get a random order."""
    count = len(scores)
    tie_break = random.permutation(count)
    positions = torch.empty(count, dtype=torch.float64)
    positions[torch.from_numpy(np.lexsort((tie_break, scores.numpy())))] = torch.arange(
        count, dtype=torch.float64
    )
    return (positions + 0.5) / count
