"""Network bending: operators that change the activations of units instead of removing them.

Broad, Leymarie and Grierson 2021, "Network Bending: Expressive Manipulation of Generative Models in
Multiple Domains", insert such filters between the layers of a generator; here are all of theirs and
some more. An operator defines the far end of ``lerp(x, operator(x), ablation)``; on the way there
both are mixed. Operators that move things in space are in
:mod:`forgetting.ablation.operators.spatial`.

Styles, weights and mapping units have no map. Where an operator needs a mean or a range, it takes
that of all units in their layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from forgetting import errors
from forgetting.ablation.operators.operator import Operator, OperatorSettings
from forgetting.ablation.operators.per_layer import (
    activations_of_face,
    cached_per_layer,
    layer_random,
    noise_maps,
)
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.models.generator import Edit, Generator
from forgetting.models.latents import Seed
from forgetting.models.units import Layer
from forgetting.parts import part


@part("operator/noise")
@dataclass(frozen=True, kw_only=True)
class NoiseMap(OperatorSettings):
    """Replaces a map by noise with its mean.

    Args:
        amount: the noise's standard deviation, as a multiple of the map's.
        seed: draws the noise.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    amount: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.amount", self.amount, 0.0, 100.0)
        errors.check_seed("operator.seed", self.seed)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        draw = cache(lambda layer: noise_maps(layer, self.seed))
        pool = cached_per_layer(lambda layer: draw(layer)[0])
        choice = cached_per_layer(lambda layer: draw(layer)[1])

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            mean, std = _moments(x)
            return mean + self.amount * std * pool(x, layer).index_select(1, choice(x, layer))

        return replacement


@part("operator/freeze")
@dataclass(frozen=True, kw_only=True)
class Freeze(OperatorSettings):
    """Replaces activations by those of the intact network for one face.

    Args:
        seed: of that face; None takes the face of the first frame.
        psi: how far that face is from the average face, as in ``latent.psi``.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True
    seed: int | None = None
    psi: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_face(self.seed, self.psi)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        if self.seed is not None:
            ws = Seed(self.seed, self.psi).sample(generator)
        return activations_of_face(generator, ws)


@part("operator/swap")
@dataclass(frozen=True, kw_only=True)
class Swap(OperatorSettings):
    """Replaces activations by those of the same unit for another face.

    Args:
        seed: of the other face.
        psi: how far that face is from the average face, as in ``latent.psi``.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    constant: ClassVar[bool] = True
    seed: int = 1
    psi: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_face(self.seed, self.psi)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return activations_of_face(generator, Seed(self.seed, self.psi).sample(generator))


@part("operator/invert")
@dataclass(frozen=True, kw_only=True)
class Invert(OperatorSettings):
    """Replaces a map by its negative.

    Args:
        about: ``mean`` mirrors values about the map's mean, which stays; ``zero`` changes their
            sign.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    about: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("operator.about", self.about, ("mean", "zero"))

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        if self.about == "zero":
            return lambda x, layer: -x
        return lambda x, layer: 2 * _moments(x)[0] - x


@part("operator/amplify")
@dataclass(frozen=True, kw_only=True)
class Amplify(OperatorSettings):
    """Multiplies activations.

    Args:
        factor: between 0 and 1 activations become weaker; below 0 they change their sign.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    factor: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.factor", self.factor, -1000.0, 1000.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: x * self.factor


@part("operator/saturate")
@dataclass(frozen=True, kw_only=True)
class Saturate(OperatorSettings):
    """Limits activations softly, by a hyperbolic tangent.

    Args:
        drive: the gain before the limit.
        limit: the largest absolute value, as a multiple of the map's root mean square.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    drive: float = 4.0
    limit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("operator.drive", self.drive, 0.01, 1000.0)
        check_range("operator.limit", self.limit, 0.01, 1000.0)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            mean, std = _moments(x)
            limit = self.limit * (mean.square() + std.square()).sqrt() + 1e-8
            return limit * torch.tanh(self.drive * x / limit)

        return replacement


@part("operator/quantise")
@dataclass(frozen=True, kw_only=True)
class Quantise(OperatorSettings):
    """Rounds activations to a few values, evenly spaced from the map's smallest to its largest.

    Args:
        levels: number of values.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    levels: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("operator.levels", self.levels, 2, 256)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            dims = _unit_dims(x)
            low, high = x.amin(dim=dims, keepdim=True), x.amax(dim=dims, keepdim=True)
            step = (high - low) / (self.levels - 1) + 1e-12
            return low + torch.round((x - low) / step) * step

        return replacement


@part("operator/binarise")
@dataclass(frozen=True, kw_only=True)
class Binarise(OperatorSettings):
    """Replaces all values by two: mean plus or minus standard deviation of the map.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            mean, std = _moments(x)
            return torch.where(x > mean, mean + std, mean - std)

        return replacement


@part("operator/shuffle")
@dataclass(frozen=True, kw_only=True)
class Shuffle(OperatorSettings):
    """Permutes the units of a layer: each gets the activations of another.

    Args:
        seed: draws the permutation of every layer.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        errors.check_seed("operator.seed", self.seed)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        order = cached_per_layer(
            lambda layer: torch.from_numpy(
                layer_random(layer, self.seed).permutation(layer.channels)
            )
        )
        return lambda x, layer: x.index_select(1, order(x, layer))


@part("operator/leak")
@dataclass(frozen=True, kw_only=True)
class Leak(OperatorSettings):
    """Replaces a map by the mean map of its layer.

    Args:
        softness: share of the ranks' axis that a unit takes to fade.
    """

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        return lambda x, layer: x.mean(dim=1, keepdim=True)


@part("operator/chained")
@dataclass(frozen=True, kw_only=True)
class Chained(OperatorSettings):
    """Applies several operators in turn.

    Args:
        operators: in the order in which they are applied; their own softness does not count.
        softness: share of the ranks' axis that a unit takes to fade.
    """

    operators: Sequence[Operator] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.operators:
            raise RequestError(
                "operator=chained needs operators: a list of them, each with its _target_"
            )

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        """Return the replacement."""
        replacements = [operator.bind(generator, ws) for operator in self.operators]

        def replacement(x: Tensor, layer: Layer) -> Tensor:
            for replace in replacements:
                x = replace(x, layer).expand_as(x)
            return x

        return replacement


def _check_face(seed: int | None, psi: float) -> None:
    if seed is not None:
        errors.check_seed("operator.seed", seed)
    check_range("operator.psi", psi, -2.0, 2.0)


def _unit_dims(x: Tensor) -> tuple[int, ...]:
    """Return the dimensions of a unit's statistics: space, or the whole layer without maps."""
    return (2, 3) if x.shape[2] * x.shape[3] > 1 else (1, 2, 3)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every unit."""
    mean = x.mean(dim=_unit_dims(x), keepdim=True)
    return mean, (x - mean).square().mean(dim=_unit_dims(x), keepdim=True).sqrt()
