"""Latents: the faces of a film, either the same one in every frame or one that moves."""

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
    """The face of a film, frame by frame."""

    @property
    def moves(self) -> bool:
        """Whether every frame has a face of its own."""
        ...

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W] for frame ``index`` of a film of ``frames`` frames."""
        ...

    def of_grid(self, count: int) -> list[Latent]:
        """Return the latents of a grid of ``count`` faces; of one face, this latent itself.

        Raises:
            RequestError: ``seeds`` names another number of faces.
        """
        ...


@part("latent/seed")
@dataclass(frozen=True)
class Seed:
    """The face of a seed, by the usual convention: ``RandomState(seed).randn(1, z_dim)``.

    Args:
        seed: of the face.
        psi: how far it is truncated towards the average face; 1 is not at all, 0 is the average.
        label: its class, if the network has classes; None takes the first one.
        seeds: of several faces, for a grid of them; None takes the seeds after ``seed``.
    """

    moves: ClassVar[bool] = False
    seed: int = 10
    psi: float = 0.7
    label: int | None = None
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        _check_seeds(self.seeds)

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W], the same for every frame."""
        return _map(generator, latent_of_seed(generator, self.seed), self.psi, self.label)

    def of_grid(self, count: int) -> list[Latent]:
        """Return the latents of the next seeds, or of ``seeds``."""
        return [
            replace(self, seed=seed, seeds=None) for seed in _seeds(self.seed, self.seeds, count)
        ]


@part("latent/walk")
@dataclass(frozen=True)
class Walk:
    """A walk through the faces of several seeds, one after another, at constant speed.

    Between two faces it moves along the sphere on which such vectors lie (White 2016, "Sampling
    Generative Networks").

    Args:
        seeds: of the faces.
        loop: whether it returns to the first face.
        psi: how far faces are truncated towards the average face.
        label: their class, if the network has classes.
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

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W] for that frame."""
        stops = (*self.seeds, *self.seeds[: int(self.loop)])
        share = index / frames if self.loop else index / max(frames - 1, 1)
        position = (len(stops) - 1) * share
        number = min(int(position), len(stops) - 2)
        start, end = (latent_of_seed(generator, seed) for seed in stops[number : number + 2])
        return _map(generator, slerp(start, end, position - number), self.psi, self.label)

    def of_grid(self, count: int) -> list[Latent]:
        """Return walks through other seeds."""
        return [
            replace(self, seeds=[seed + 1000 * number for seed in self.seeds])
            for number in range(count)
        ]


@part("latent/drift")
@dataclass(frozen=True)
class Drift:
    """A slow change of a face into another one, of which it goes only a part.

    Args:
        seed: of the first face.
        towards: seed of the face that it changes into.
        share: how much of the way it goes, in [0, 1].
        psi: how far faces are truncated towards the average face.
        label: their class, if the network has classes.
    """

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

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W] for that frame."""
        share = self.share * index / max(frames - 1, 1)
        start, end = (latent_of_seed(generator, seed) for seed in (self.seed, self.towards))
        return _map(generator, slerp(start, end, share), self.psi, self.label)

    def of_grid(self, count: int) -> list[Latent]:
        """Return drifts between the next seeds."""
        return [
            replace(self, seed=self.seed + number, towards=self.towards + number)
            for number in range(count)
        ]


@part("latent/wander")
@dataclass(frozen=True)
class Wander:
    """A circle around a face, which closes at its beginning.

    Args:
        seed: of the face.
        radius: distance from it, in degrees.
        turns: how many times the circle is closed.
        psi: how far faces are truncated towards the average face.
        label: their class, if the network has classes.
        seeds: of several faces, for a grid of them; None takes the seeds after ``seed``.
    """

    moves: ClassVar[bool] = True
    seed: int = 10
    radius: float = 20.0
    turns: int = 1
    psi: float = 0.7
    label: int | None = None
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        _check_seeds(self.seeds)
        check_range("latent.radius", self.radius, 0.0, 180.0)
        check_int("latent.turns", self.turns, 1, 100_000)

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W] for that frame."""
        centre = latent_of_seed(generator, self.seed)
        draw, length = np.random.RandomState([self.seed, 1]), float(centre.norm())
        random = [torch.from_numpy(draw.randn(1, generator.z_dim)).float() for _ in range(2)]
        axes: list[Tensor] = []
        for axis in random:  # orthogonal to the face and to each other, and of the same length
            for earlier in (centre, *axes):
                axis = axis - (axis * earlier).sum() / earlier.square().sum() * earlier
            axes.append(axis * length / axis.norm().clamp_min(1e-9))
        angle, radius = 2 * math.pi * self.turns * index / frames, math.radians(self.radius)
        direction = math.cos(angle) * axes[0] + math.sin(angle) * axes[1]
        z = math.cos(radius) * centre + math.sin(radius) * direction
        return _map(generator, z, self.psi, self.label)

    def of_grid(self, count: int) -> list[Latent]:
        """Return circles around the faces of the next seeds, or of ``seeds``."""
        return [
            replace(self, seed=seed, seeds=None) for seed in _seeds(self.seed, self.seeds, count)
        ]


