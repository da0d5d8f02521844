"""Torch on a GPU: batches of frames, one launch a batch, and copies that run beside the next batch.

The last batch of a film is filled up, so that every frame comes out of the same kernels.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice

import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, traceable_edit
from forgetting.engines.engine import FrameRequest, Rendered
from forgetting.engines.frame_module import FrameModule, PerFrameModule, picture_bytes, place_task
from forgetting.engines.prefix_reuse import ResumePoint, truncate_prefix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TorchGPU:
    """A network that runs batch by batch on a GPU.

    ``run_of(records)`` turns rows [B, R] on the host into frames [B, H, W, 3] uint8 on the device,
    always ``batch`` of them, and into activity [B, M, A, A] if it records. Where every frame has a
    face of its own, it takes faces [B, L, W] too, and ``ws`` is used for requests without one.
    """

    task: AblationTask
    run_of: Callable[[bool], Callable[..., tuple[Tensor, ...]]]
    ws: Tensor | None
    precision: str
    device: str
    batch: int
    name: str = "torch"

    @staticmethod
    @torch.inference_mode()
    def start(task: AblationTask, precision: str, device: str, batch: int) -> TorchGPU:
        """Bring a task to the device; the first step of a face that stays is computed here, once.

        Where the face is bound anew for every frame, single weights may be ablated, which are the
        same for a whole batch; a batch is one frame then.
        """
        generator, ws, bound = place_task(task, device, precision)
        dtype, memory = getattr(torch, precision), torch.contiguous_format
        if precision != "float32":
            memory = torch.channels_last  # the layout that tensor cores read
        if any(layer.kind == "weights" for units, _ in bound for layer in units.layers):
            batch = 1
        inputs = [torch.zeros(batch, len(task), dtype=dtype, device=device)]
        if task.rebinds:
            inputs.append(ws.expand(batch, -1, -1).clone())
        else:
            synthesis = truncate_prefix(generator.bind(ws), bound[0][1], ResumePoint(0), memory)

        @cache
        def run_of(records: bool) -> Callable[..., tuple[Tensor, ...]]:
            layers = task.recorded_layers if records else ()
            module: nn.Module
            edit_of = partial(traceable_edit, bound)
            if task.rebinds:
                module = PerFrameModule(
                    edit_of, generator, picture_bytes, layers, task.areas
                ).eval()
            else:
                module = FrameModule(edit_of, synthesis, picture_bytes, layers, task.areas).eval()
            if device == "cuda":
                try:
                    return _captured(module, inputs)
                except RuntimeError as error:
                    reason = str(error).splitlines()[0]
                    log.info("the GPU runs step by step, without a CUDA graph: %s", reason)

            def run_eagerly(*host: Tensor) -> tuple[Tensor, ...]:
                with _exact_and_repeatable():
                    outputs: tuple[Tensor, ...] = module(*(x.to(device, dtype) for x in host))
                return outputs

            return run_eagerly

        run_of(False)
        still = ws if task.rebinds else None
        return TorchGPU(task, run_of, still, precision, device, batch)

    def versions(self) -> Mapping[str, str]:
        """Return no versions besides those that every recipe holds."""
        return {}

    @property
    def makes_planes(self) -> bool:
        """Never: it makes RGB."""
        return False

    def skipping(self, dead: Tensor) -> TorchGPU:
        """Return the same engine: it computes everything."""
        return self

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames in batches; one batch is copied to the host while the next one runs."""
        requests, in_flight = iter(requests), deque[tuple[int, list[Tensor], Callable[[], None]]]()
        while chunk := list(islice(requests, self.batch)):
            in_flight.append((len(chunk), *self._launch(chunk)))
            if len(in_flight) > 1:
                yield from _collect(*in_flight.popleft())
        while in_flight:
            yield from _collect(*in_flight.popleft())

    @torch.inference_mode()
    def _launch(self, chunk: list[FrameRequest]) -> tuple[list[Tensor], Callable[[], None]]:
        """Start a batch; return the host tensors it is copied to, and how to wait for them."""
        chunk = chunk + chunk[-1:] * (self.batch - len(chunk))
        run = self.run_of(any(request.outputs.activity for request in chunk))
        inputs = [torch.stack([request.row for request in chunk])]
        if self.ws is not None:
            still = self.ws.cpu()
            faces = [still if request.ws is None else request.ws for request in chunk]
            inputs.append(torch.cat(faces))
        outputs = run(*inputs)
        if self.device != "cuda":
            return [output.cpu() for output in outputs], lambda: None
        hosts = [
            torch.empty(output.shape, dtype=output.dtype, pin_memory=True) for output in outputs
        ]
        for host, output in zip(hosts, outputs, strict=True):
            host.copy_(output, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return hosts, event.synchronize


def _exact_and_repeatable() -> AbstractContextManager[None]:
    """Set how cuDNN computes while a network runs.

    Without TF32: float32 means float32, 16 bits are a setting of their own. Algorithms are those
    that give the same result each time, and are not chosen by how long each takes at the moment.
    """
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def _collect(count: int, hosts: list[Tensor], wait: Callable[[], None]) -> Iterator[Rendered]:
    wait()
    frames, *activity = ([*host[:count].contiguous().numpy()] for host in hosts)
    for frame, levels in zip(frames, activity[0] if activity else [None] * count, strict=True):
        yield Rendered(frame, activity=levels)


def _captured(module: nn.Module, inputs: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Capture ``module`` as one CUDA graph.

    A frame is some hundred small kernels, and each launch costs.

    See "CUDA Graphs" in PyTorch's notes: warm up on a side stream, capture, replay on the same
    memory.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with _exact_and_repeatable():
        with torch.cuda.stream(stream):
            for _ in range(3):
                module(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            outputs = tuple(output.contiguous() for output in module(*inputs))

    def run(*hosts: Tensor) -> tuple[Tensor, ...]:
        for device_input, host in zip(inputs, hosts, strict=True):
            device_input.copy_(host.to(device_input.dtype).pin_memory(), non_blocking=True)
        graph.replay()
        return outputs

    return run
