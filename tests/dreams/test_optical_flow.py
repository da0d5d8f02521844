"""Optical flow carries details from one frame to the next."""

import numpy as np
import torch
from PIL import Image

from forgetting.dreams.optical_flow import warp_detail
from forgetting.engines.pixels import from_bytes


def test_a_detail_moves_with_the_picture():
    drawn = np.random.RandomState(5).randint(0, 255, (18, 24, 3), np.uint8)
    pattern = from_bytes(
        np.asarray(Image.fromarray(drawn).resize((192, 144), Image.Resampling.BICUBIC))
    )
    before, now = pattern[:, :, 8:136, 16:176], pattern[:, :, 8:136, 10:170]  # six to the right
    detail = torch.zeros(1, 3, 128, 160)
    detail[:, :, 60:70, 70:80] = 1
    moved = warp_detail(detail, before, now)
    assert float(moved[:, :, 62:68, 78:84].mean()) > 0.9
    assert float(moved[:, :, 62:68, 70:74].mean()) < 0.1
    cut = warp_detail(torch.ones_like(detail), before, pattern.flip(2, 3)[:, :, 8:136, 10:170])
    assert float(cut.mean()) < 0.6, "little is carried over a cut"
