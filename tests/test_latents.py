import numpy as np
import pytest
import torch
from conftest import TINY

from forgetting.errors import RequestError
from forgetting.latents import Seed


def test_a_seed_means_what_everybody_means_by_it(tiny):
    z = torch.from_numpy(np.random.RandomState(42).randn(1, tiny.z_dim)).float()
    assert torch.equal(Seed(42, psi=0.5)(tiny), tiny.mapping(z, 0.5))


def test_psi_zero_is_the_average_face(tiny):
    assert torch.equal(Seed(1, psi=0.0)(tiny), Seed(2, psi=0.0)(tiny))
    assert not torch.equal(Seed(1)(tiny), Seed(2)(tiny))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"psi": 9.0}, "latent.psi must lie between -2 and 2, got 9"),
        ({"psi": float("nan")}, "got nan"),
        ({"seed": -1}, "got -1"),
        ({"seed": 2**32}, "got 4294967296"),
        ({"seed": "x"}, "got 'x'"),
    ],
)
def test_out_of_range(settings, says):
    with pytest.raises(RequestError, match=says):
        Seed(**settings)


def test_classes():
    conditional, plain = TINY["stylegan2"](), TINY["toy"]()
    assert torch.equal(Seed(1)(conditional), Seed(1, label=0)(conditional))
    assert not torch.equal(Seed(1)(conditional), Seed(1, label=2)(conditional))
    with pytest.raises(RequestError, match="latent.label must lie between 0 and 2, got 3"):
        Seed(1, label=3)(conditional)
    with pytest.raises(RequestError, match="no classes; leave out latent.label, got 1"):
        Seed(1, label=1)(plain)
