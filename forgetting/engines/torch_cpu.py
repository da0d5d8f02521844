"""Torch: the reference on the CPU, batches on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask, BoundOperator, eager_edit, recording_edit
from forgetting.engines.engine import PRECISIONS, Engine, Frame, Rendered, to_bytes
from forgetting.engines.frame_module import place_task
from forgetting.engines.precision import choose_precision
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError, check_choice, check_int
from forgetting.models.generator import Generator, Synthesis
from forgetting.models.units import PICTURE, Layer

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class TorchConfig:
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
        check_choice("engine.precision", self.precision, ("auto", *PRECISIONS))
        check_choice("engine.device", self.device, DEVICES)
        check_int("engine.batch", self.batch, 1, 1024)

    @torch.inference_mode()
    def __call__(self, scene: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        device = resolve_device(self.device)
        if device == "cpu" or self.precision != "auto":
            engine = self.start(scene)
            return engine, f"torch in {engine.precision} on {_NAMES[device]}, as asked"
        intended = list(TorchConfig().start(scene)(sample))
        tried = PRECISIONS if device == "cuda" else PRECISIONS[:2]
        engine, why = choose_precision(
            lambda p: replace(self, precision=p).start(scene), tried, sample, intended
        )
        return engine, f"torch in {engine.precision} on {_NAMES[device]}: {why}"

    @torch.inference_mode()
    def start(self, scene: AblationTask) -> Engine:
        """The engine itself."""
        device, precision = (
            resolve_device(self.device),
            "float32" if self.precision == "auto" else self.precision,
        )
        if device != "cpu":
            return TorchGPU.of(scene, precision, device, self.batch)
        generator, ws, targets = place_task(scene, device, precision)
        synthesis = None if scene.rebinds else generator.bind(ws)
        return TorchCPU(
            generator,
            ws,
            targets,
            synthesis.folded() if synthesis and self.fold else synthesis,
            precision,
            scene.mapped,
        )


_NAMES = {"cpu": "the CPU", "cuda": "the GPU", "mps": "the GPU"}


def resolve_device(device: str) -> str:
    """The device that is meant by a setting, one of ``cpu``, ``cuda``, ``mps``.

    Raises:
        RequestError: this machine does not have it.
    """
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_here in here.items() if is_here)
    if not here[device]:
        raise RequestError(
            f"there is no engine.device {device!r} on this machine; {' and '.join(name for name in here if here[name])} is here"
        )
    return device


@dataclass(frozen=True)
class TorchCPU:
    """A network run as it is, frame by frame: on a ``synthesis`` that is bound already, or bound anew for every frame."""

    generator: Generator
    ws: Tensor
    targets: list[BoundOperator]
    synthesis: Synthesis | None
    precision: str
    layers: tuple[Layer, ...] = ()
    name: str = "torch"
    device: str = "cpu"

    def __call__(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Frame]:
        return (frame for frame, _ in self.shots(rows, faces))

    def shots(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Rendered]:
        return map(self._shot, rows, repeat(self.ws) if faces is None else faces)

    @torch.inference_mode()
    def _shot(self, row: Tensor, ws: Tensor) -> Rendered:
        dtype = getattr(torch, self.precision)
        edit, levels = recording_edit(eager_edit(self.targets, row[None].to(dtype)), self.layers)
        synthesis = self.synthesis or self.generator.bind(ws.to(dtype), edit)
        frame = to_bytes(edit(synthesis(edit), PICTURE))[0].contiguous().numpy()
        return frame, next((level[0].numpy() for level in levels()), None)
