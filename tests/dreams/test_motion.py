import numpy as np
import pytest
import torch

from forgetting.dreams import motion
from forgetting.dreams.ascent import resize


def test_motions():
    picture = torch.zeros(1, 3, 40, 80)
    picture[:, :, 10:14, 50:54] = 1

    def where(moved):
        found = moved[0, 0].clamp(min=0) / moved[0, 0].clamp(min=0).sum()
        down, across = (torch.arange(size) for size in found.shape)
        return float((found.sum(1) * down).sum()), float((found.sum(0) * across).sum())

    assert where(picture) == pytest.approx((11.5, 51.5), abs=0.1)
    assert where(motion.Motion(drift=(0.25, 0.5))(picture, 0.5)) == pytest.approx(
        (21.5, 56.5), abs=0.3
    )
    assert where(motion.Motion(zoom=1.5)(picture, 1)) == pytest.approx(
        (19.5 - 12, 39.5 + 18), abs=0.3
    )
    turned = motion.Motion(rotation=90)(
        picture, 1
    )  # what was at its right is above, and once more in the mirror at its left
    assert where(turned[:, :, :, 20:60]) == pytest.approx((19.5 - 12, 19.5 - 8), abs=0.3)
    assert motion.Motion()(picture, 1) is picture
    half = motion.Motion(zoom=1.44, rotation=10)
    assert torch.allclose(half(half(picture, 0.5), 0.5), half(picture, 1), atol=0.25)


def test_what_is_too_much_becomes_less():
    loud = torch.from_numpy(np.random.RandomState(0).rand(1, 3, 64, 64)).float() * 2 - 1
    blots = loud * 0.1 + torch.linspace(-0.9, 0.9, 64)
    assert torch.equal(motion.stabilise(loud, 0.3, 0.0), loud)
    for picture in (loud, blots, blots * torch.tensor([1.0, -1, 0]).view(1, 3, 1, 1)):
        found = picture
        for _ in range(200):
            found = motion.stabilise(found, 0.3, 0.1)
        assert float(found.std()) <= 0.31
    quiet = 0.1 * loud
    assert torch.allclose(motion.stabilise(quiet, 0.3, 0.5), quiet, atol=1e-6)


def test_resizing_keeps_what_is_flat():
    flat = torch.full((1, 3, 30, 20), 0.3)
    assert torch.allclose(resize(flat, (11, 7)), torch.full((1, 3, 11, 7), 0.3), atol=1e-6)
    assert resize(flat, (30, 20)) is flat
