import torch
import torch.nn.functional as F

from forgetting.ablation.perceptual_distance import detail_bands, distance, luma
from helpers import smooth_image


def between(a, b):
    return float(distance(detail_bands(a), detail_bands(b)))


def test_it_is_symmetric_and_zero_for_equal_pictures():
    a, b = smooth_image(0), smooth_image(1)
    assert between(a, a) == 0
    assert between(a, b) == between(b, a) > 0.1


def test_more_blur_is_a_greater_distance():
    a = smooth_image()
    blurred = [F.avg_pool2d(a, k, 1, k // 2, count_include_pad=False) for k in (3, 5, 9, 17)]
    distances = [between(a, b) for b in blurred]
    assert distances == sorted(distances)


def test_change_of_flat_colour_counts_little():
    """Faint structure that vanishes counts more than a flat colour that changes by a quarter."""
    plain = torch.zeros(1, 3, 128, 128)
    assert between(plain, plain + 0.25) < between(plain, 0.25 * smooth_image())
    pixels = float((plain - (plain + 0.25)).square().mean().sqrt())
    # It changes as many pixels by as much.
    faint = 0.25 * smooth_image() / smooth_image().square().mean().sqrt()
    assert float((plain - faint).square().mean().sqrt()) - pixels < 1e-6
    assert between(plain, plain + 0.25) < 0.3 * between(plain, faint)


def test_large_pictures_are_compared_at_a_smaller_size():
    big = F.interpolate(smooth_image(size=256), scale_factor=4, mode="nearest")
    assert between(big, smooth_image(size=256)) < 1e-5


def test_tiny_and_oblong_pictures_have_distances():
    for height, width in ((4, 4), (8, 32), (1, 1)):
        a = torch.zeros(1, 3, height, width)
        assert between(a, a + 0.5) > 0


def test_the_luma_of_grey_is_its_level():
    torch.testing.assert_close(luma(torch.full((1, 3, 2, 2), 0.5)), torch.full((1, 2, 2), 0.5))
