"""Optical flow between frames: OpenCV's dense inverse search (Kroeger et al. 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dependencies import import_extra
from forgetting.engines.pixels import Frame, to_bytes

LARGEST_SIDE = 480
"""Pixels of the shorter side at which the flow is computed; finer motion does not show."""

TOLERANCE = 1.5
"""Pixels by which the flow to the frame before and back may miss its start. At twice as many the
position was covered in the frame before, and gets no detail."""


def warp_detail(detail: Tensor, before: Tensor, now: Tensor) -> Tensor:
    """Return a detail of one frame moved to the next; positions that were covered have none.

    Args:
        detail: [1, C, H, W], of the frame ``before``.
        before: the frame before, [1, 3, H, W] in [-1, 1].
        now: the frame, [1, 3, H, W] in [-1, 1].

    Raises:
        RequestError: OpenCV is not installed.
    """
    to_before, to_now = _flow(now, before).to(detail), _flow(before, now).to(detail)
    grid = _sampling_grid(to_before)
    # The flow to the frame before and back again ends at its start, unless the position was
    # covered.
    miss = (
        to_before
        + F.grid_sample(to_now, grid, mode="bilinear", padding_mode="border", align_corners=False)
    ).norm(dim=1, keepdim=True)
    visible: Tensor = (1 - (miss - TOLERANCE) / TOLERANCE).clamp(0, 1)
    warped: Tensor = F.grid_sample(
        detail, grid, mode="bicubic", padding_mode="zeros", align_corners=False
    )
    return warped * visible


def _flow(start: Tensor, end: Tensor) -> Tensor:
    """Return the flow [1, 2, H, W] from one picture to another, in pixels to the right and down."""
    cv2 = import_extra("cv2", "dream")
    height, width = start.shape[2:]
    scale = min(1.0, LARGEST_SIDE / min(height, width))
    small = max(16, round(scale * height)), max(16, round(scale * width))
    start_grey, end_grey = (
        cv2.cvtColor(_reduce(picture, small), cv2.COLOR_RGB2GRAY) for picture in (start, end)
    )
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    small_flow = torch.from_numpy(search.calc(start_grey, end_grey, None))
    flow: Tensor = F.interpolate(
        small_flow.permute(2, 0, 1)[None], (height, width), mode="bilinear", align_corners=False
    )
    pixels = torch.tensor([width / small[1], height / small[0]])
    return flow * pixels.view(1, 2, 1, 1)


def _reduce(picture: Tensor, size: tuple[int, int]) -> Frame:
    """Return the picture as bytes, in another size."""
    return to_bytes(F.interpolate(picture.cpu(), size, mode="area"))[0].contiguous().numpy()


def _sampling_grid(flow: Tensor) -> Tensor:
    """Return where a flow [1, 2, H, W] in pixels leads: [1, H, W, 2], from -1 to 1."""
    height, width = flow.shape[2:]
    identity = F.affine_grid(
        torch.eye(2, 3).to(flow)[None], [1, 1, height, width], align_corners=False
    )
    return identity + flow.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height]).to(flow)
