from dataclasses import replace

import numpy as np
import pytest
import torch

from forgetting.ablation import plan as plans
from forgetting.ablation import tracks as intent
from forgetting.ablation.operators.removal import Level, Zero
from forgetting.ablation.orderings.basic import Random, Together
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.plan import Plan
from forgetting.ablation.schedules import Oscillator, Schedule
from forgetting.engines.torch_cpu import TorchConfig
from helpers import sample_ws


def test_any_callable_can_order(toy):
    def by_number(generator, units, ws):
        return (torch.arange(len(units)) + 0.5) / len(units)

    plan = intent.make_simple_plan(
        toy, sample_ws(toy), 3, by_number, Zero(0.0), Schedule(), UnitPacing()
    )
    assert plan.ablation[1].tolist() == [1.0] * 26 + [0.0] * 26
    assert Random()(toy, plan.tracks[0].units, sample_ws(toy)).shape == plan.tracks[0].rank.shape


def two_tracks(toy):
    one = intent.TrackSpec(Random(), Zero(0.1), Schedule(), UnitPacing(), name="one")
    other = intent.TrackSpec(
        Together("styles/b4.*"),
        Level(2.0),
        Schedule(Oscillator(2)),
        UnitPacing(),
        ("styles", "channels"),
        "other",
    )
    scene = intent.ablation_task(toy, sample_ws(toy), [one, other])
    ranks = [each.rank(toy, sample_ws(toy)) for each in (one, other)]
    return intent.make_plan(toy, [one, other], ranks, 9, TorchConfig().start(scene)), scene


def test_several_tracks(toy, tmp_path):
    plan, scene = two_tracks(toy)
    assert plan.ablation.shape == (9, 52 + 60 + 52) == (9, len(scene))
    assert plan.row(4)[:52].mean() == pytest.approx(0.5, abs=0.1)
    assert plan.row(2)[52:].tolist() == [1.0] * 16 + [0.0] * 96
    assert plan.ablation_by_layer(2)["styles/b4.conv"].tolist() == [1.0] * 16
    plans.save_plan(plan, tmp_path / "plan.npz")
    again = plans.load_plan(tmp_path / "plan.npz")
    assert torch.equal(again.ablation, plan.ablation)
    assert again.digest() == plan.digest()
    again.check(toy)
    assert {"one/rank", "other/fraction", "tracks"} <= set(np.load(tmp_path / "plan.npz").files)


def test_a_unit_that_two_tracks_move_is_as_gone_as_both_make_it(toy):
    one = intent.make_simple_plan(
        toy, sample_ws(toy), 5, Random(), Zero(0.5), Schedule(), UnitPacing()
    ).tracks[0]
    both = Plan((replace(one, name="a"), replace(one, name="b"))).ablation_by_layer(2)["b8.conv"]
    alone = Plan((one,)).ablation_by_layer(2)["b8.conv"]
    torch.testing.assert_close(both, 1 - (1 - alone) ** 2)


@pytest.mark.parametrize("direction", ["forget", "remember"])
def test_endings(toy, direction):
    simple = intent.TrackSpec(Random(), Zero(0.1), Schedule(direction=direction), UnitPacing())
    assert intent.add_ending([simple], "smudge") == [simple]
    for ending in ("hold", "black", "white"):
        intents = intent.add_ending([simple], ending)
        ranks = [one.rank(toy, sample_ws(toy)) for one in intents]
        engine = TorchConfig().start(intent.ablation_task(toy, sample_ws(toy), intents))
        plan = intent.make_plan(toy, intents, ranks, 101, engine)
        far = 100 if direction == "forget" else 0
        last = next(engine(plan.rows([far])))
        rows = plan.ablation if direction == "forget" else plan.ablation.flip(0)
        assert bool((rows[92:, :52] == 1).all()), "it stands still"
        assert not bool((rows[90, :52] == 1).all())
        if ending == "hold":
            assert len(plan.tracks) == 1
            continue
        assert bool((rows[:92, 52] == 0).all())
        assert rows[-1, 52] == 1
        assert (last == (0 if ending == "black" else 255)).all()
        assert plan.ablated_share(far) == 1
