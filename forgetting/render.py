"""Plan -> frames: the only file that runs a network over time.

The way of one frame: a row of the plan becomes an edit, the bound synthesis runs under it, and the picture becomes
bytes. A frame never looks at another, so any frame can be had alone and equals the same frame of the film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.errors import RequestError
from forgetting.generators import Generator
from forgetting.operators import Operator, damage
from forgetting.plan import Plan

Frame = NDArray[np.uint8]
"""[H, W, 3], RGB."""


@torch.inference_mode()
def renderer(generator: Generator, ws: Tensor, plan: Plan, operator: Operator) -> Callable[[int], Frame]:
    """The function from a frame's index to the frame, for the one face ``ws`` [1, L, W]."""
    if len(ws) != 1:
        raise RequestError(f"a film shows one face, got ws for {len(ws)}")
    plan.check(generator)
    synthesis, dead, units = generator.bind(ws), operator.bind(generator, ws), plan.units

    @torch.inference_mode()
    def frame(index: int) -> Frame:
        if not 0 <= index < len(plan):
            raise RequestError(f"there is no frame {index}; the plan has frames 0-{len(plan) - 1}")
        return to_bytes(synthesis(damage(dead, units, plan.ablation[index, None])))

    return frame


def frames(generator: Generator, ws: Tensor, plan: Plan, operator: Operator, indices: Iterable[int] | None = None) -> Iterator[Frame]:
    """The frames of a plan, all of them or those of ``indices``, one at a time."""
    return map(renderer(generator, ws, plan, operator), range(len(plan)) if indices is None else indices)


def to_bytes(image: Tensor) -> Frame:
    """[1, 3, H, W], nominally in [-1, 1] -> [H, W, 3] uint8."""
    # Rounded to bytes first: what is transposed is then a quarter of the size.
    image = ((image[0].clamp(-1, 1) + 1) * 127.5).round_().to(torch.uint8)
    return image.permute(1, 2, 0).contiguous().numpy()


def from_bytes(frame: Frame) -> Tensor:
    """[H, W, 3] uint8 -> [1, 3, H, W] in [-1, 1], up to rounding the inverse of :func:`to_bytes`."""
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
