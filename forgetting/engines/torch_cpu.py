"""Plain torch: the reference on the CPU. It also starts the engine for a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask, BoundOperator, eager_edit, recording_edit
from forgetting.engines.engine import PRECISIONS, Engine, FrameRequest, Rendered
from forgetting.engines.frame_module import place_task
from forgetting.engines.pixels import to_bytes
from forgetting.engines.precision import choose_precision
from forgetting.engines.processor import fast_precisions
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError, check_choice, check_int
from forgetting.models.generator import Generator, Synthesis, edited_picture
from forgetting.parts import part

DEVICES = ("auto", "cpu", "cuda", "mps")


@part("engine/torch")
@dataclass(frozen=True)
class TorchConfig:
    """Plain torch; ``float32`` on the CPU is the reference.

    Args:
        precision: ``auto`` is float32 on the CPU; on a GPU, a lower one where it has instructions
            for it, the network is large, and frames of the film itself keep 45 dB.
        device: ``auto`` takes a GPU where there is one.
        batch: frames that a GPU renders at once.
        fold: compute the first step once, because it depends on the face alone; otherwise the CPU
            computes it for every frame.
    """

    precision: str = "float32"
    device: str = "auto"
    batch: int = 8
    fold: bool = True

    def __post_init__(self) -> None:
        check_choice("engine.precision", self.precision, ("auto", *PRECISIONS))
        check_choice("engine.device", self.device, DEVICES)
        check_int("engine.batch", self.batch, 1, 1024)

    @torch.inference_mode()
    def choose(self, task: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Start for a task; ``precision=auto`` measures errors on the ``sample`` [N, R]."""
        device = resolve_device(self.device)
        if device == "cpu" or self.precision != "auto":
            engine = self.start(task)
            return engine, f"torch in {engine.precision} on {_NAMES[device]}, as requested"
        engine, why = choose_precision(
            lambda precision: replace(self, precision=precision).start(task),
            fast_precisions(device),
            device,
            REFERENCE.start(task),
            sample,
        )
        return engine, f"torch in {engine.precision} on {_NAMES[device]}: {why}"

    @torch.inference_mode()
    def start(self, task: AblationTask) -> Engine:
        """Start for a task; ``precision=auto`` means float32."""
        device = resolve_device(self.device)
        precision = "float32" if self.precision == "auto" else self.precision
        if device != "cpu":
            return TorchGPU.start(task, precision, device, self.batch)
        generator, ws, bound = place_task(task, device, precision)
        synthesis = None if task.rebinds else generator.bind(ws)
        if synthesis and self.fold:
            synthesis = synthesis.folded()
        return TorchCPU(task, generator, ws, bound, synthesis, precision)


REFERENCE = TorchConfig(precision="float32", device="cpu")
"""What all other engines are compared with."""

_NAMES = {"cpu": "the CPU", "cuda": "the GPU", "mps": "the GPU"}


def resolve_device(device: str) -> str:
    """Return the device that a setting means: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        RequestError: this machine does not have it.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_available in available.items() if is_available)
    if not available[device]:
        names = " and ".join(name for name in available if available[name])
        raise RequestError(f"this machine has no engine.device {device!r}; it has {names}")
    return device


@dataclass(frozen=True)
class TorchCPU:
    """A network that runs frame by frame on the CPU.

    ``synthesis`` is the bound face, or None where every frame binds its own.
    """

    task: AblationTask
    generator: Generator
    ws: Tensor
    bound: list[BoundOperator]
    synthesis: Synthesis | None
    precision: str
    name: str = "torch"
    device: str = "cpu"

    def versions(self) -> Mapping[str, str]:
        """Return no versions besides those that every recipe holds."""
        return {}

    @property
    def makes_planes(self) -> bool:
        """Never: it makes RGB."""
        return False

    def skipping(self, dead: Tensor) -> TorchCPU:
        """Return the same engine: it computes everything."""
        return self

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames one by one."""
        return map(self._render, requests)

    @torch.inference_mode()
    def _render(self, request: FrameRequest) -> Rendered:
        dtype = getattr(torch, self.precision)
        edit, recorded = eager_edit(self.bound, request.row[None].to(dtype)), None
        if request.outputs.activity:
            edit, recorded = recording_edit(edit, self.task.recorded_layers, self.task.areas)
        ws = self.ws if request.ws is None else request.ws.to(dtype)
        synthesis = self.synthesis or self.generator.bind(ws, edit)
        frame = to_bytes(edited_picture(synthesis, edit))[0].contiguous().numpy()
        return Rendered(frame, activity=recorded()[0].float().numpy() if recorded else None)
