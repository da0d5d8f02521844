"""Where faces come from: latents make ``ws``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting import errors
from forgetting.errors import within
from forgetting.generators import Generator


class Latent(Protocol):
    def __call__(self, generator: Generator) -> Tensor:
        """``ws`` [1, L, W]."""
        ...


@dataclass(frozen=True)
class Seed:
    """The face that everybody means by this seed: ``numpy.random.RandomState(seed).randn(1, z_dim)``.

    ``psi`` draws it towards the average face: 1 is as the network was trained, 0 the average itself.
    """

    seed: int = 10
    psi: float = 0.7

    def __post_init__(self) -> None:
        errors.seed("latent.seed", self.seed)
        within("latent.psi", self.psi, -2.0, 2.0)

    @torch.inference_mode()
    def __call__(self, generator: Generator) -> Tensor:
        z = np.random.RandomState(self.seed).randn(1, generator.z_dim)
        return generator.mapping(torch.from_numpy(z).float(), self.psi)
