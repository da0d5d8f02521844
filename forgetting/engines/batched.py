"""Torch on a GPU: batches of frames of one face, one launch a batch, and copies that run beside the next batch.

The last batch of a film is filled up, so that every frame comes out of the same kernels.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from forgetting.engines import Frame
from forgetting.engines.beginning import Beginning, begin
from forgetting.engines.picture import Picture
from forgetting.generators import Edit, Synthesis
from forgetting.units import Units

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batched:
    """``run`` turns rows [B, U] on the host into frames [B, H, W, 3] uint8 on the device, always ``batch`` of them."""

    run: Callable[[Tensor], Tensor]
    precision: str
    device: str
    batch: int
    name: str = "torch"

    @staticmethod
    @torch.inference_mode()
    def of(synthesis: Synthesis, dead: Edit, units: Units, precision: str, device: str, batch: int) -> Batched:
        """Make ready a synthesis that is already on the device; its first step is done here, once."""
        dtype, memory = getattr(torch, precision), torch.contiguous_format
        if precision != "float32":
            memory = torch.channels_last  # what tensor cores read
        picture = Picture(units, dead, begin(synthesis, dead, Beginning(0), memory)).eval()
        if device == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # float32 means float32; 16 bits are a setting of their own
            try:
                return Batched(_captured(picture, torch.zeros(batch, len(units), dtype=dtype, device=device)), precision, device, batch)
            except RuntimeError as error:
                log.info("the GPU runs step by step: %s", str(error).splitlines()[0])
        return Batched(lambda rows: picture(rows.to(device, dtype)), precision, device, batch)

    def __call__(self, rows: Iterable[Tensor]) -> Iterator[Frame]:
        rows, flying = iter(rows), deque[tuple[int, Tensor, Callable[[], None]]]()
        while chunk := list(islice(rows, self.batch)):
            flying.append((len(chunk), *self._launch(chunk)))
            if len(flying) > 1:
                yield from _landed(*flying.popleft())
        while flying:
            yield from _landed(*flying.popleft())

    @torch.inference_mode()
    def _launch(self, chunk: list[Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Start a batch; returns where its frames will be on the host, and how to wait for them."""
        rows = torch.stack(chunk + chunk[-1:] * (self.batch - len(chunk)))
        if self.device != "cuda":
            return self.run(rows).cpu(), lambda: None
        frames = self.run(rows)
        host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
        host.copy_(frames, non_blocking=True)
        there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        there.record()
        return host, there.synchronize


def _landed(count: int, frames: Tensor, wait: Callable[[], None]) -> Iterator[Frame]:
    wait()
    yield from frames[:count].contiguous().numpy()


def _captured(picture: Picture, rows: Tensor) -> Callable[[Tensor], Tensor]:
    """``picture`` as one CUDA graph: a frame of these networks is some hundred small kernels, and starting each costs.

    See "CUDA Graphs" in PyTorch's notes: warm up on a stream of its own, capture, replay on the same memory.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            picture(rows)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        frames: Tensor = picture(rows).contiguous()

    def run(host: Tensor) -> Tensor:
        rows.copy_(host.to(rows.dtype).pin_memory(), non_blocking=True)
        graph.replay()
        return frames

    return run
