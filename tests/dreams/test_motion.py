"""The feedback of a dive: motion, limited contrast and other sizes."""

import numpy as np
import pytest
import torch

from forgetting.dreams import motion
from forgetting.dreams.resizing import resize


def test_motions():
    picture = torch.zeros(1, 3, 40, 80)
    picture[:, :, 10:14, 50:54] = 1

    def centre(moved):
        weights = moved[0, 0].clamp(min=0) / moved[0, 0].clamp(min=0).sum()
        down, across = (torch.arange(size) for size in weights.shape)
        return float((weights.sum(1) * down).sum()), float((weights.sum(0) * across).sum())

    assert centre(picture) == pytest.approx((11.5, 51.5), abs=0.1)
    assert centre(motion.Motion(drift=(0.25, 0.5)).move(picture, 0.5)) == pytest.approx(
        (21.5, 56.5), abs=0.3
    )
    assert centre(motion.Motion(zoom=1.5).move(picture, 1)) == pytest.approx(
        (19.5 - 12, 39.5 + 18), abs=0.3
    )
    # What was at the right is above, and the mirrored border repeats it at the left.
    turned = motion.Motion(rotation=90).move(picture, 1)
    assert centre(turned[:, :, :, 20:60]) == pytest.approx((19.5 - 12, 19.5 - 8), abs=0.3)
    assert motion.Motion().move(picture, 1) is picture
    half = motion.Motion(zoom=1.44, rotation=10)
    assert torch.allclose(half.move(half.move(picture, 0.5), 0.5), half.move(picture, 1), atol=0.25)


def test_contrast_above_the_limit_is_reduced():
    strong = torch.from_numpy(np.random.RandomState(0).rand(1, 3, 64, 64)).float() * 2 - 1
    blots = strong * 0.1 + torch.linspace(-0.9, 0.9, 64)
    assert torch.equal(motion.stabilise(strong, 0.3, 0.0), strong)
    for picture in (strong, blots, blots * torch.tensor([1.0, -1, 0]).view(1, 3, 1, 1)):
        stable = picture
        for _ in range(200):
            stable = motion.stabilise(stable, 0.3, 0.1)
        assert float(stable.std()) <= 0.31
    weak = 0.1 * strong
    assert torch.allclose(motion.stabilise(weak, 0.3, 0.5), weak, atol=1e-6)


def test_resizing_keeps_a_uniform_colour():
    uniform = torch.full((1, 3, 30, 20), 0.3)
    assert torch.allclose(resize(uniform, (11, 7)), torch.full((1, 3, 11, 7), 0.3), atol=1e-6)
    assert resize(uniform, (30, 20)) is uniform
