"""The contract of engines: rows of ablation in, frames of bytes out.

An engine is started once for an ablation task and then renders rows of a plan. ``torch`` in
float32 on the CPU is the reference that all others are compared with; the other engines run the
same network as one torch module that is traced, captured or batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.models.activity import Activity

PRECISIONS = ("float32", "float16", "bfloat16")

Frame = NDArray[np.uint8]
"""[H, W, 3], RGB; finished frames of a film with an alpha channel are [H, W, 4]."""


class FrameRequest(NamedTuple):
    """A frame to render: its row [R] in [0, 1] and, where the face moves, its face [1, L, W]."""

    row: Tensor
    ws: Tensor | None = None


class Rendered(NamedTuple):
    """A frame, and the activity [M] of the memory map's cells if the engine records it."""

    frame: Frame
    activity: Activity | None = None


class EngineInfo(Protocol):
    """What rendered a film, as its recipe records it."""

    @property
    def name(self) -> str:
        """The engine's name in the registry: ``torch`` is the part ``engine/torch``."""
        ...

    @property
    def precision(self) -> str:
        """One of ``PRECISIONS``."""
        ...

    @property
    def device(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions of packages that its frames depend on, besides torch's."""
        ...


class Engine(EngineInfo, Protocol):
    """An engine that was started for a task."""

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames in the order of the requests.

        A frame depends on its own request alone. Requests are taken as they are needed, at most a
        batch ahead, so that films of any length need no more memory than short ones.
        """
        ...

    def recorder(self) -> Engine:
        """Return the same engine for the same task, which also records the activity of cells."""
        ...


class EngineConfig(Protocol):
    """The settings of an engine."""

    def choose(self, task: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Start an engine for a task.

        Args:
            task: what is rendered.
            sample: some rows [N, R] of the film, on which precisions are compared.

        Returns:
            The engine, and a sentence about which one was chosen and why.
        """
        ...


def render_rows(engine: Engine, rows: Iterable[Tensor]) -> Iterator[Frame]:
    """Render rows [R] of ablation of the task's own face."""
    return (rendered.frame for rendered in engine.render(FrameRequest(row) for row in rows))


def to_bytes(image: Tensor) -> Tensor:
    """Convert [B, C, H, W], nominally in [-1, 1], to [B, H, W, 3] uint8.

    Pictures of fewer than three channels become grey; channels beyond the third are ignored.
    """
    image = image[:, :3] if image.shape[1] >= 3 else image[:, :1]
    # Rounded to bytes first: the transposed copy is then a quarter of the size.
    image = ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return image.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)


def from_bytes(frame: Frame) -> Tensor:
    """Convert [H, W, 3] uint8 to [1, 3, H, W] in [-1, 1].

    This is the inverse of :func:`to_bytes` up to rounding.
    """
    image = torch.from_numpy(np.require(frame, requirements="W")).permute(2, 0, 1)[None]
    return image.float() / 127.5 - 1


def psnr(frames: Iterable[Frame], reference: Sequence[Frame]) -> float:
    """Return the peak signal-to-noise ratio in dB of the worst frame.

    It is infinite where all frames are equal.
    """
    errors = [
        float(np.square(a.astype(np.float32) - b).mean())
        for a, b in zip(frames, reference, strict=True)
    ]
    return float("inf") if max(errors) == 0 else float(10 * np.log10(255**2 / max(errors)))
