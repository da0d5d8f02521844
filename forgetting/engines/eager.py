"""The reference: torch, step by step, every operator, every architecture."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from forgetting.engines import PRECISIONS, Engine, Frame, to_bytes
from forgetting.errors import one_of
from forgetting.generators import Edit, Generator, Synthesis
from forgetting.operators import Operator, damage
from forgetting.units import Units


@dataclass(frozen=True)
class Torch:
    """Plain torch; ``float32`` is the reference."""

    precision: str = "float32"

    def __post_init__(self) -> None:
        one_of("engine.precision", self.precision, PRECISIONS)

    def __call__(self, generator: Generator, ws: Tensor, operator: Operator, sample: Tensor) -> tuple[Engine, str]:
        return self.start(generator, ws, operator), f"torch in {self.precision}, as asked"

    @torch.inference_mode()
    def start(self, generator: Generator, ws: Tensor, operator: Operator) -> Eager:
        """The engine itself."""
        dtype = getattr(torch, self.precision)
        dead = operator.bind(generator, ws)
        if dtype != torch.float32:
            generator = cast(Generator, cast(nn.Module, copy.deepcopy(generator)).to(dtype))
            exact = dead
            dead = lambda x, layer: exact(x, layer).to(dtype)  # noqa: E731
        return Eager(generator.bind(ws.to(dtype)).folded(), dead, Units(generator.layers), self.precision)


@dataclass(frozen=True)
class Eager:
    """A bound synthesis, run as it is."""

    synthesis: Synthesis
    dead: Edit
    units: Units
    precision: str
    name: str = "torch"

    @torch.inference_mode()
    def __call__(self, row: Tensor) -> Frame:
        rows = row[None].to(getattr(torch, self.precision))
        image = self.synthesis(damage(self.dead, self.units, rows))
        return to_bytes(image.float())[0].contiguous().numpy()
