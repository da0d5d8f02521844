"""What the noise does that a StyleGAN adds to its maps: skin and hair are drawn from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from forgetting.errors import RequestError, check_int
from forgetting.models.generator import Generator
from forgetting.models.wrappers import RotatingNoise, with_noise_angle
from forgetting.parts import part


class NoiseMode(Protocol):
    @property
    def moves(self) -> bool:
        """Whether it is another one in every frame."""
        ...

    def __call__(self, generator: Generator) -> Generator:
        """A network whose noise does that; may change the one it is given."""
        ...

    def at(self, ws: Tensor, index: int, frames: int) -> Tensor:
        """Faces of that network as they are in a frame of a film of so many frames."""
        ...


@part("noise/constant")
@dataclass(frozen=True)
class ConstantNoise:
    """The same in every frame, as the network was trained."""

    moves = False

    def __call__(self, generator: Generator) -> Generator:
        return generator

    def at(self, ws: Tensor, index: int, frames: int) -> Tensor:
        return ws


@part("noise/off")
@dataclass(frozen=True)
class NoNoise(ConstantNoise):
    """None at all: skin becomes smooth. A network that has no noise stays as it is."""

    def __call__(self, generator: Generator) -> Generator:
        for module in _noisy(generator):
            module.get_buffer("noise").zero_()
        return generator


@part("noise/animated")
@dataclass(frozen=True)
class AnimatedNoise:
    """It simmers, as strong as ever: every grain goes up and down ``turns`` times in a film, which closes as a loop.

    What operators say in place of the dead keeps the noise of the first frame.
    """

    moves = True
    turns: int = 60

    def __post_init__(self) -> None:
        check_int("noise.turns", self.turns, 1, 1_000_000)

    def __call__(self, generator: Generator) -> Generator:
        if not _noisy(generator):
            raise RequestError(
                "this network has no noise that could be animated; take noise=constant"
            )
        return RotatingNoise(generator)

    def at(self, ws: Tensor, index: int, frames: int) -> Tensor:
        return with_noise_angle(ws, 2 * math.pi * self.turns * index / frames)


def _noisy(generator: Generator) -> list[nn.Module]:
    """The modules that add noise: those with a ``grain``, the layer under which edits are shown it."""
    return (
        [module for module in generator.modules() if hasattr(module, "grain")]
        if isinstance(generator, nn.Module)
        else []
    )
