from dataclasses import replace

import numpy as np
import pytest
import torch

from forgetting.ablation import plan as plans
from forgetting.ablation import tracks
from forgetting.ablation.curves import Oscillator
from forgetting.ablation.operators.removal import Level, Zero
from forgetting.ablation.orderings.basic import Random, Together
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.plan import Plan
from forgetting.ablation.schedules import Schedule
from forgetting.engines.torch_cpu import REFERENCE
from helpers import picture_of_row, rank, render, sample_ws, simple_plan


def test_any_object_that_ranks_is_an_ordering(toy):
    class ByNumber:
        def rank(self, request):
            return (torch.arange(len(request.units)) + 0.5) / len(request.units)

    plan = simple_plan(toy, 3, ByNumber(), Zero(softness=0.0), Schedule(), UnitPacing())
    assert plan.ablation[1].tolist() == [1.0] * 26 + [0.0] * 26
    assert rank(Random(), toy, plan.tracks[0].units).shape == plan.tracks[0].rank.shape


def two_tracks(toy):
    first = tracks.TrackSpec(Random(), Zero(softness=0.1), Schedule(), UnitPacing(), name="one")
    second = tracks.TrackSpec(
        Together("styles/b4.*"),
        Level(2.0),
        Schedule(Oscillator(2)),
        UnitPacing(),
        ("styles", "channels"),
        "other",
    )
    task = tracks.ablation_task(toy, sample_ws(toy), [first, second])
    ranks = [spec.rank(toy, sample_ws(toy)) for spec in (first, second)]
    picture = picture_of_row(REFERENCE.start(task))
    return tracks.make_plan(toy, [first, second], ranks, 9, picture), task


def test_tracks_stand_one_after_another_in_a_row(toy, tmp_path):
    plan, task = two_tracks(toy)
    assert plan.ablation.shape == (9, 52 + 60 + 52) == (9, len(task))
    assert plan.row(4)[:52].mean() == pytest.approx(0.5, abs=0.1)
    assert plan.row(2)[52:].tolist() == [1.0] * 16 + [0.0] * 96
    assert plan.ablation_by_layer(2)["styles/b4.conv"].tolist() == [1.0] * 16
    plans.save_plan(plan, tmp_path / "plan.npz")
    again = plans.load_plan(tmp_path / "plan.npz")
    assert torch.equal(again.ablation, plan.ablation)
    assert again.digest() == plan.digest()
    again.check(toy)
    assert {"one/rank", "other/fraction", "tracks"} <= set(np.load(tmp_path / "plan.npz").files)


def test_a_unit_of_two_tracks_is_ablated_by_both(toy):
    track = simple_plan(toy, 5, Random(), Zero(softness=0.5), Schedule(), UnitPacing()).tracks[0]
    two = Plan((replace(track, name="a"), replace(track, name="b")))
    both = two.ablation_by_layer(2)["b8.conv"]
    alone = Plan((track,)).ablation_by_layer(2)["b8.conv"]
    torch.testing.assert_close(both, 1 - (1 - alone) ** 2)


@pytest.mark.parametrize("direction", ["forget", "remember"])
def test_endings_stop_the_units_and_fade_the_picture(toy, direction):
    simple = tracks.TrackSpec(
        Random(), Zero(softness=0.1), Schedule(direction=direction), UnitPacing()
    )
    assert tracks.add_ending([simple], "smudge") == [simple]
    for ending in ("hold", "black", "white"):
        specs = tracks.add_ending([simple], ending)
        ranks = [spec.rank(toy, sample_ws(toy)) for spec in specs]
        engine = REFERENCE.start(tracks.ablation_task(toy, sample_ws(toy), specs))
        plan = tracks.make_plan(toy, specs, ranks, 101, picture_of_row(engine))
        far = 100 if direction == "forget" else 0
        (last,) = render(engine, plan.rows([far]))
        rows = plan.ablation if direction == "forget" else plan.ablation.flip(0)
        assert bool((rows[92:, :52] == 1).all()), "the units stay ablated"
        assert not bool((rows[90, :52] == 1).all())
        if ending == "hold":
            assert len(plan.tracks) == 1
            continue
        assert bool((rows[:92, 52] == 0).all())
        assert rows[-1, 52] == 1
        assert (last == (0 if ending == "black" else 255)).all()
        assert plan.ablated_share(far) == 1
