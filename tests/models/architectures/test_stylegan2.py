import pytest
import torch
import torch.nn.functional as F

from forgetting.errors import RequestError
from forgetting.models.architectures import stylegan2
from helpers import TINY, zeros_inserted


def test_doubling_against_inserting_zeros():
    draw = torch.Generator().manual_seed(0)
    taps, x = torch.rand(4, generator=draw), torch.randn(2, 3, 4, 5, generator=draw)
    expected = F.conv2d(
        F.pad(zeros_inserted(x, 2), (2, 1, 2, 1)),
        torch.outer(taps, taps).flip(0, 1).expand(3, 1, 4, 4) * 4,
        groups=3,
    )
    torch.testing.assert_close(stylegan2._doubling(taps, 3)(x), expected)


@pytest.mark.parametrize(("labels", "label"), [(3, None), (3, torch.eye(3)[1:2])])
def test_classes(labels, label):
    network = TINY["stylegan2"]()
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    first = network.mapping(z, label=torch.eye(labels)[:1])
    assert torch.equal(network.mapping(z, label=label), first) == (label is None)


def test_wrong_labels():
    with pytest.raises(
        RequestError, match=r"label must be \[1, 3\] for this generator, got \[1, 4\]"
    ):
        TINY["stylegan2"]().mapping(torch.zeros(1, 8), label=torch.eye(4)[:1])
    with pytest.raises(RequestError, match="no classes; leave out the label"):
        TINY["dcgan"]().mapping(torch.zeros(1, 10), label=torch.eye(4)[:1])
