"""Network bending: operators that change what a unit says instead of taking it away.

Broad, Leymarie and Grierson 2021, "Network Bending: Expressive Manipulation of Generative Models in Multiple Domains",
inserts such filters between the layers of a generator; all of theirs are here. Each is defined by what stands at the far
end of ``lerp(x, bend(x), ablation)``; on the way there the two are mixed. Nothing here branches on values, so a bend is
part of a compiled graph like everything else.

Maps are [B, C, H, W]. Lengths are shares of a map's size, so that a bend means the same in every layer. What has no map -
a style, a synapse, a neuron - is measured against the others in its layer where a bend asks for a mean or a range.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from forgetting import errors
from forgetting.ablation.activations import visit_activations
from forgetting.ablation.operators.removal import SOFTNESS, Operator
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.models.generator import Edit, Generator
from forgetting.models.latents import Seed
from forgetting.models.unit_kinds import units_of_kinds
from forgetting.models.units import PICTURE, Layer
from forgetting.parts import part


@dataclass(frozen=True, kw_only=True)
class BendingOperator:
    """What all bends have: ``softness``, as every operator."""

    constant: ClassVar[bool] = False
    softness: float = SOFTNESS

    def __post_init__(self) -> None:
        check_range("operator.softness", self.softness, 0.0, 1.0)
        self.check()

    def check(self) -> None:
        """Raise unless the settings are possible."""

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return self.bend

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        raise NotImplementedError


@part("operator/noise")
@dataclass(frozen=True, kw_only=True)
class NoiseMap(BendingOperator):
    """Noise with the mean of the map and ``amount`` times its standard deviation."""

    amount: float = 1.0
    seed: int = 0

    def check(self) -> None:
        check_range("operator.amount", self.amount, 0.0, 100.0)
        errors.check_seed("operator.seed", self.seed)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        drawn = cache(lambda layer: _drawn(layer, self.seed))
        pool, choice = (
            cached_per_layer(lambda layer: drawn(layer)[0]),
            cached_per_layer(lambda layer: drawn(layer)[1]),
        )

        def bend(x: Tensor, layer: Layer) -> Tensor:
            mean, std = _moments(x)
            return mean + self.amount * std * pool(x, layer).index_select(1, choice(x, layer))

        return bend


@part("operator/freeze")
@dataclass(frozen=True, kw_only=True)
class Freeze(BendingOperator):
    """What it said for the face of the first frame, or for that of ``seed``, whatever becomes of the rest."""

    constant: ClassVar[bool] = True
    seed: int | None = None
    psi: float = 0.7

    def check(self) -> None:
        _check_face(self.seed, self.psi)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return _said(generator, ws if self.seed is None else Seed(self.seed, self.psi)(generator))


@part("operator/swap")
@dataclass(frozen=True, kw_only=True)
class Swap(BendingOperator):
    """What the same unit says for another face."""

    constant: ClassVar[bool] = True
    seed: int = 1
    psi: float = 0.7

    def check(self) -> None:
        _check_face(self.seed, self.psi)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        return _said(generator, Seed(self.seed, self.psi)(generator))


@part("operator/invert")
@dataclass(frozen=True, kw_only=True)
class Invert(BendingOperator):
    """Its negative: mirrored about its own mean, which keeps its level, or about ``zero``."""

    about: str = "mean"

    def check(self) -> None:
        check_choice("operator.about", self.about, ("mean", "zero"))

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return -x if self.about == "zero" else 2 * _moments(x)[0] - x


@part("operator/amplify")
@dataclass(frozen=True, kw_only=True)
class Amplify(BendingOperator):
    """``factor`` times as loud; between 0 and 1 it is quieter."""

    factor: float = 3.0

    def check(self) -> None:
        check_range("operator.factor", self.factor, -1000.0, 1000.0)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return x * self.factor


@part("operator/saturate")
@dataclass(frozen=True, kw_only=True)
class Saturate(BendingOperator):
    """Driven into its limits: ``limit`` times its root mean square is as loud as it gets."""

    drive: float = 4.0
    limit: float = 1.0

    def check(self) -> None:
        check_range("operator.drive", self.drive, 0.01, 1000.0)
        check_range("operator.limit", self.limit, 0.01, 1000.0)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        mean, std = _moments(x)
        most = self.limit * (mean.square() + std.square()).sqrt() + 1e-8
        return most * torch.tanh(self.drive * x / most)


@part("operator/quantise")
@dataclass(frozen=True, kw_only=True)
class Quantise(BendingOperator):
    """In ``levels`` steps from its least to its largest value."""

    levels: int = 4

    def check(self) -> None:
        check_int("operator.levels", self.levels, 2, 256)

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        space = _space(x)
        low, high = x.amin(dim=space, keepdim=True), x.amax(dim=space, keepdim=True)
        step = (high - low) / (self.levels - 1) + 1e-12
        return low + torch.round((x - low) / step) * step


@part("operator/binarise")
@dataclass(frozen=True, kw_only=True)
class Binarise(BendingOperator):
    """Two values: a standard deviation above its mean where it is larger than that, and one below it elsewhere."""

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        mean, std = _moments(x)
        return torch.where(x > mean, mean + std, mean - std)


@part("operator/shuffle")
@dataclass(frozen=True, kw_only=True)
class Shuffle(BendingOperator):
    """Units swap places: each says what another one in its layer says."""

    seed: int = 0

    def check(self) -> None:
        errors.check_seed("operator.seed", self.seed)

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        order = cached_per_layer(
            lambda layer: torch.from_numpy(_generator(layer, self.seed).permutation(layer.channels))
        )
        return lambda x, layer: x.index_select(1, order(x, layer))


@part("operator/leak")
@dataclass(frozen=True, kw_only=True)
class Leak(BendingOperator):
    """What its whole layer says on average: it loses what is its own."""

    def bend(self, x: Tensor, layer: Layer) -> Tensor:
        return x.mean(dim=1, keepdim=True)


@part("operator/chained")
@dataclass(frozen=True, kw_only=True)
class Chained(BendingOperator):
    """One operator after the other."""

    operators: Sequence[Operator] = ()

    def check(self) -> None:
        if not self.operators:
            raise RequestError(
                "operator=chained needs operators: a list of them, each with its _target_"
            )

    def bind(self, generator: Generator, ws: Tensor) -> Edit:
        found = [operator.bind(generator, ws) for operator in self.operators]

        def bend(x: Tensor, layer: Layer) -> Tensor:
            for dead in found:
                x = dead(x, layer).expand_as(x)
            return x

        return bend


def _check_face(seed: int | None, psi: float) -> None:
    if seed is not None:
        errors.check_seed("operator.seed", seed)
    check_range("operator.psi", psi, -2.0, 2.0)


def _space(x: Tensor) -> tuple[int, ...]:
    """The dimensions over which a unit is measured: space, or its layer where it has none."""
    return (2, 3) if x.shape[2] * x.shape[3] > 1 else (1, 2, 3)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every unit."""
    mean = x.mean(dim=_space(x), keepdim=True)
    return mean, (x - mean).square().mean(dim=_space(x), keepdim=True).sqrt()


