"""Where faces come from: latents make ``ws``, one for a film, or one for every frame of a face that moves while it dies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting import errors
from forgetting.errors import RequestError, check_int, check_range
from forgetting.models.generator import Generator
from forgetting.parts import part


class Latent(Protocol):
    @property
    def moves(self) -> bool:
        """Whether the face is another one in every frame."""
        ...

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """``ws`` [1, L, W] of a frame of a film of so many frames."""
        ...

    def another(self, number: int) -> Latent:
        """The same with other people: as many as there are numbers, the first of them itself."""
        ...


@part("latent/seed")
@dataclass(frozen=True)
class Seed:
    """The face that everybody means by this seed: ``numpy.random.RandomState(seed).randn(1, z_dim)``.

    ``psi`` draws it towards the average face: 1 is as the network was trained, 0 the average itself. ``label`` is the
    class that a conditional network is asked for, its first where nothing is said.
    """

    moves: ClassVar[bool] = False
    seed: int = 10
    psi: float = 0.7
    label: int | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        return _face(generator, latent_of_seed(generator, self.seed), self.psi, self.label)

    def another(self, number: int) -> Seed:
        return replace(self, seed=self.seed + number)


@part("latent/walk")
@dataclass(frozen=True)
class Walk:
    """Through the faces of ``seeds``, one after another, at an even pace; a ``loop`` comes back to the first.

    From each to the next it goes along the sphere on which such vectors lie (White 2016, "Sampling Generative Networks").
    """

    moves: ClassVar[bool] = True
    seeds: Sequence[int] = (10, 11, 12)
    loop: bool = True
    psi: float = 0.7
    label: int | None = None

    def __post_init__(self) -> None:
        if len(self.seeds) < 2:
            raise RequestError(f"latent.seeds must be two faces or more, got {[*self.seeds]}")
        for seed in self.seeds:
            _check(seed, self.psi, self.label)

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        stops = (*self.seeds, *self.seeds[: int(self.loop)])
        at = (len(stops) - 1) * (index / frames if self.loop else index / max(frames - 1, 1))
        number = min(int(at), len(stops) - 2)
        one, other = (latent_of_seed(generator, seed) for seed in stops[number : number + 2])
        return _face(generator, slerp(one, other, at - number), self.psi, self.label)

    def another(self, number: int) -> Walk:
        return replace(self, seeds=[seed + 1000 * number for seed in self.seeds])


@part("latent/drift")
@dataclass(frozen=True)
class Drift:
    """Away from the face of ``seed`` towards that of ``towards``, as far as ``share`` of the way."""

    moves: ClassVar[bool] = True
    seed: int = 10
    towards: int = 11
    share: float = 0.4
    psi: float = 0.7
    label: int | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        errors.check_seed("latent.towards", self.towards)
        check_range("latent.share", self.share, 0.0, 1.0)

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        way = self.share * index / max(frames - 1, 1)
        return _face(
            generator,
            slerp(
                latent_of_seed(generator, self.seed), latent_of_seed(generator, self.towards), way
            ),
            self.psi,
            self.label,
        )

    def another(self, number: int) -> Drift:
        return replace(self, seed=self.seed + number, towards=self.towards + number)


@part("latent/wander")
@dataclass(frozen=True)
class Wander:
    """Around the face of ``seed``, ``turns`` times, at ``radius`` degrees from it: it closes where it began."""

    moves: ClassVar[bool] = True
    seed: int = 10
    radius: float = 20.0
    turns: int = 1
    psi: float = 0.7
    label: int | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        check_range("latent.radius", self.radius, 0.0, 180.0)
        check_int("latent.turns", self.turns, 1, 100_000)

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        middle = latent_of_seed(generator, self.seed)
        draw, length = np.random.RandomState([self.seed, 1]), float(middle.norm())
        one, other = (torch.from_numpy(draw.randn(1, generator.z_dim)).float() for _ in range(2))
        axes: list[Tensor] = []
        for axis in (one, other):  # at right angles to the face and to each other, and as long
            for known in (middle, *axes):
                axis = axis - (axis * known).sum() / known.square().sum() * known
            axes.append(axis * length / axis.norm().clamp_min(1e-9))
        turn, away = 2 * math.pi * self.turns * index / frames, math.radians(self.radius)
        aside = math.cos(turn) * axes[0] + math.sin(turn) * axes[1]
        return _face(
            generator, math.cos(away) * middle + math.sin(away) * aside, self.psi, self.label
        )

    def another(self, number: int) -> Wander:
        return replace(self, seed=self.seed + number)


@part("latent/breathe")
@dataclass(frozen=True)
class Breathe:
    """The face of ``seed``, nearer to the average face and farther from it: psi swings by ``depth``, ``breaths`` times."""

    moves: ClassVar[bool] = True
    seed: int = 10
    psi: float = 0.7
    depth: float = 0.2
    breaths: float = 8.0
    label: int | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        check_range("latent.depth", self.depth, 0.0, 2.0)
        check_range("latent.breaths", self.breaths, 0.0, 100_000.0)

    def __call__(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        psi = self.psi + self.depth * math.sin(2 * math.pi * self.breaths * index / frames)
        return _face(generator, latent_of_seed(generator, self.seed), psi, self.label)

    def another(self, number: int) -> Breathe:
        return replace(self, seed=self.seed + number)


def _check(seed: int, psi: float, label: int | None) -> None:
    errors.check_seed("latent.seed", seed)
    check_range("latent.psi", psi, -2.0, 2.0)
    if label is not None:
        check_int("latent.label", label, 0, 2**31)


def latent_of_seed(generator: Generator, seed: int) -> Tensor:
    """``z`` [1, z_dim] of a seed."""
    return torch.from_numpy(np.random.RandomState(seed).randn(1, generator.z_dim)).float()


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The point at that share of the way from ``a`` to ``b`` [1, N] along the sphere; its length goes evenly."""
    ways = [torch.nn.functional.normalize(one.double(), dim=1) for one in (a, b)]
    angle = torch.arccos((ways[0] * ways[1]).sum().clamp(-1, 1))
    if float(angle.sin()) < 1e-6:  # in line: there is no arc between them
        return torch.lerp(a, b, share)
    way = (
        torch.sin((1 - share) * angle) * ways[0] + torch.sin(share * angle) * ways[1]
    ) / angle.sin()
    return (way * torch.lerp(a.double().norm(), b.double().norm(), share)).float()


@torch.inference_mode()
def _face(generator: Generator, z: Tensor, psi: float, label: int | None) -> Tensor:
    return generator.mapping(z, psi, one_hot(generator, label))


def one_hot(generator: Generator, label: int | None) -> Tensor | None:
    """[1, labels]: the class ``label``, the first where nothing is said; None for a network without classes."""
    if not generator.labels:
        if label:
            raise RequestError(
                f"this generator has no classes; leave out latent.label, got {label}"
            )
        return None
    check_int("latent.label", label or 0, 0, generator.labels - 1)
    return F.one_hot(torch.tensor([label or 0]), generator.labels).float()
