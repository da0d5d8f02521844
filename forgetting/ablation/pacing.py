"""Loss as units, or loss as seen.

A pacing turns loss [F] into the fraction [F] of the units' ranks that has been reached. The *way* are the fractions at
which loss is 0, 1, and so on: 0 and ``until``, or where the acts of a film end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.ablation.perceptual_distance import Bands, detail_bands, distance
from forgetting.errors import check_int
from forgetting.parts import part
from forgetting.progress import track

PictureAt = Callable[[float], Tensor]
"""Fraction in [0, 1] -> the picture [1, 3, H, W] at that point of the way."""


class Pacing(Protocol):
    def fractions(
        self, progress: Tensor, waypoints: Sequence[float], picture_at: PictureAt
    ) -> Tensor:
        """[F] float64 in [0, len(way) - 1] -> [F] float64: ``way[k]`` where loss is k."""
        ...


@part("pacing/units")
@dataclass(frozen=True)
class UnitPacing:
    """The schedule says which share of the units is gone."""

    def fractions(
        self, progress: Tensor, waypoints: Sequence[float], picture_at: PictureAt
    ) -> Tensor:
        return _between(progress, waypoints)


@part("pacing/perceptual")
@dataclass(frozen=True)
class Perceptual:
    """The schedule says which share of all visible change has happened.

    The way from nothing to its far end is looked at in ``probes`` places, where most happens most closely, and walked
    at a speed that makes the change on the screen follow the schedule, from each stop of the way to the next.
    """

    probes: int = 64

    def __post_init__(self) -> None:
        check_int("pacing.probes", self.probes, 2, 10_000)

    def fractions(
        self, progress: Tensor, waypoints: Sequence[float], picture_at: PictureAt
    ) -> Tensor:
        until = max(waypoints)
        if until == 0:
            return _between(progress, waypoints)
        fraction, length = visible_length(until, picture_at, self.probes)
        if length[-1] == 0:
            return _between(progress, waypoints)  # nothing ever changes visibly
        # A thousandth of the time goes by evenly, so that stretches where nothing changes are walked, not leapt over.
        seen = (length / length[-1] + fraction / until / 1000) / 1.001
        stops = np.interp(waypoints, fraction, seen)
        return torch.from_numpy(
            np.interp(_between(progress, stops.tolist()).numpy(), seen, fraction)
        )


def _between(progress: Tensor, stops: Sequence[float]) -> Tensor:
    """``stops[k]`` where loss is k, and evenly from each to the next."""
    return torch.from_numpy(np.interp(progress.numpy(), range(len(stops)), stops))


def visible_length(
    until: float, picture: PictureAt, probes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The visible length of the way: fractions [N] from 0 to ``until`` and the change [N] seen up to each.

    Half of the places are spread evenly; each of the others halves the step that shows the greatest change.
    """
    coarse = max(2, probes // 2)
    places = list(np.linspace(0.0, until, coarse))
    todo = iter(track(range(probes), "looking where the picture changes", probes))
    seen: list[Bands] = []
    for place in places:
        next(todo)
        seen.append(detail_bands(picture(place)))
    steps = [float(distance(a, b)) for a, b in pairwise(seen)]
    for _ in todo:
        k = int(np.argmax(steps))
        places.insert(k + 1, (places[k] + places[k + 1]) / 2)
        seen.insert(k + 1, detail_bands(picture(places[k + 1])))
        steps[k : k + 1] = [
            float(distance(seen[k], seen[k + 1])),
            float(distance(seen[k + 1], seen[k + 2])),
        ]
    return np.array(places), np.concatenate([[0.0], np.cumsum(steps)])
