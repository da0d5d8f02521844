"""The frames of a plan, rendered by the reference."""

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.pacing import Perceptual
from forgetting.ablation.schedules import Schedule
from forgetting.api.networks import frames, make_plan
from forgetting.engines.engine import render_rows
from forgetting.engines.pixels import to_bytes
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from helpers import TINY, sample_ws


def film(generator, operator, count=9):
    ws = sample_ws(generator)
    plan = make_plan(
        generator, ws, count, Contribution(), operator, Schedule(), Perceptual(probes=6)
    )
    return ws, plan


@pytest.mark.parametrize(
    "operator", [Zero(), Prune(), Mean(), Average()], ids=lambda o: type(o).__name__
)
def test_frames_are_a_pure_function_of_recipe_and_index(tiny, operator):
    ws, plan = film(tiny, operator)
    whole = list(frames(tiny, ws, plan, operator))
    assert len(whole) == len(plan)
    assert whole[0].dtype == np.uint8
    assert whole[0].shape == (*tiny.size, 3)
    assert np.array_equal(whole[0], to_bytes(tiny.bind(ws)())[0]), "frame 0 is the intact picture"
    for index in (7, 2, 7):
        engine = TorchConfig().start(AblationTask.of(tiny, ws, operator))
        assert np.array_equal(next(render_rows(engine, [plan.row(index)])), whole[index])
    again_ws, again = film(tiny, operator)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(whole, frames(tiny, again_ws, again, operator), strict=True)
    )


def test_chosen_frames_only(toy):
    ws, plan = film(toy, Zero())
    whole = list(frames(toy, ws, plan, Zero()))
    assert [f.tolist() for f in frames(toy, ws, plan, Zero(), [3, 1])] == [
        whole[k].tolist() for k in (3, 1)
    ]


def test_bytes():
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(1, 3, 1, 5)
    assert to_bytes(image)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_wrong_requests(toy):
    ws, plan = film(toy, Zero())
    with pytest.raises(RequestError, match="no frame 9; the plan has frames 0-8"):
        next(frames(toy, ws, plan, Zero(), [9]))
    with pytest.raises(RequestError, match="ws for 2"):
        frames(toy, sample_ws(toy, 2), plan, Zero())
    with pytest.raises(RequestError, match="another network"):
        frames(TINY["dcgan"](), ws, plan, Zero())


@pytest.mark.model
def test_the_real_face(face_model):
    """Frame 0 is the intact picture of a real network, and a frame is the same twice."""
    from forgetting.ablation.pacing import UnitPacing
    from forgetting.models.latents import Seed

    ws = Seed().sample(face_model)
    plan = make_plan(face_model, ws, 5, Contribution(), Zero(), Schedule(until=0.6), UnitPacing())
    with torch.inference_mode():
        intact = to_bytes(face_model.bind(ws)())[0]
    first, second = (list(frames(face_model, ws, plan, Zero(), [0, 3])) for _ in range(2))
    assert np.array_equal(first[0], intact)
    assert np.array_equal(first[1], second[1])
