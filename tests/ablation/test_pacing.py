import itertools

import numpy as np
import pytest
import torch

from forgetting.ablation.pacing import Perceptual, UnitPacing, visible_length
from forgetting.ablation.perceptual_distance import detail_bands, distance
from forgetting.errors import RequestError
from helpers import smooth_image

LOSS = torch.linspace(0, 1, 61, dtype=torch.float64)


def test_units():
    torch.testing.assert_close(
        UnitPacing()(LOSS, (0, 0.4), lambda p: pytest.fail("no picture is needed")), LOSS * 0.4
    )


def hurried(p):
    """Everything happens between 0.30 and 0.32."""
    return smooth_image() * (1 - min(max((p - 0.30) / 0.02, 0), 1))


def test_time_is_spent_where_something_is_seen():
    fraction = Perceptual(probes=48)(LOSS, (0, 1.0), hurried)
    assert fraction[0] == 0
    assert fraction[-1] == 1
    assert bool((fraction.diff() >= 0).all())
    inside = ((fraction > 0.299) & (fraction < 0.321)).double().mean()
    assert inside > 0.8
    seen = [detail_bands(hurried(float(p))) for p in fraction[1:-1]]
    steps = np.array([float(distance(a, b)) for a, b in itertools.pairwise(seen)])
    assert steps.std() / steps.mean() < 0.35


def test_flat_colour_does_not_take_the_time():
    """Half of the way is a face fading, the other half flashes of flat colour, larger in pixels."""

    def fades_then_flashes(p):
        if p < 0.5:
            return smooth_image() * (1 - 2 * p)
        return torch.zeros(1, 3, 128, 128) + 0.25 * np.sin(3 * np.pi * (p - 0.5))

    fraction = Perceptual(probes=64)(LOSS, (0, 1.0), fades_then_flashes)
    naive = [fades_then_flashes(float(p)) for p in np.linspace(0, 1, 400)]
    change = np.array([float((a - b).square().mean().sqrt()) for a, b in itertools.pairwise(naive)])
    assert change[200:].sum() > change[:200].sum()
    assert (fraction < 0.5).double().mean() > 0.7


def test_nothing_to_see():
    fraction = Perceptual(probes=4)(LOSS, (0, 0.5), lambda p: torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(fraction, LOSS * 0.5)


def test_the_arc_looks_as_often_as_it_is_told():
    asked = []
    places, length = visible_length(0.6, lambda p: asked.append(p) or hurried(p), 20)
    assert len(asked) == len(places) == len(length) == 20
    assert (places[0], places[-1]) == (0.0, 0.6)
    assert sorted(asked) == places.tolist()


def test_probes_must_be_possible():
    with pytest.raises(RequestError, match="pacing.probes must lie between 2"):
        Perceptual(probes=1)


@pytest.mark.parametrize("pacing", [UnitPacing(), Perceptual(probes=48)])
def test_acts_end_where_they_should(pacing):
    loss = torch.linspace(0, 3, 91, dtype=torch.float64)
    fraction = pacing(loss, (0, 0.2, 0.5, 0.3), lambda p: smooth_image() * (1 - p))
    torch.testing.assert_close(
        fraction[[0, 30, 60, 90]], torch.tensor([0, 0.2, 0.5, 0.3]).double(), atol=2e-3, rtol=0
    )
    assert bool((fraction[:61].diff() >= 0).all())
    assert bool((fraction[60:].diff() <= 0).all())
