"""What runs the network: rows of ablation in, frames out.

An engine is started once for a scene and then called with rows of a plan. ``torch`` in float32 on the CPU is the
reference that every other is compared with; ``openvino`` is compiled from the very same torch module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.models.activity import Activity

PRECISIONS = ("float32", "float16", "bfloat16")

Frame = NDArray[np.uint8]
"""[H, W, 3], RGB."""


Rendered = tuple[Frame, Activity | None]


class EngineInfo(Protocol):
    """What runs a network, and how."""

    @property
    def name(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...


class Engine(EngineInfo, Protocol):
    """A scene, ready to be filmed."""

    def __call__(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Frame]:
        """Ablation [R] in [0, 1], row by row -> the frames, in order; a frame depends on its own row and face alone.

        ``faces`` are the faces [1, L, W] of a scene that moves, one for every row; without, it is the scene's own. Rows are
        taken as they are needed, a batch ahead at most, so that endless films need no memory.
        """
        ...

    def shots(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Rendered]:
        """The same, each with what the cells of the memory map say, [M], if the scene listens."""
        ...


class EngineConfig(Protocol):
    """The settings of an engine."""

    def __call__(self, scene: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Start for a scene; ``sample`` [N, R] are some rows of the film to come, to choose by.

        Returns the engine and a sentence that says which it is and why.
        """
        ...


def to_bytes(image: Tensor) -> Tensor:
    """[B, C, H, W], nominally in [-1, 1] -> [B, H, W, 3] uint8; fewer than three channels are grey, others ignored."""
    image = image[:, :3] if image.shape[1] >= 3 else image[:, :1]
    # Rounded to bytes first: what is transposed is then a quarter of the size.
    image = ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return image.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)


def from_bytes(frame: Frame) -> Tensor:
    """[H, W, 3] uint8 -> [1, 3, H, W] in [-1, 1], up to rounding the inverse of :func:`to_bytes`."""
    return (
        torch.from_numpy(np.require(frame, requirements="W")).permute(2, 0, 1)[None].float() / 127.5
        - 1
    )


def psnr(frames: Iterable[Frame], reference: Sequence[Frame]) -> float:
    """Peak signal-to-noise ratio in dB of the worst of the frames; infinite where they are equal."""
    errors = [
        float(np.square(a.astype(np.float32) - b).mean())
        for a, b in zip(frames, reference, strict=True)
    ]
    return float("inf") if max(errors) == 0 else float(10 * np.log10(255**2 / max(errors)))
