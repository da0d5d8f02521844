"""Orderings by a score of every unit: the size of its weights, its activations, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetting.ablation import activations
from forgetting.ablation.orderings.ordering import RankRequest, check_settings
from forgetting.ablation.orderings.ranks import normalise, rank_scores
from forgetting.errors import check_choice
from forgetting.models import unit_kinds
from forgetting.models.generator import Generator
from forgetting.models.units import Units
from forgetting.parts import part


@part("ordering/magnitude")
@dataclass(frozen=True)
class Magnitude:
    """Ranks units by the norm of their weights.

    Args:
        weights: ``incoming`` or ``outgoing`` ones.
        norm: ``l1`` or ``l2``.
        first: which scores are ablated first, the ``smallest`` or the ``largest``.
        normalise: what the scores of a layer are divided by: ``none``, ``mean``, ``max``, ``rms``.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
    """

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
        """Return ranks [U] by the norm of weights."""
        units = request.units
        scores = weight_norms(request.generator, units, self.weights, self.norm)
        return rank_scores(normalise(scores.double(), units, self.normalise), units, self)


@part("ordering/activation")
@dataclass(frozen=True)
class Activation:
    """Ranks units by the root mean square of their activations for the face of the film.

    Args:
        first: which scores are ablated first, the ``smallest`` or the ``largest``.
        normalise: what the scores of a layer are divided by: ``none``, ``mean``, ``max``, ``rms``.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
    """

    first: str = "smallest"
    normalise: str = "none"
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first, self.normalise)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] by the rms activation for the faces of the request."""
        units = request.units
        scores = activations.rms_activations(request.generator, units, request.ws)
        return rank_scores(normalise(scores.double(), units, self.normalise), units, self)


@part("ordering/contribution")
@dataclass(frozen=True)
class Contribution:
    """Ranks units by their rms activation over many faces times the l2 norm of outgoing weights.

    Args:
        first: which scores are ablated first, the ``smallest`` or the ``largest``.
        normalise: what the scores of a layer are divided by: ``none``, ``mean``, ``max``, ``rms``.
        scope: which units compete, all of the ``network`` or those of a ``layer``.
        seed: draws the order of equal scores.
        layers: addresses of the units that are ranked.
    """

    first: str = "smallest"
    normalise: str = "none"
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check_settings(self.seed, self.scope, self.first, self.normalise)

    def rank(self, request: RankRequest) -> Tensor:
        """Return ranks [U] by rms activation times outgoing weights."""
        generator, units = request.generator, request.units
        rms = activations.rms_over_faces(generator, units).double()
        scores = rms * weight_norms(generator, units, "outgoing", "l2")
        return rank_scores(normalise(scores.double(), units, self.normalise), units, self)


def weight_norms(generator: Generator, units: Units, direction: str, norm: str) -> Tensor:
    """Return the norms [U] float64, ``l1`` or ``l2``, of every unit's weights.

    Args:
        generator: the network.
        units: some of its units.
        direction: ``incoming`` or ``outgoing`` weights.
        norm: ``l1`` or ``l2``.
    """
    weights = (
        unit_kinds.incoming_weights if direction == "incoming" else unit_kinds.outgoing_weights
    )
    order = 1 if norm == "l1" else 2
    return torch.cat(
        [
            torch.linalg.vector_norm(weights(generator, layer).double(), order, dim=1)
            for layer in units.layers
        ]
    )
