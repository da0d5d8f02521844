import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from forgetting.ablation import plan as plans
from forgetting.ablation.curves import Sigmoid
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.pacing import Perceptual, UnitPacing
from forgetting.ablation.plan import Plan, ablation
from forgetting.ablation.schedules import Schedule
from forgetting.errors import RequestError
from helpers import TINY, simple_plan


def make(generator, frames=12, operator=None, schedule=None, pacing=None):
    return simple_plan(
        generator,
        frames,
        Contribution(),
        operator or Zero(),
        schedule or Schedule(),
        pacing or UnitPacing(),
    )


@pytest.mark.parametrize("pacing", [UnitPacing(), Perceptual(probes=8)])
@pytest.mark.parametrize("softness", [0.0, 0.1, 1.0])
def test_a_plan_runs_from_intact_to_ablated(tiny, pacing, softness):
    plan = make(tiny, operator=Zero(softness=softness), schedule=Schedule(Sigmoid()), pacing=pacing)
    assert plan.ablation.dtype == torch.float32
    assert not plan.ablation[0].any()
    assert bool((plan.ablation[-1] == 1).all())
    assert bool((plan.ablation.diff(dim=0) >= 0).all())


def test_until_is_the_share_that_is_ablated(tiny):
    plan = make(tiny, operator=Zero(softness=0.05), schedule=Schedule(until=0.5))
    assert plan.ablated_share(len(plan) - 1) == pytest.approx(0.5, abs=0.02)
    assert plan.tracks[0].fraction[-1] == 0.5


def test_ablation_equals_its_definition():
    rank, fraction = torch.tensor([0.1, 0.5, 0.9, torch.inf]), torch.tensor([0.0, 0.3, 1.0])
    slow = [[min(max((p * 1.2 - r) / 0.2, 0), 1) for r in rank.tolist()] for p in fraction.tolist()]
    torch.testing.assert_close(
        ablation(rank, fraction, 0.2), torch.tensor(slow, dtype=torch.float32)
    )
    assert ablation(rank, fraction, 0.0).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


def test_a_plan_survives_a_round_trip(tiny, tmp_path):
    plan = make(tiny)
    plans.save_plan(plan, tmp_path / "plan.npz")
    again = plans.load_plan(tmp_path / "plan.npz")
    assert torch.equal(plan.ablation, again.ablation)
    for name in ("fraction", "rank"):
        assert torch.equal(getattr(plan.tracks[0], name), getattr(again.tracks[0], name))
    again.check(tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.npz"]


def test_a_plan_for_another_network_is_refused():
    with pytest.raises(
        RequestError, match=r"plan is for another network: it has 52 units.* the generator 26"
    ):
        make(TINY["toy"]()).check(TINY["dcgan"]())


def test_the_number_of_frames_must_be_possible(toy):
    for frames in (0, -1, 10**9):
        with pytest.raises(RequestError, match=f"must lie between 1 and 20736000, got {frames}"):
            make(toy, frames)


def broken_plans(folder, toy):
    good = folder / "good.npz"
    plans.save_plan(make(toy), good)
    arrays, explicit = dict(np.load(good)), make(toy).ablation.numpy()
    changed = {
        "missing": {name: value for name, value in arrays.items() if name != "rank"},
        "negative": arrays | {"ablation": explicit - 1},
        "nan": arrays | {"ablation": explicit * np.nan},
        "narrow": arrays | {"ablation": explicit[:, 1:]},
        "short": arrays | {"ablation": explicit, "fraction": arrays["fraction"][1:]},
        "rank": arrays | {"rank": arrays["rank"] * np.nan},
        "far": arrays | {"fraction": arrays["fraction"] + 1},
        "soft": arrays | {"softness": np.array(-1.0)},
        "object": arrays | {"layers": np.array([print, print], dtype=object)},
        "text": arrays | {"rank": np.array("hello")},
    }
    for name, content in changed.items():
        with (folder / f"{name}.npz").open("wb") as file:
            np.savez(file, **content)
    (folder / "empty.npz").write_bytes(b"")
    (folder / "noise.npz").write_bytes(bytes(range(256)) * 8)
    (folder / "truncated.npz").write_bytes(good.read_bytes()[:-100])
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"
    )
    with zipfile.ZipFile(folder / "petabytes.npz", "w") as archive:
        for name in arrays:
            archive.writestr(f"{name}.npy", header.ljust(127) + b"\n")
    return [path for path in sorted(folder.iterdir()) if path.name != "good.npz"]


def test_hostile_and_broken_plans_are_refused(toy, tmp_path):
    paths = broken_plans(tmp_path, toy)
    assert len(paths) == 14
    for path in paths:
        with pytest.raises(RequestError, match="plan"):
            plans.load_plan(path)


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(RequestError, match="there is no plan at"):
        plans.load_plan(tmp_path / "none.npz")


def test_plans_check_themselves(toy):
    plan = make(toy)
    (track,) = plan.tracks
    with pytest.raises(RequestError, match="must be"):
        replace(track, rank=track.rank[1:])
    with pytest.raises(RequestError, match="must be"):
        replace(track, explicit=plan.ablation[:, 1:])
    with pytest.raises(RequestError, match="names of their own"):
        Plan((track, track))
    with pytest.raises(RequestError, match="equal length"):
        Plan((track, replace(track, name="b", fraction=track.fraction[1:])))


def test_an_explicit_ablation_replaces_rank_and_fraction(toy, tmp_path):
    """An array that is written into the file by hand is rendered, saved and loaded as it is."""
    plans.save_plan(make(toy), tmp_path / "plan.npz")
    arrays = dict(np.load(tmp_path / "plan.npz"))
    explicit = np.random.RandomState(0).rand(12, 52).astype(np.float32)
    with (tmp_path / "explicit.npz").open("wb") as file:
        np.savez(file, **arrays | {"ablation": explicit})
    plan = plans.load_plan(tmp_path / "explicit.npz")
    assert np.array_equal(plan.ablation.numpy(), explicit)
    assert np.array_equal(plan.row(3).numpy(), explicit[3])
    assert plan.digest() != make(toy).digest()
    plans.save_plan(plan, tmp_path / "again.npz")
    assert np.array_equal(plans.load_plan(tmp_path / "again.npz").ablation.numpy(), explicit)


def test_a_row_is_a_row_of_the_ablation(toy):
    plan = make(toy, operator=Zero(softness=0.1))
    assert all(torch.equal(plan.row(index), row) for index, row in enumerate(plan.ablation))
    with pytest.raises(RequestError, match="there is no frame -1; the plan has frames 0-11"):
        plan.row(-1)


def test_units_of_rank_zero_are_ablated_together():
    fraction = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    for softness in (0.0, 0.3):
        rows = ablation(torch.tensor([0.0, torch.inf, 0.0]), fraction, softness)
        assert rows.tolist() == [[0, 0, 0], [0.25, 0, 0.25], [1, 0, 1]]


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        ({"b4.conv1": [1.0, 0.0], "picture/": [0.0] * 4}, 0.5),
        ({"picture/": [1.0, 1.0, 0.0, 1.0]}, 0.75),
    ],
)
def test_the_picture_counts_where_it_has_the_only_units(rows, share):
    rows = {name: torch.tensor(values) for name, values in rows.items()}
    assert plans.share_of_units(rows) == share
