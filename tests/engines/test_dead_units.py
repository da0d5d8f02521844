import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Mean, Zero
from forgetting.ablation.plan import Plan, Track
from forgetting.engines import dead_units
from forgetting.engines.dead_units import can_leave_out, choose_dead_units, remaining_channels
from forgetting.engines.engine import FrameRequest, Outputs
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.openvino_graphs import WHOLE
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.models.units import Units
from helpers import TINY, needs_openvino, render, sample_ws


def plan_of(network, frames=100, until=1.0) -> Plan:
    count = len(Units(network.layers))
    rank = torch.randperm(count, generator=torch.Generator().manual_seed(3)) / count
    fraction = torch.linspace(0, until, frames).double()
    return Plan((Track(rank.float(), fraction, 0.05, network.layers),))


@pytest.fixture
def narrow(monkeypatch):
    """Make multiples of two, so that tiny networks lose channels."""
    monkeypatch.setattr(dead_units, "MULTIPLE", 2)
    monkeypatch.setattr(dead_units, "MIN_FRAMES", 10)


def test_dead_units_are_those_of_the_least_ablated_frame_with_enough(narrow, toy):
    plan = plan_of(toy)
    dead = choose_dead_units(plan, range(100))
    share = dead.float().mean()
    assert 0.5 <= share <= 0.53
    rows = plan.rows(range(100))
    has_all = (rows[:, dead] == 1).all(dim=1)
    assert 40 <= has_all.sum() <= 55
    assert torch.equal(has_all, has_all.sort().values)


def test_films_that_would_gain_little_leave_out_nothing(narrow, toy):
    assert choose_dead_units(plan_of(toy, until=0.4), range(100)) is None
    assert choose_dead_units(plan_of(toy), range(0, 100, 10)) is None  # five frames


def test_the_choice_is_the_same_for_every_shard(narrow, toy):
    """It is made from the film, never from the frames that a process renders."""
    plan = plan_of(toy, 1000)
    assert choose_dead_units(plan, range(1000)) is not None


def test_only_channels_that_become_zero_are_left_out(toy):
    ws = sample_ws(toy)
    assert can_leave_out(AblationTask.of(toy, ws, Zero()))
    assert not can_leave_out(AblationTask.of(toy, ws, Mean()))
    assert not can_leave_out(AblationTask(toy, ws, (), moving=True))


def test_what_remains_is_all_that_is_alive(narrow, toy):
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    dead = torch.rand(len(task), generator=torch.Generator().manual_seed(0)) < 0.7
    remaining = remaining_channels(task.bind_operators(), dead)
    assert remaining
    for name, part in Units(toy.layers).split(dead[None]).items():
        kept = remaining.get(name, torch.arange(part.shape[1]))
        assert len(kept) % 2 == 0 or len(kept) == part.shape[1]
        assert set((~part[0]).nonzero().flatten().tolist()) <= set(kept.tolist())


@needs_openvino
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mobile_stylegan", "stylegan2"])
def test_frames_without_dead_units_are_the_frames_of_the_whole_network(name, precision, narrow):
    tiny = TINY[name]()
    task, plan = AblationTask.of(tiny, sample_ws(tiny), Zero()), plan_of(tiny)
    rows = plan.rows(range(0, 100, 9))
    engine, _ = OpenVINOConfig(precision, reuse=False).choose(task, rows)
    lacking = engine.skipping(choose_dead_units(plan, range(100)))
    frames = render(lacking, rows)
    assert len(lacking.graphs.beginnings) == 2
    assert psnr(frames, render(REFERENCE.start(task), rows)) >= (
        60 if precision == "float32" else 35
    )
    first = rows[:3]  # rows that need all units have the bytes of the whole network
    assert psnr(render(lacking, first), render(engine, first)) == float("inf")


@needs_openvino
def test_activity_is_that_of_all_units(narrow):
    tiny = TINY["mobile_stylegan"]()
    task, plan = AblationTask.of(tiny, sample_ws(tiny), Zero()), plan_of(tiny)
    engine, _ = OpenVINOConfig("float32", reuse=False).choose(task, plan.rows([0]))
    lacking = engine.skipping(choose_dead_units(plan, range(100)))
    request = FrameRequest(plan.row(90), outputs=Outputs(activity=True))
    (ours,), (whole,) = lacking.render([request]), engine.render([request])
    assert ours.activity.shape == whole.activity.shape
    assert torch.equal(torch.from_numpy(ours.activity), torch.from_numpy(whole.activity))


@needs_openvino
def test_leaving_out_can_be_switched_off_and_networks_that_need_all_units_keep_them(narrow, toy):
    task, plan = AblationTask.of(toy, sample_ws(toy), Zero()), plan_of(toy)
    dead = choose_dead_units(plan, range(100))
    for network, settings in ((TINY["mobile_stylegan"](), {"lacks_dead": False}), (toy, {})):
        task, plan = AblationTask.of(network, sample_ws(network), Zero()), plan_of(network)
        dead = choose_dead_units(plan, range(100))
        engine, _ = OpenVINOConfig("float32", reuse=False, **settings).choose(task, plan.rows([0]))
        engine = engine.skipping(dead)
        render(engine, plan.rows([0, 99]))
        assert engine.graphs.beginnings == {WHOLE}


@needs_openvino
def test_engines_that_lack_other_units_share_no_graph_without_them(narrow):
    tiny = TINY["mobile_stylegan"]()
    task, plan = AblationTask.of(tiny, sample_ws(tiny), Zero()), plan_of(tiny)
    engine, _ = OpenVINOConfig("float32", reuse=False).choose(task, plan.rows([0]))
    early, late = plan.rows([60, 99]) == 1
    for dead, index in ((late, 99), (early, 60), (late, 99)):
        engine = engine.skipping(dead)
        frames = render(engine, plan.rows([index]))
        assert any(beginning.lacks_dead for beginning in engine.graphs.beginnings)
        assert psnr(frames, render(REFERENCE.start(task), plan.rows([index]))) >= 60