@part("latent/breathe")
@dataclass(frozen=True)
class Breathe:
    """A face whose psi oscillates: it moves towards the average face and away from it.

    Args:
        seed: of the face.
        psi: mean of the truncation.
        depth: amplitude of the truncation.
        breaths: number of oscillations in a film.
        label: its class, if the network has classes.
        seeds: of several faces, for a grid of them; None takes the seeds after ``seed``.
    """

    moves: ClassVar[bool] = True
    seed: int = 10
    psi: float = 0.7
    depth: float = 0.2
    breaths: float = 8.0
    label: int | None = None
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check(self.seed, self.psi, self.label)
        _check_seeds(self.seeds)
        check_range("latent.depth", self.depth, 0.0, 2.0)
        check_range("latent.breaths", self.breaths, 0.0, 100_000.0)

    def sample(self, generator: Generator, index: int = 0, frames: int = 1) -> Tensor:
        """Return ``ws`` [1, L, W] for that frame."""
        psi = self.psi + self.depth * math.sin(2 * math.pi * self.breaths * index / frames)
        return _map(generator, latent_of_seed(generator, self.seed), psi, self.label)

    def of_grid(self, count: int) -> list[Latent]:
        """Return the latents of the next seeds, or of ``seeds``."""
        return [
            replace(self, seed=seed, seeds=None) for seed in _seeds(self.seed, self.seeds, count)
        ]


def _check(seed: int, psi: float, label: int | None) -> None:
    errors.check_seed("latent.seed", seed)
    check_range("latent.psi", psi, -2.0, 2.0)
    if label is not None:
        check_int("latent.label", label, 0, 2**31)


def _check_seeds(seeds: object) -> None:
    if seeds is None:
        return
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        raise RequestError(f"latent.seeds must be a list of seeds, as in [3,23,41], got {seeds!r}")
    for seed in seeds:
        errors.check_seed("latent.seeds", seed)


def _seeds(seed: int, seeds: Sequence[int] | None, count: int) -> Sequence[int]:
    """Return the seeds of ``count`` faces: those that are given, or ``seed`` and the next ones."""
    if seeds is None:
        return range(seed, seed + count)
    if len(seeds) != count:
        raise RequestError(
            f"latent.seeds names {len(seeds)} faces and the film shows {count}; for these faces "
            f"write film.grid={grid_for(len(seeds))}"
        )
    return seeds


def grid_for(count: int) -> str:
    """Return the grid of so many faces that is closest to a square, as columns x rows."""
    rows = max(rows for rows in range(1, math.isqrt(count) + 1) if count % rows == 0)
    return f"{count // rows}x{rows}"


def latent_of_seed(generator: Generator, seed: int) -> Tensor:
    """Return ``z`` [1, z_dim] of a seed."""
    return torch.from_numpy(np.random.RandomState(seed).randn(1, generator.z_dim)).float()


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Return the point at that share of the way from ``a`` to ``b`` [1, N] along the sphere.

    Its length changes linearly.
    """
    directions = [F.normalize(point.double(), dim=1) for point in (a, b)]
    angle = torch.arccos((directions[0] * directions[1]).sum().clamp(-1, 1))
    if float(angle.sin()) < 1e-6:  # parallel: there is no arc between them
        return torch.lerp(a, b, share)
    direction = (
        torch.sin((1 - share) * angle) * directions[0] + torch.sin(share * angle) * directions[1]
    ) / angle.sin()
    return (direction * torch.lerp(a.double().norm(), b.double().norm(), share)).float()


@torch.inference_mode()
def _map(generator: Generator, z: Tensor, psi: float, label: int | None) -> Tensor:
    return generator.mapping(z, psi, one_hot(generator, label))


def one_hot(generator: Generator, label: int | None) -> Tensor | None:
    """Return the class ``label`` as [1, labels], the first one for None.

    Without classes, the result is None.

    Raises:
        RequestError: the network does not have that class.
    """
    if not generator.labels:
        if label:
            raise RequestError(
                f"this generator has no classes; leave out latent.label, got {label}"
            )
        return None
    check_int("latent.label", label or 0, 0, generator.labels - 1)
    return F.one_hot(torch.tensor([label or 0]), generator.labels).float()
