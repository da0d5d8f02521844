from dataclasses import replace

import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Mean, Zero
from forgetting.ablation.orderings.basic import Layers
from forgetting.ablation.plan import ablation
from forgetting.engines.engine import psnr
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.prefix_reuse import ResumePoint, resume_point
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.models.units import Units
from helpers import TINY, needs_openvino, random_rows, sample_ws

WELL_KNOWN = ("mobile_stylegan", "stylegan2")
"""What operators do does not depend on the network: these are tried with all of them, the others with one."""


LATE = [("coarse_to_fine", Zero()), ("fine_to_coarse", Mean())]
"""What they heard cut off, and not."""


@needs_openvino
@pytest.mark.parametrize(
    ("name", "order", "operator"),
    [
        (name, *late)
        for k, name in enumerate(TINY)
        for late in (LATE if name in WELL_KNOWN else [LATE[k % 2]])
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_frames_that_begin_late_equal_the_whole_way(name, order, operator):
    """Prefix reuse against the plain path, on plans by layer and on random rows."""
    tiny = TINY[name]()
    ws, units = sample_ws(tiny), Units(tiny.layers)
    by_layer = ablation(Layers(order=order)(tiny, units, ws), torch.linspace(0, 1, 9), 0.1)
    plan = torch.cat((by_layer, random_rows(tiny)))
    reference = TorchConfig().start(AblationTask.of(tiny, ws, operator))
    engine, _ = OpenVINOConfig("float32")(AblationTask.of(tiny, ws, operator), plan)
    assert psnr(engine(plan), list(reference(plan))) >= 50
    assert engine.shorter, "no frame of a film by layer began late"
    plain = replace(engine, source=None)
    assert psnr(engine(plan), list(plain(plan))) >= 50


@needs_openvino
def test_prefix_reuse_can_be_switched_off(toy):
    ws, units = sample_ws(toy), Units(toy.layers)
    by_layer = ablation(
        Layers(order="fine_to_coarse")(toy, units, ws), torch.linspace(0, 1, 9), 0.1
    )
    engine, _ = OpenVINOConfig("float32", reuse=False)(AblationTask.of(toy, ws, Zero()), by_layer)
    list(engine(by_layer))
    assert not engine.shorter


def test_where_a_frame_begins():
    intact, gone, between = torch.zeros(3), torch.ones(3), torch.tensor([0.0, 0.5, 1.0])
    assert resume_point([between, intact, intact], cuts=True) == ResumePoint(0)
    assert resume_point([intact, between, intact], cuts=True) == ResumePoint(1)
    assert resume_point([intact, intact, intact], cuts=True) == ResumePoint(0)
    assert resume_point([intact, intact, between], cuts=True) == ResumePoint(2)
    assert resume_point([gone, intact, between], cuts=True) == ResumePoint(2, frozenset({0}))
    assert resume_point([between, gone, between], cuts=True) == ResumePoint(2, frozenset({1}))
    assert resume_point([between, gone, between], cuts=False) == ResumePoint(0)
    assert resume_point([gone, between, between], cuts=False) == ResumePoint(1, frozenset({0}))
    assert resume_point([between, between, gone], cuts=True) == ResumePoint(2)
