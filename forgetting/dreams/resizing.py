"""Pictures in other sizes, without aliasing."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a picture [1, C, H, W] in another size (height, width), without aliasing."""
    if picture.shape[2:] == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
