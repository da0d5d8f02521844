"""Where faces come from: latents make ``ws``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting import errors
from forgetting.errors import RequestError, whole, within
from forgetting.generators import Generator


class Latent(Protocol):
    def __call__(self, generator: Generator) -> Tensor:
        """``ws`` [1, L, W]."""
        ...


@dataclass(frozen=True)
class Seed:
    """The face that everybody means by this seed: ``numpy.random.RandomState(seed).randn(1, z_dim)``.

    ``psi`` draws it towards the average face: 1 is as the network was trained, 0 the average itself. ``label`` is the
    class that a conditional network is asked for, its first where nothing is said.
    """

    seed: int = 10
    psi: float = 0.7
    label: int | None = None

    def __post_init__(self) -> None:
        errors.seed("latent.seed", self.seed)
        within("latent.psi", self.psi, -2.0, 2.0)
        if self.label is not None:
            whole("latent.label", self.label, 0, 2**31)

    @torch.inference_mode()
    def __call__(self, generator: Generator) -> Tensor:
        z = np.random.RandomState(self.seed).randn(1, generator.z_dim)
        return generator.mapping(torch.from_numpy(z).float(), self.psi, one_hot(generator, self.label))


def one_hot(generator: Generator, label: int | None) -> Tensor | None:
    """[1, labels]: the class ``label``, the first where nothing is said; None for a network without classes."""
    if not generator.labels:
        if label:
            raise RequestError(f"this generator has no classes; leave out latent.label, got {label}")
        return None
    whole("latent.label", label or 0, 0, generator.labels - 1)
    return F.one_hot(torch.tensor([label or 0]), generator.labels).float()
