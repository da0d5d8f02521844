"""Torch on a GPU: batches of frames of one face, one launch a batch, and copies that run beside the next batch.

The last batch of a film is filled up, so that every frame comes out of the same kernels.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask
from forgetting.engines.engine import Frame, Rendered
from forgetting.engines.frame_module import FrameModule, PerFrameModule, place_task
from forgetting.engines.prefix_reuse import ResumePoint, truncate_prefix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TorchGPU:
    """``run`` turns rows [B, R] on the host into frames [B, H, W, 3] uint8 on the device, always ``batch`` of them, and
    into levels [B, M] if the scene listens.

    Where every frame has a face of its own, ``run`` takes faces [B, L, W] too, and ``still`` is the one that stays where none are given.
    """

    run: Callable[..., tuple[Tensor, ...]]
    still: Tensor | None
    precision: str
    device: str
    batch: int
    name: str = "torch"

    @staticmethod
    @torch.inference_mode()
    def of(scene: AblationTask, precision: str, device: str, batch: int) -> TorchGPU:
        """Bring a scene to the device; the first step of a face that stays is done here, once.

        Where the face is bound anew for every frame, synapses may die, which are the same for a whole batch: of one frame, then.
        """
        generator, ws, targets = place_task(scene, device, precision)
        dtype, memory = getattr(torch, precision), torch.contiguous_format
        if precision != "float32":
            memory = torch.channels_last  # what tensor cores read
        if any(layer.kind == "weights" for units, _ in targets for layer in units.layers):
            batch = 1
        given = [torch.zeros(batch, len(scene), dtype=dtype, device=device)]
        if scene.rebinds:
            picture: nn.Module = PerFrameModule(targets, generator, scene.mapped).eval()
            given.append(ws.expand(batch, -1, -1).clone())
        else:
            picture = FrameModule(
                targets,
                truncate_prefix(generator.bind(ws), targets[0][1], ResumePoint(0), memory),
                scene.mapped,
            ).eval()
        still = ws if scene.rebinds else None
        if device == "cuda":
            torch.backends.cudnn.allow_tf32 = (
                False  # float32 means float32; 16 bits are a setting of their own
            )
            try:
                return TorchGPU(_captured(picture, given), still, precision, device, batch)
            except RuntimeError as error:
                log.info("the GPU runs step by step: %s", str(error).splitlines()[0])
        return TorchGPU(
            lambda *host: picture(*(x.to(device, dtype) for x in host)),
            still,
            precision,
            device,
            batch,
        )

    def __call__(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Frame]:
        return (frame for frame, _ in self.shots(rows, faces))

    def shots(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Rendered]:
        moments: Iterator[tuple[Tensor, ...]] = ((row,) for row in rows)
        if self.still is not None:
            moments = zip(rows, repeat(self.still.cpu()) if faces is None else faces, strict=False)
        flying = deque[tuple[int, list[Tensor], Callable[[], None]]]()
        while chunk := list(islice(moments, self.batch)):
            flying.append((len(chunk), *self._launch(chunk)))
            if len(flying) > 1:
                yield from _landed(*flying.popleft())
        while flying:
            yield from _landed(*flying.popleft())

    @torch.inference_mode()
    def _launch(self, chunk: list[tuple[Tensor, ...]]) -> tuple[list[Tensor], Callable[[], None]]:
        """Start a batch; returns where what it makes will be on the host, and how to wait for it."""
        rows, *faces = zip(*chunk + chunk[-1:] * (self.batch - len(chunk)), strict=True)
        given = [torch.stack(rows), *(torch.cat(ws) for ws in faces)]
        made = self.run(*given)
        if self.device != "cuda":
            return [one.cpu() for one in made], lambda: None
        hosts = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in made]
        for host, one in zip(hosts, made, strict=True):
            host.copy_(one, non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record()
        return hosts, there.synchronize


def _landed(count: int, made: list[Tensor], wait: Callable[[], None]) -> Iterator[Rendered]:
    wait()
    frames, *levels = ([*one[:count].contiguous().numpy()] for one in made)
    yield from zip(frames, levels[0] if levels else [None] * count, strict=True)


def _captured(picture: nn.Module, given: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """``picture`` as one CUDA graph: a frame of these networks is some hundred small kernels, and starting each costs.

    See "CUDA Graphs" in PyTorch's notes: warm up on a stream of its own, capture, replay on the same memory.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            picture(*given)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = tuple(one.contiguous() for one in picture(*given))

    def run(*hosts: Tensor) -> tuple[Tensor, ...]:
        for there, host in zip(given, hosts, strict=True):
            there.copy_(host.to(there.dtype).pin_memory(), non_blocking=True)
        graph.replay()
        return made

    return run
