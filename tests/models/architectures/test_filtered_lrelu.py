import pytest
import torch
import torch.nn.functional as F

from forgetting.models.architectures import filtered_lrelu, stylegan3
from helpers import zeros_inserted


@pytest.mark.parametrize(
    ("up", "down", "kernel"),
    [(2, 2, 3), (4, 2, 3), (4, 2, 1), (2, 1, 1), (2, 2, 1), (4, 4, 3), (6, 2, 3)],
)
@pytest.mark.parametrize("outputs", [9, 12])
def test_filtering_in_phases_equals_inserting_zeros(up, down, kernel, outputs):
    """The paper inserts zeros, filters, applies a leaky ReLU, filters, and discards samples."""
    draw = torch.Generator().manual_seed(0)
    sampling = filtered_lrelu.sampled(7, outputs, up, down, kernel, taps=6)
    conv = stylegan3.FilteredConv("c", 4, 3, 3, kernel, sampling, taps=6)
    conv.up_taps.copy_(torch.rand(conv.up_taps.shape, generator=draw))
    conv.down_taps.copy_(torch.rand(conv.down_taps.shape, generator=draw))
    size = 7 + kernel - 1
    x = torch.randn(2, 3, size, size, generator=draw)
    before = sampling.before
    count = (outputs - 1) * down + conv.down_taps.shape[0]  # samples between the filters
    after = count + len(conv.up_taps) - 1 - up * size - before
    expected = F.pad(zeros_inserted(x, up), (before, after, before, after))
    wide = torch.outer(conv.up_taps, conv.up_taps).flip(0, 1) * up**2
    expected = F.leaky_relu(F.conv2d(expected, wide.expand(3, 1, -1, -1), groups=3), 0.2).clamp(
        -9, 9
    )
    expected = F.conv2d(
        expected, conv.down_taps.flip(0, 1).expand(3, 1, -1, -1), stride=down, groups=3
    )
    torch.testing.assert_close(conv._filtered_activation(9.0)(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.shape[2:] == (outputs, outputs)
