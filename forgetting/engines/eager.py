"""Torch: the reference on the CPU, batches on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor

from forgetting.engines import PRECISIONS, Engine, Frame, Shot, to_bytes
from forgetting.engines.batched import Batched
from forgetting.engines.picture import placed
from forgetting.engines.precision import fastest
from forgetting.errors import RequestError, one_of, whole
from forgetting.generators import Generator, Synthesis
from forgetting.scene import Scene, Turned, damage, heard
from forgetting.units import PICTURE, Layer

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
    def __call__(self, scene: Scene, sample: Tensor) -> tuple[Engine, str]:
        device = found(self.device)
        if device == "cpu" or self.precision != "auto":
            engine = self.start(scene)
            return engine, f"torch in {engine.precision} on {_NAMES[device]}, as asked"
        intended = list(Torch().start(scene)(sample))
        tried = PRECISIONS if device == "cuda" else PRECISIONS[:2]
        engine, why = fastest(lambda p: replace(self, precision=p).start(scene), tried, sample, intended)
        return engine, f"torch in {engine.precision} on {_NAMES[device]}: {why}"

    @torch.inference_mode()
    def start(self, scene: Scene) -> Engine:
        """The engine itself."""
        device, precision = found(self.device), "float32" if self.precision == "auto" else self.precision
        if device != "cpu":
            return Batched.of(scene, precision, device, self.batch)
        generator, ws, knobs = placed(scene, device, precision)
        synthesis = None if scene.bound_anew else generator.bind(ws)
        return Eager(generator, ws, knobs, synthesis.folded() if synthesis and self.fold else synthesis, precision, scene.mapped)


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
    """A network run as it is, frame by frame: on a ``synthesis`` that is bound already, or bound anew for every frame."""

    generator: Generator
    ws: Tensor
    knobs: list[Turned]
    synthesis: Synthesis | None
    precision: str
    layers: tuple[Layer, ...] = ()
    name: str = "torch"
    device: str = "cpu"

    def __call__(self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None) -> Iterator[Frame]:
        return (frame for frame, _ in self.shots(rows, faces))

    def shots(self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None) -> Iterator[Shot]:
        return map(self._shot, rows, repeat(self.ws) if faces is None else faces)

    @torch.inference_mode()
    def _shot(self, row: Tensor, ws: Tensor) -> Shot:
        dtype = getattr(torch, self.precision)
        edit, levels = heard(damage(self.knobs, row[None].to(dtype)), self.layers)
        synthesis = self.synthesis or self.generator.bind(ws.to(dtype), edit)
        frame = to_bytes(edit(synthesis(edit), PICTURE))[0].contiguous().numpy()
        return frame, next((level[0].numpy() for level in levels()), None)
