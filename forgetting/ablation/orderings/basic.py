"""Orderings that do not look at the network: by chance, all at once, or from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.orderings.ordering import NEVER, RankRequest, check_settings
from forgetting.ablation.orderings.ranks import rank_scores, rank_units
from forgetting.errors import RequestError, one_line
from forgetting.files import open_regular, user_path
from forgetting.parts import part
from forgetting.safe_npz import read_array


@part("ordering/random")
@dataclass(frozen=True)
class Random:
    """Ranks units in a random order.

    Args:
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order.
        layers: addresses of the units that are ranked.
    """

    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] in random order."""
        units = request.units
        selected = units.select(self.layers)
        return rank_units(torch.zeros(len(units)), units, self.scope, self.seed, selected)


@part("ordering/together")
@dataclass(frozen=True)
class Together:
    """Ablates all units at once, as far as the schedule goes.

    Args:
        layers: addresses of the units that are ablated.
    """

    layers: str | Sequence[str] = "*"

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U]: 0 for all selected units."""
        return torch.where(request.units.select(self.layers), 0.0, NEVER)


@part("ordering/file")
@dataclass(frozen=True)
class ScoreFile:
    """Ranks units by scores from a file.

    Args:
        path: of the file: .npy, or text with a number in every line; a number for every unit.
        first: which scores are ablated first, the ``smallest`` or the ``largest``.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
    """

    path: str
    first: str = "smallest"
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first)
        if not self.path:
            raise RequestError("ordering=file needs a file of scores; set ordering.path=scores.npy")

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] by the scores in the file.

        Raises:
            RequestError: the file cannot be read, or does not hold a number for every unit.
        """
        units = request.units
        path = user_path(self.path)
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > 64 * len(units) + 4096:
                    raise ValueError(f"{size} bytes are too many for {len(units)} units")
                if path.suffix == ".npy":
                    scores = read_array(file, size)
                else:
                    scores = np.loadtxt(file, delimiter=None, ndmin=1)
            scores = scores.astype(np.float64)
        except (OSError, ValueError, TypeError, EOFError, SyntaxError) as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise RequestError(
                f"ordering.path {path} holds no scores ({reason}); "
                "write a .npy file, or text with a number in every line"
            ) from None
        if scores.shape != (len(units),) or np.isnan(scores).any():
            raise RequestError(
                f"ordering.path {path} must hold {len(units)} numbers, one for every unit, "
                f"got {list(scores.shape)}"
            )
        return rank_scores(torch.from_numpy(scores), units, self)
