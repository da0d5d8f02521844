"""The contract of orderings.

An ordering gives every unit a rank in [0, 1); units with the lowest ranks are ablated first. Units
that the ordering's ``layers`` do not select have rank infinity and are never ablated. Units of
rank 0 are outside of the order: all of them are ablated together, by the fraction itself.

Most orderings have these settings:

- ``scope``: which units compete: ``network`` ranks all selected units together, ``layer`` ranks
  every layer by itself, so that all layers lose the same share of their units at any time.
- ``seed``: draws the order of units with equal scores.
- ``layers``: the addresses of the units that are ranked, ``b64.*`` or ``b64.conv1:0-99``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from forgetting.errors import check_choice, check_seed
from forgetting.models.generator import Generator
from forgetting.models.units import Units

NEVER = torch.inf
"""The rank of units that are never ablated."""

SCOPES = ("network", "layer")
FIRST = ("smallest", "largest")
NORMALISERS = ("none", "mean", "max", "rms")


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
    check_choice("ordering.normalise", normalise, NORMALISERS)
