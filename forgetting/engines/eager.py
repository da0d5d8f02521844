"""Torch: the reference on the CPU, batches on a GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from forgetting.engines import PRECISIONS, Engine, Frame, to_bytes
from forgetting.engines.batched import Batched
from forgetting.engines.picture import placed
from forgetting.engines.precision import fastest
from forgetting.errors import RequestError, one_of, whole
from forgetting.generators import Edit, Generator, Synthesis
from forgetting.operators import Operator, damage
from forgetting.units import Units

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Torch:
    """Plain torch; ``float32`` on the CPU is the reference.

    Args:
        precision: ``auto`` is float32 on the CPU; on a GPU, the fastest that keeps 45 dB.
        device: ``auto`` takes a GPU where there is one.
        batch: frames that a GPU makes at once.
        fold: do the first step, which hears nothing but the face, once; without, the CPU does it for every frame.
    """

    precision: str = "float32"
    device: str = "cpu"
    batch: int = 8
    fold: bool = True

    def __post_init__(self) -> None:
        one_of("engine.precision", self.precision, ("auto", *PRECISIONS))
        one_of("engine.device", self.device, DEVICES)
        whole("engine.batch", self.batch, 1, 1024)

    @torch.inference_mode()
    def __call__(self, generator: Generator, ws: Tensor, operator: Operator, sample: Tensor) -> tuple[Engine, str]:
        device = found(self.device)
        if device == "cpu" or self.precision != "auto":
            engine = self.start(generator, ws, operator)
            return engine, f"torch in {engine.precision} on {_NAMES[device]}, as asked"
        intended = list(Torch().start(generator, ws, operator)(sample))
        tried = PRECISIONS if device == "cuda" else PRECISIONS[:2]
        engine, why = fastest(lambda p: replace(self, precision=p).start(generator, ws, operator), tried, sample, intended)
        return engine, f"torch in {engine.precision} on {_NAMES[device]}: {why}"

    @torch.inference_mode()
    def start(self, generator: Generator, ws: Tensor, operator: Operator) -> Engine:
        """The engine itself."""
        device, precision = found(self.device), "float32" if self.precision == "auto" else self.precision
        dtype, units, dead = getattr(torch, precision), Units(generator.layers), operator.bind(generator, ws)
        if (device, precision) != ("cpu", "float32"):
            dead = placed(operator, dead, generator.layers, device, dtype)
            generator = cast(Generator, cast(nn.Module, copy.deepcopy(generator)).to(device, dtype))
        synthesis = generator.bind(ws.to(device, dtype))
        if device != "cpu":
            return Batched.of(synthesis, dead, units, precision, device, self.batch)
        return Eager(synthesis.folded() if self.fold else synthesis, dead, units, precision)


_NAMES = {"cpu": "the CPU", "cuda": "the GPU", "mps": "the GPU"}


def found(device: str) -> str:
    """The device that is meant by a setting, one of ``cpu``, ``cuda``, ``mps``.

    Raises:
        RequestError: this machine does not have it.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_here in here.items() if is_here)
    if not here[device]:
        raise RequestError(
            f"there is no engine.device {device!r} on this machine; {' and '.join(name for name in here if here[name])} is here"
        )
    return device


@dataclass(frozen=True)
class Eager:
    """A bound synthesis, run as it is, frame by frame."""

    synthesis: Synthesis
    dead: Edit
    units: Units
    precision: str
    name: str = "torch"
    device: str = "cpu"

    def __call__(self, rows: Iterable[Tensor]) -> Iterator[Frame]:
        return map(self._frame, rows)

    @torch.inference_mode()
    def _frame(self, row: Tensor) -> Frame:
        image = self.synthesis(damage(self.dead, self.units, row[None].to(getattr(torch, self.precision))))
        return to_bytes(image)[0].contiguous().numpy()
