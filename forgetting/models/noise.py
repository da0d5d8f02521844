"""Noise modes: what the noise of a StyleGAN, which draws skin and hair, does in a film."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from forgetting.errors import RequestError, check_int
from forgetting.models.generator import Generator
from forgetting.models.wrappers import RotatingNoise, with_noise_angle
from forgetting.parts import part


class NoiseMode(Protocol):
    """What the noise of a network does during a film."""

    @property
    def moves(self) -> bool:
        """Whether every frame has noise of its own."""
        ...

    def apply(self, generator: Generator) -> Generator:
        """Return a network with this noise; may change the network it gets."""
        ...

    def animate(self, ws: Tensor, index: int, frames: int) -> Tensor:
        """Return ``ws`` of that network for frame ``index`` of a film of ``frames`` frames."""
        ...


@part("noise/constant")
@dataclass(frozen=True)
class ConstantNoise:
    """The noise that the network was trained with, the same in every frame."""

    moves: ClassVar[bool] = False

    def apply(self, generator: Generator) -> Generator:
        """Return the network as it is."""
        return generator

    def animate(self, ws: Tensor, index: int, frames: int) -> Tensor:
        """Return ``ws`` as they are."""
        return ws


@part("noise/off")
@dataclass(frozen=True)
class NoNoise(ConstantNoise):
    """No noise: skin becomes smooth. A network without noise stays as it is."""

    def apply(self, generator: Generator) -> Generator:
        """Set all noise of the network to zero, and return the network."""
        for module in _noisy_modules(generator):
            module.get_buffer("noise").zero_()
        return generator


@part("noise/animated")
@dataclass(frozen=True)
class AnimatedNoise:
    """Noise that changes from frame to frame at constant strength, and closes as a loop.

    Constant replacements keep the noise of the first frame.

    Args:
        turns: how many times each value of the noise goes up and down in a film.
    """

    moves: ClassVar[bool] = True
    turns: int = 60

    def __post_init__(self) -> None:
        check_int("noise.turns", self.turns, 1, 1_000_000)

    def apply(self, generator: Generator) -> Generator:
        """Return the network with noise that can turn.

        Raises:
            RequestError: the network has no noise.
        """
        if not _noisy_modules(generator):
            raise RequestError("this network has no noise to animate; use noise=constant")
        return RotatingNoise(generator)

    def animate(self, ws: Tensor, index: int, frames: int) -> Tensor:
        """Return ``ws`` with the angle of the noise in that frame."""
        return with_noise_angle(ws, 2 * math.pi * self.turns * index / frames)


def _noisy_modules(generator: Generator) -> list[nn.Module]:
    """All modules that add noise."""
    if not isinstance(generator, nn.Module):
        return []
    return [module for module in generator.modules() if hasattr(module, "noise_layer")]
