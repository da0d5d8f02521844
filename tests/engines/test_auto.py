import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.plan import ablation
from forgetting.engines import openvino as compiled
from forgetting.engines import precision as precisions
from forgetting.engines.auto import AutoConfig
from forgetting.engines.engine import psnr
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import needs_openvino, random_rows, sample_ws


@needs_openvino
def test_a_compiler_that_makes_another_picture_is_not_taken(toy, monkeypatch):
    real = compiled.OpenVINOEngine.of
    monkeypatch.setattr(
        compiled.OpenVINOEngine, "of", staticmethod(lambda *arguments: Inverted(real(*arguments)))
    )
    engine, why = AutoConfig()(AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy))
    assert engine.name == "torch"
    assert "openvino in float32 does not make the picture that torch makes" in why


class Inverted:
    name = "openvino"

    def __init__(self, engine):
        self.engine = engine

    def __call__(self, rows):
        return (255 - frame for frame in self.engine(rows))


@needs_openvino
def test_auto_says_what_it_took_and_why(tiny):
    engine, why = AutoConfig()(AblationTask.of(tiny, sample_ws(tiny), Zero()), random_rows(tiny))
    assert engine.name == "openvino"
    assert why.startswith(f"openvino in {engine.precision}: the fastest that keeps 45 dB (float32")


@needs_openvino
def test_auto_keeps_the_picture(toy, monkeypatch):
    """A precision that is fast and wrong is not taken."""
    real = compiled.OpenVINOEngine.of

    def wrong_when_half(core, graph, kind):
        engine = real(core, graph, kind)
        return (
            engine if kind == "float32" else (lambda rows: (255 - frame for frame in engine(rows)))
        )

    monkeypatch.setattr(compiled.OpenVINOEngine, "of", staticmethod(wrong_when_half))
    monkeypatch.setattr(
        precisions,
        "_seconds",
        lambda engine, sample: 1.0 if isinstance(engine, compiled.OpenVINOEngine) else 0.1,
    )
    engine, _ = AutoConfig()(AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy))
    assert engine.precision == "float32"


def test_auto_does_without_openvino(toy, monkeypatch):
    monkeypatch.setattr(compiled, "available", lambda: False)
    engine, why = AutoConfig()(AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy))
    assert (engine.name, why) == ("torch", "torch in float32: openvino is not installed")
    with pytest.raises(
        RequestError, match="not installed; use engine=torch, or pip install openvino"
    ):
        OpenVINOConfig()(AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy))


@needs_openvino
def test_auto_falls_back_with_one_sentence(toy, monkeypatch):
    def refuse(*_):
        raise RuntimeError("unsupported\n operation")

    monkeypatch.setattr(compiled.GraphSource, "graph", refuse)
    engine, why = AutoConfig("bfloat16")(
        AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy)
    )
    assert (engine.name, engine.precision) == ("torch", "bfloat16")
    assert (
        why
        == "torch in bfloat16: openvino did not take the network (RuntimeError: unsupported operation)"
    )


@needs_openvino
@pytest.mark.model
def test_the_real_face_keeps_its_picture(face_model):
    """The default film's arc: whatever auto takes, at least 45 dB against the reference on frames it did not choose by."""
    from forgetting.ablation.orderings.basic import Contribution
    from forgetting.models.latents import Seed

    ws = Seed()(face_model)
    rank = Contribution()(face_model, Units(face_model.layers), ws)
    engine, why = AutoConfig()(
        AblationTask.of(face_model, ws, Zero()), ablation(rank, torch.linspace(0, 0.6, 5), 0.036)
    )
    print(why)
    reference, others = (
        TorchConfig().start(AblationTask.of(face_model, ws, Zero())),
        ablation(rank, torch.linspace(0.05, 0.57, 4), 0.036),
    )
    assert engine.name == "openvino"
    assert psnr(engine(others), list(reference(others))) >= 45
