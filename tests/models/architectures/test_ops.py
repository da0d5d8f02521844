import torch
import torch.nn.functional as F

from forgetting.models.architectures.ops import inverse_haar


def test_inverse_haar_against_transposed_convolutions():
    x = torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(0))
    low, high = torch.tensor([1.0, 1.0]) / 2**0.5, torch.tensor([1.0, -1.0]) / 2**0.5
    filters = ((low, low), (high, low), (low, high), (high, high))
    expected = sum(
        F.conv_transpose2d(
            band, torch.outer(vertical, horizontal).expand(3, 1, 2, 2), stride=2, groups=3
        )
        for band, (vertical, horizontal) in zip(x.chunk(4, dim=1), filters, strict=True)
    )
    torch.testing.assert_close(inverse_haar(x), expected)
