import itertools

import numpy as np
import pytest
import torch

from forgetting.ablation.pacing import Perceptual, UnitPacing, visible_length
from forgetting.ablation.perceptual_distance import detail_bands, distance
from forgetting.errors import RequestError
from helpers import smooth_image

PROGRESS = torch.linspace(0, 1, 61, dtype=torch.float64)


def test_unit_pacing_scales_progress_and_needs_no_picture():
    fractions = UnitPacing().fractions(
        PROGRESS, (0, 0.4), lambda fraction: pytest.fail("no picture is needed")
    )
    torch.testing.assert_close(fractions, PROGRESS * 0.4)


def abrupt_picture(fraction):
    """Return a picture that changes between the fractions 0.30 and 0.32 alone."""
    return smooth_image() * (1 - min(max((fraction - 0.30) / 0.02, 0), 1))


def test_time_is_spent_where_the_picture_changes():
    fraction = Perceptual(probes=48).fractions(PROGRESS, (0, 1.0), abrupt_picture)
    assert fraction[0] == 0
    assert fraction[-1] == 1
    assert bool((fraction.diff() >= 0).all())
    inside = ((fraction > 0.299) & (fraction < 0.321)).double().mean()
    assert inside > 0.8
    bands = [detail_bands(abrupt_picture(float(p))) for p in fraction[1:-1]]
    steps = np.array([float(distance(a, b)) for a, b in itertools.pairwise(bands)])
    assert steps.std() / steps.mean() < 0.35


def test_flat_colour_takes_little_time():
    """A face fades in the first half; in the second, flat colours change, by more in pixels."""

    def fades_then_flashes(p):
        if p < 0.5:
            return smooth_image() * (1 - 2 * p)
        return torch.zeros(1, 3, 128, 128) + 0.25 * np.sin(3 * np.pi * (p - 0.5))

    fraction = Perceptual(probes=64).fractions(PROGRESS, (0, 1.0), fades_then_flashes)
    even = [fades_then_flashes(float(p)) for p in np.linspace(0, 1, 400)]
    change = np.array([float((a - b).square().mean().sqrt()) for a, b in itertools.pairwise(even)])
    assert change[200:].sum() > change[:200].sum()
    assert (fraction < 0.5).double().mean() > 0.7


def test_without_visible_change_units_are_counted():
    fraction = Perceptual(probes=4).fractions(
        PROGRESS, (0, 0.5), lambda p: torch.zeros(1, 3, 16, 16)
    )
    torch.testing.assert_close(fraction, PROGRESS * 0.5)


def test_visible_length_renders_as_many_pictures_as_requested():
    rendered = []
    fractions, length = visible_length(0.6, lambda p: rendered.append(p) or abrupt_picture(p), 20)
    assert len(rendered) == len(fractions) == len(length) == 20
    assert (fractions[0], fractions[-1]) == (0.0, 0.6)
    assert sorted(rendered) == fractions.tolist()


def test_probes_must_be_possible():
    with pytest.raises(RequestError, match="pacing.probes must lie between 2"):
        Perceptual(probes=1)


@pytest.mark.parametrize("pacing", [UnitPacing(), Perceptual(probes=48)])
def test_acts_end_at_their_waypoints(pacing):
    progress = torch.linspace(0, 3, 91, dtype=torch.float64)
    fraction = pacing.fractions(progress, (0, 0.2, 0.5, 0.3), lambda p: smooth_image() * (1 - p))
    torch.testing.assert_close(
        fraction[[0, 30, 60, 90]], torch.tensor([0, 0.2, 0.5, 0.3]).double(), atol=2e-3, rtol=0
    )
    assert bool((fraction[:61].diff() >= 0).all())
    assert bool((fraction[60:].diff() <= 0).all())


def test_measurements_are_kept_between_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path))

    def refuse(_):
        raise AssertionError("it was measured again")

    pacing, identity = Perceptual(probes=8), "c" * 64
    first = pacing.fractions(PROGRESS, (0, 1.0), abrupt_picture, identity)
    assert torch.equal(pacing.fractions(PROGRESS, (0, 1.0), refuse, identity), first)
    assert torch.equal(pacing.fractions(PROGRESS, (0, 1.0), abrupt_picture), first)
    # Another film of the same pictures needs no other measurements.
    assert len(pacing.fractions(PROGRESS[::2], (0, 0.5, 1.0), refuse, identity)) == len(
        PROGRESS[::2]
    )
    for other in (
        lambda: pacing.fractions(PROGRESS, (0, 1.0), refuse, "d" * 64),
        lambda: pacing.fractions(PROGRESS, (0, 0.9), refuse, identity),
        lambda: Perceptual(probes=9).fractions(PROGRESS, (0, 1.0), refuse, identity),
        lambda: pacing.fractions(PROGRESS, (0, 1.0), refuse),
    ):
        with pytest.raises(AssertionError, match="measured again"):
            other()
