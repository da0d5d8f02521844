"""Where things in a film go from one frame to the next: dense inverse search (Kroeger et al. 2016), by OpenCV."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dependencies import import_extra
from forgetting.engines.engine import Frame, to_bytes

LARGEST = 480
"""Pixels of the shorter side in which motion is looked for: finer motion than that is not seen in what is carried along."""

LOST = 1.5
"""Pixels by which somebody who goes there and back again may miss the place: whoever misses it by more was covered."""


def warp_detail(detail: Tensor, before: Tensor, now: Tensor) -> Tensor:
    """A detail [1, C, H, W] of the frame ``before`` [1, 3, H, W], gone where things have gone in the one ``now``; what was covered
    there has none.

    Raises:
        RequestError: OpenCV is not installed.
    """
    back, forth = _flow(now, before).to(detail), _flow(before, now).to(detail)
    was = _grid(back)
    # What is here now went from where it was; somebody who was covered comes from somewhere else.
    missed = (
        back
        + F.grid_sample(forth, was, mode="bilinear", padding_mode="border", align_corners=False)
    ).norm(dim=1, keepdim=True)
    here: Tensor = (1 - (missed - LOST) / LOST).clamp(0, 1)
    there: Tensor = F.grid_sample(
        detail, was, mode="bicubic", padding_mode="zeros", align_corners=False
    )
    return there * here


def _flow(one: Tensor, other: Tensor) -> Tensor:
    """[1, 2, H, W]: where everything in ``one`` is in ``other``, in pixels to the right and down."""
    cv2 = import_extra("cv2", "dream")
    high, wide = one.shape[2:]
    scale = min(1.0, LARGEST / min(high, wide))
    small = max(16, round(scale * high)), max(16, round(scale * wide))
    seen = [cv2.cvtColor(_small(frame, small), cv2.COLOR_RGB2GRAY) for frame in (one, other)]
    found = torch.from_numpy(
        cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(*seen, None)
    )
    flow: Tensor = F.interpolate(
        found.permute(2, 0, 1)[None], (high, wide), mode="bilinear", align_corners=False
    )
    pixels = torch.tensor([wide / small[1], high / small[0]])
    return flow * pixels.view(1, 2, 1, 1)


def _small(frame: Tensor, size: tuple[int, int]) -> Frame:
    return to_bytes(F.interpolate(frame.cpu(), size, mode="area"))[0].contiguous().numpy()


def _grid(flow: Tensor) -> Tensor:
    """[1, 2, H, W] in pixels -> [1, H, W, 2], places to look at from -1 to 1."""
    high, wide = flow.shape[2:]
    whole = F.affine_grid(torch.eye(2, 3).to(flow)[None], [1, 1, high, wide], align_corners=False)
    return whole + flow.permute(0, 2, 3, 1) * torch.tensor([2 / wide, 2 / high]).to(flow)
