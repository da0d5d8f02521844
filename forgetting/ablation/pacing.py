"""Pacings: whether a schedule counts units, or visible change.

A pacing turns the progress [F] of a schedule into the fraction [F] of the units' ranks that is
reached. *Waypoints* are the fractions at which progress is 0, 1 and so on: 0 and
``schedule.until``, or the ends of a film's acts.
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

from forgetting import result_cache
from forgetting.ablation.perceptual_distance import Bands, detail_bands, distance
from forgetting.errors import check_int
from forgetting.parts import part
from forgetting.progress import track

PictureAt = Callable[[float], Tensor]
"""Fraction in [0, 1] -> the picture [1, 3, H, W] in [-1, 1] when it is reached."""


class Pacing(Protocol):
    """Turns progress into fractions."""

    def fractions(
        self,
        progress: Tensor,
        waypoints: Sequence[float],
        picture_at: PictureAt,
        identity: str | None = None,
    ) -> Tensor:
        """Return fractions [F] float64 in [0, 1]: ``waypoints[k]`` where the progress is k.

        Args:
            progress: of every frame, [F] float64 in [0, len(waypoints) - 1].
            waypoints: the fractions at which progress is 0, 1 and so on.
            picture_at: renders the picture at a fraction.
            identity: hash of all that these pictures depend on, under which measurements may be
                kept between runs; None keeps nothing.
        """
        ...


@part("pacing/units")
@dataclass(frozen=True)
class UnitPacing:
    """Progress is the share of units that is ablated."""

    def fractions(
        self,
        progress: Tensor,
        waypoints: Sequence[float],
        picture_at: PictureAt,
        identity: str | None = None,
    ) -> Tensor:
        """Return the progress, interpolated between the waypoints."""
        return _interpolate(progress, waypoints)


@part("pacing/perceptual")
@dataclass(frozen=True)
class Perceptual:
    """Progress is the share of all visible change that has happened.

    Pictures are rendered at ``probes`` fractions from 0 to the largest waypoint, most closely
    where most changes. Fractions then pass at a speed that makes the change on the screen follow
    the schedule.

    Args:
        probes: number of pictures.
    """

    probes: int = 64

    def __post_init__(self) -> None:
        check_int("pacing.probes", self.probes, 2, 10_000)

    def fractions(
        self,
        progress: Tensor,
        waypoints: Sequence[float],
        picture_at: PictureAt,
        identity: str | None = None,
    ) -> Tensor:
        """Return the fractions at which visible change follows the progress."""
        until = max(waypoints)
        if until == 0:
            return _interpolate(progress, waypoints)
        fraction, change = self._kept_length(until, picture_at, identity)
        if change[-1] == 0:  # nothing ever changes visibly
            return _interpolate(progress, waypoints)
        # A thousandth of the time passes evenly, so that the film does not jump over stretches
        # without visible change.
        length = (change / change[-1] + fraction / until / 1000) / 1.001
        length_at_waypoints = np.interp(waypoints, fraction, length)
        lengths = _interpolate(progress, length_at_waypoints.tolist())
        return torch.from_numpy(np.interp(lengths.numpy(), length, fraction))

    def _kept_length(
        self, until: float, picture_at: PictureAt, identity: str | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the visible length, measured or kept from an earlier run."""
        if identity is None:
            return visible_length(until, picture_at, self.probes)
        key = result_cache.digest(identity, until, self.probes)
        shape = (self.probes,)
        kept = result_cache.load_arrays("probes", key, {"fraction": shape, "change": shape})
        if kept is not None and all(array.dtype == np.float64 for array in kept.values()):
            return kept["fraction"], kept["change"]
        fraction, change = visible_length(until, picture_at, self.probes)
        result_cache.store_arrays("probes", key, {"fraction": fraction, "change": change})
        return fraction, change


def _interpolate(progress: Tensor, waypoints: Sequence[float]) -> Tensor:
    """Return ``waypoints[k]`` where the progress is k, and linear interpolation between them."""
    return torch.from_numpy(np.interp(progress.numpy(), range(len(waypoints)), waypoints))


def visible_length(
    until: float, picture_at: PictureAt, probes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure how much a picture changes visibly while units are ablated.

    Half of the fractions are spread evenly. Each of the others halves the step between two
    fractions that shows the greatest change.

    Args:
        until: the last fraction.
        picture_at: renders the picture at a fraction.
        probes: number of pictures N.

    Returns:
        Fractions [N] from 0 to ``until``, and the visible change [N] from 0 up to each of them.
    """
    coarse = max(2, probes // 2)
    fractions = list(np.linspace(0.0, until, coarse))
    ticks = iter(track(range(probes), "measuring where the picture changes", probes))
    bands: list[Bands] = []
    for fraction in fractions:
        next(ticks)
        bands.append(detail_bands(picture_at(fraction)))
    steps = [float(distance(a, b)) for a, b in pairwise(bands)]
    for _ in ticks:
        k = int(np.argmax(steps))
        fractions.insert(k + 1, (fractions[k] + fractions[k + 1]) / 2)
        bands.insert(k + 1, detail_bands(picture_at(fractions[k + 1])))
        steps[k : k + 1] = [
            float(distance(bands[k], bands[k + 1])),
            float(distance(bands[k + 1], bands[k + 2])),
        ]
    return np.array(fractions), np.concatenate([[0.0], np.cumsum(steps)])
