import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Mean, Zero
from forgetting.ablation.orderings.combined import Layers
from forgetting.ablation.plan import ablation
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.openvino_graphs import WHOLE
from forgetting.engines.pixels import psnr
from forgetting.engines.prefix_reuse import ResumePoint, resume_point
from forgetting.engines.torch_cpu import REFERENCE
from helpers import TINY, needs_openvino, random_rows, rank, render, sample_ws

BOTH_FILMS = ("mobile_stylegan", "stylegan2")
"""Networks that are tried with both films, the others with one of them."""


FILMS = [("coarse_to_fine", Zero()), ("fine_to_coarse", Mean())]
"""Films whose ablated layers cut off those in front of them, and films whose do not."""


@needs_openvino
@pytest.mark.parametrize(
    ("name", "order", "operator"),
    [
        (name, *film)
        for k, name in enumerate(TINY)
        for film in (FILMS if name in BOTH_FILMS else [FILMS[k % 2]])
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_frames_that_start_late_equal_frames_from_the_start(name, order, operator):
    """Prefix reuse changes no frame of plans by layer and of random rows."""
    tiny = TINY[name]()
    task = AblationTask.of(tiny, sample_ws(tiny), operator)
    by_layer = ablation(rank(Layers(order=order), tiny), torch.linspace(0, 1, 9), 0.1)
    plan = torch.cat((by_layer, random_rows(tiny)))
    expected = render(REFERENCE.start(task), plan)
    engine, _ = OpenVINOConfig("float32").choose(task, plan)
    assert psnr(render(engine, plan), expected) >= 50
    assert len(engine.graphs.beginnings) > 1, "no frame of a film by layer started late"
    plain, _ = OpenVINOConfig("float32", reuse=False).choose(task, plan)
    assert psnr(render(engine, plan), render(plain, plan)) >= 50


@needs_openvino
def test_prefix_reuse_can_be_switched_off(toy):
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    by_layer = ablation(rank(Layers(order="fine_to_coarse"), toy), torch.linspace(0, 1, 9), 0.1)
    engine, _ = OpenVINOConfig("float32", reuse=False).choose(task, by_layer)
    render(engine, by_layer)
    assert engine.graphs.beginnings == {WHOLE}


def test_a_frame_starts_at_the_first_layer_that_needs_its_row():
    intact, ablated, between = torch.zeros(3), torch.ones(3), torch.tensor([0.0, 0.5, 1.0])
    assert resume_point([between, intact, intact], cuts=True) == ResumePoint(0)
    assert resume_point([intact, between, intact], cuts=True) == ResumePoint(1)
    assert resume_point([intact, intact, intact], cuts=True) == ResumePoint(0)
    assert resume_point([intact, intact, between], cuts=True) == ResumePoint(2)
    assert resume_point([ablated, intact, between], cuts=True) == ResumePoint(2, frozenset({0}))
    assert resume_point([between, ablated, between], cuts=True) == ResumePoint(2, frozenset({1}))
    assert resume_point([between, ablated, between], cuts=False) == ResumePoint(0)
    assert resume_point([ablated, between, between], cuts=False) == ResumePoint(1, frozenset({0}))
    assert resume_point([between, between, ablated], cuts=True) == ResumePoint(2)