def _generator(layer: Layer, seed: int) -> np.random.RandomState:
    """Every layer draws for itself, the same on every machine."""
    return np.random.RandomState([seed, zlib.crc32(layer.name.encode())])


POOL = 16
"""Maps of noise that the units of a layer share: one for each would take as much memory as all the network's maps."""


def _drawn(layer: Layer, seed: int) -> tuple[Tensor, Tensor]:
    """[1, P, H, W] of noise with mean 0 and variance 1, and which of it each unit takes, [C]."""
    draw, (height, width) = _generator(layer, seed), layer.size
    if height * width == 1:
        return torch.from_numpy(draw.randn(1, layer.channels, 1, 1)).float(), torch.arange(
            layer.channels
        )
    pool = torch.from_numpy(draw.randn(min(POOL, layer.channels), height, width)).float()
    pool = (pool - pool.mean(dim=(1, 2), keepdim=True)) / pool.std(
        dim=(1, 2), keepdim=True, correction=0
    )
    return pool[None], torch.from_numpy(draw.randint(len(pool), size=layer.channels))


def actual_layer(x: Tensor, layer: Layer) -> Layer:
    """The layer as large as it is: the picture's size is the network's."""
    return (
        replace(layer, channels=int(x.shape[1]), size=(int(x.shape[2]), int(x.shape[3])))
        if layer == PICTURE
        else layer
    )


def cached_per_layer(make: Callable[[Layer], Tensor]) -> Edit:
    """What belongs to a layer alone, made once and kept where it is needed."""
    made: dict[tuple[str, tuple[int, int], torch.device, torch.dtype], Tensor] = {}

    def kept(x: Tensor, layer: Layer) -> Tensor:
        layer = actual_layer(x, layer)
        key = (layer.name, layer.size, x.device, x.dtype)
        if key not in made:
            found = make(layer)
            made[key] = found.to(x.device, x.dtype if found.is_floating_point() else None)
        return made[key]

    return kept


def _said(generator: Generator, ws: Tensor) -> Edit:
    """What every unit says for the face ``ws``; listened to when first asked for a kind."""
    heard: dict[str, Tensor] = {}

    def said(x: Tensor, layer: Layer) -> Tensor:
        if layer.name not in heard:
            units = units_of_kinds(generator, layer.kind)
            visit_activations(
                generator, units, ws, lambda there, at: heard.setdefault(at.name, there.clone())
            )
        return heard[layer.name]

    return said
