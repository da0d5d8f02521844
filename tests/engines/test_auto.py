import re

import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.plan import ablation
from forgetting.engines import openvino as compiled
from forgetting.engines import openvino_graphs
from forgetting.engines.auto import AutoConfig
from forgetting.engines.openvino import OpenVINOConfig, OpenVINOEngine
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import RequestError
from helpers import needs_openvino, random_rows, rank, render, sample_ws


class Inverted(OpenVINOEngine):
    """An engine whose frames are negatives."""

    def render(self, requests):
        for rendered in super().render(requests):
            yield rendered._replace(frame=255 - rendered.frame)


@needs_openvino
def test_a_compiler_that_makes_another_picture_is_not_chosen(toy, monkeypatch):
    monkeypatch.setattr(compiled, "OpenVINOEngine", Inverted)
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    engine, why = AutoConfig().choose(task, random_rows(toy))
    assert engine.name == "torch"
    assert "openvino in float32 does not make the picture that torch makes" in why


@needs_openvino
def test_auto_says_what_it_chose_and_why(tiny):
    task = AblationTask.of(tiny, sample_ws(tiny), Zero())
    engine, why = AutoConfig().choose(task, random_rows(tiny))
    assert engine.name == "openvino"
    assert re.match(r"openvino in float32: (this processor|a frame takes \d+ million)", why)


def test_auto_works_without_openvino(toy, monkeypatch):
    monkeypatch.setattr(compiled, "available", lambda: False)
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    engine, why = AutoConfig(device="cpu").choose(task, random_rows(toy))
    assert (engine.name, why) == ("torch", "torch in float32: openvino is not installed")
    with pytest.raises(
        RequestError, match="not installed; use engine=torch, or pip install openvino"
    ):
        OpenVINOConfig().choose(task, random_rows(toy))


@needs_openvino
def test_auto_falls_back_with_one_sentence(toy, monkeypatch):
    def refuse(*_):
        raise RuntimeError("unsupported\n operation")

    monkeypatch.setattr(openvino_graphs.GraphSource, "trace", refuse)
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    engine, why = AutoConfig("bfloat16").choose(task, random_rows(toy))
    assert (engine.name, engine.precision) == ("torch", "bfloat16")
    assert why == (
        "torch in bfloat16: openvino did not take the network (RuntimeError: unsupported operation)"
    )


@needs_openvino
@pytest.mark.model
def test_the_real_face_keeps_its_picture(face_model):
    """The chosen engine keeps 45 dB on frames of the default film that it was not chosen by."""
    from forgetting.ablation.orderings.scores import Contribution
    from forgetting.models.latents import Seed

    ws = Seed().sample(face_model)
    task, ranks = AblationTask.of(face_model, ws, Zero()), rank(Contribution(), face_model, ws=ws)
    engine, why = AutoConfig().choose(task, ablation(ranks, torch.linspace(0, 0.6, 5), 0.036))
    print(why)
    others = ablation(ranks, torch.linspace(0.05, 0.57, 4), 0.036)
    assert engine.name == "openvino"
    assert psnr(render(engine, others), render(REFERENCE.start(task), others)) >= 45
