import pytest
import torch

from forgetting.models.architectures import reference
from helpers import TINY, sample_ws


@pytest.mark.parametrize("name", [name for name in TINY if name.startswith("stylegan")])
def test_fast_networks_against_plain_ones(name):
    network = TINY[name]()
    ws = sample_ws(network, 3)
    slow = reference.stylegan2 if name.startswith("stylegan2") else reference.stylegan3
    torch.testing.assert_close(network.bind(ws)(), slow(network, ws), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.bind(ws[:1])(), slow(network, ws[:1]), rtol=1e-4, atol=1e-5)
