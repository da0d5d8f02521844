from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, faces

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.ablation.orderings.basic import Layers
from forgetting.ablation.plan import ablation
from forgetting.engines import openvino as compiled
from forgetting.engines import precision as precisions
from forgetting.engines.auto import AutoConfig
from forgetting.engines.engine import from_bytes, psnr, to_bytes
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.prefix_reuse import ResumePoint, resume_point
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models.units import Units

OPERATORS = [Zero(), Prune(), Mean(), Average()]
TOLERANCE = {"float32": 50, "float16": 35, "bfloat16": 20}
"""Decibels that tiny random networks keep: bytes may differ by rounding, and their activations are wilder than real ones."""


needs_openvino = pytest.mark.skipif(
    not compiled.available(), reason="there is no package of openvino for this machine"
)
ENGINES = [pytest.param(OpenVINOConfig, marks=needs_openvino), TorchConfig]


def able(precision):
    import openvino

    return compiled.CAPABILITIES[precision] in openvino.Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


def rows(generator, count=4):
    draw = torch.Generator().manual_seed(0)
    random = torch.rand(count - 2, len(Units(generator.layers)), generator=draw)
    return torch.cat((torch.zeros(1, random.shape[1]), random, torch.ones(1, random.shape[1])))


WELL_KNOWN = ("mobile_stylegan", "stylegan2")
"""What operators do does not depend on the network: these are tried with all of them, the others with one."""


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        (name, operator)
        for name in TINY
        for operator in (OPERATORS if name in WELL_KNOWN else OPERATORS[:1])
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
@pytest.mark.parametrize("start", ENGINES)
def test_every_engine_agrees_with_the_reference(name, operator, start):
    tiny = TINY[name]()
    ws, sample = faces(tiny), rows(tiny)
    reference = TorchConfig().start(AblationTask.of(tiny, ws, operator))
    expected = list(reference(sample))
    tried = 0
    for precision, decibels in TOLERANCE.items():
        if precision != "float32" and not isinstance(operator, Zero):
            continue  # what the operators do does not depend on it
        if start is OpenVINOConfig and not able(precision):
            with pytest.raises(RequestError, match=f"does not compute in {precision}"):
                start(precision)(AblationTask.of(tiny, ws, operator), sample)
            continue
        engine, why = start(precision)(AblationTask.of(tiny, ws, operator), sample)
        found = list(engine(sample))
        assert engine.precision == precision
        assert precision in why
        assert psnr(found, expected) >= decibels, precision
        assert all(np.array_equal(*pair) for pair in zip(engine(sample), found, strict=True)), (
            "it repeats itself"
        )
        tried += 1
    assert tried >= 1


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
    ws, units = faces(tiny), Units(tiny.layers)
    by_layer = ablation(Layers(order=order)(tiny, units, ws), torch.linspace(0, 1, 9), 0.1)
    plan = torch.cat((by_layer, rows(tiny)))
    reference = TorchConfig().start(AblationTask.of(tiny, ws, operator))
    engine, _ = OpenVINOConfig("float32")(AblationTask.of(tiny, ws, operator), plan)
    assert psnr(engine(plan), list(reference(plan))) >= 50
    assert engine.shorter, "no frame of a film by layer began late"
    plain = replace(engine, source=None)
    assert psnr(engine(plan), list(plain(plan))) >= 50


@needs_openvino
def test_prefix_reuse_can_be_switched_off(toy):
    ws, units = faces(toy), Units(toy.layers)
    by_layer = ablation(
        Layers(order="fine_to_coarse")(toy, units, ws), torch.linspace(0, 1, 9), 0.1
    )
    engine, _ = OpenVINOConfig("float32", reuse=False)(AblationTask.of(toy, ws, Zero()), by_layer)
    list(engine(by_layer))
    assert not engine.shorter


def test_folding_can_be_switched_off(tiny):
    ws, sample = faces(tiny), rows(tiny)
    folded, plain = (
        TorchConfig(fold=fold).start(AblationTask.of(tiny, ws, Zero())) for fold in (True, False)
    )
    assert all(np.array_equal(*pair) for pair in zip(folded(sample), plain(sample), strict=True))


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize(("precision", "batch"), [("float32", 1), ("float32", 3), ("bfloat16", 3)])
def test_batches_agree_with_the_reference(tiny, operator, precision, batch):
    """What runs on a GPU, run here on the CPU: seven frames in batches of three, the last one filled up."""
    ws, sample = faces(tiny), rows(tiny, 7)
    with torch.inference_mode():
        engine = TorchGPU.of(AblationTask.of(tiny, ws, operator), precision, "cpu", batch)
    expected = list(TorchConfig().start(AblationTask.of(tiny, ws, operator))(sample))
    found = list(engine(sample))
    assert len(found) == 7
    assert psnr(found, expected) >= TOLERANCE[precision]
    assert psnr(engine(sample[2:]), found[2:]) >= 50, (
        "where a frame stands in a batch does not matter"
    )
    assert list(engine([])) == []


def test_rows_are_taken_as_they_are_needed(toy):
    """An endless plan: engines may look a batch ahead, no further."""
    taken = []

    def endless():
        while True:
            taken.append(torch.zeros(52))
            yield taken[-1]

    with torch.inference_mode():
        batched = TorchGPU.of(AblationTask.of(toy, faces(toy), Zero()), "float32", "cpu", 4)
    for engine, ahead in (
        (TorchConfig().start(AblationTask.of(toy, faces(toy), Zero())), 1),
        (batched, 8),
    ):
        taken.clear()
        next(iter(engine(endless())))
        assert len(taken) <= ahead


def test_devices_that_are_not_here(toy):
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in (name for name in here if not here[name]):
        with pytest.raises(
            RequestError,
            match=f"there is no engine.device '{device}' on this machine; .*cpu is here",
        ):
            TorchConfig(device=device).start(AblationTask.of(toy, faces(toy), Zero()))
    assert TorchConfig(device="auto").start(AblationTask.of(toy, faces(toy), Zero())).device in (
        "cpu",
        "cuda",
        "mps",
    )


@needs_openvino
def test_a_compiler_that_makes_another_picture_is_not_taken(toy, monkeypatch):
    real = compiled.OpenVINOEngine.of
    monkeypatch.setattr(
        compiled.OpenVINOEngine, "of", staticmethod(lambda *arguments: Inverted(real(*arguments)))
    )
    engine, why = AutoConfig()(AblationTask.of(toy, faces(toy), Zero()), rows(toy))
    assert engine.name == "torch"
    assert "openvino in float32 does not make the picture that torch makes" in why


class Inverted:
    name = "openvino"

    def __init__(self, engine):
        self.engine = engine

    def __call__(self, rows):
        return (255 - frame for frame in self.engine(rows))


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


def test_the_reference_leaves_an_untouched_picture_untouched(tiny):
    ws = faces(tiny)
    frame = next(TorchConfig().start(AblationTask.of(tiny, ws, Zero()))(rows(tiny)))
    assert np.array_equal(frame, to_bytes(tiny.bind(ws)())[0])


@needs_openvino
def test_auto_says_what_it_took_and_why(tiny):
    engine, why = AutoConfig()(AblationTask.of(tiny, faces(tiny), Zero()), rows(tiny))
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
    engine, _ = AutoConfig()(AblationTask.of(toy, faces(toy), Zero()), rows(toy))
    assert engine.precision == "float32"


def test_auto_does_without_openvino(toy, monkeypatch):
    monkeypatch.setattr(compiled, "available", lambda: False)
    engine, why = AutoConfig()(AblationTask.of(toy, faces(toy), Zero()), rows(toy))
    assert (engine.name, why) == ("torch", "torch in float32: openvino is not installed")
    with pytest.raises(
        RequestError, match="not installed; use engine=torch, or pip install openvino"
    ):
        OpenVINOConfig()(AblationTask.of(toy, faces(toy), Zero()), rows(toy))


@needs_openvino
def test_auto_falls_back_with_one_sentence(toy, monkeypatch):
    def refuse(*_):
        raise RuntimeError("unsupported\n operation")

    monkeypatch.setattr(compiled.GraphSource, "graph", refuse)
    engine, why = AutoConfig("bfloat16")(AblationTask.of(toy, faces(toy), Zero()), rows(toy))
    assert (engine.name, engine.precision) == ("torch", "bfloat16")
    assert (
        why
        == "torch in bfloat16: openvino did not take the network (RuntimeError: unsupported operation)"
    )


def test_unknown_precisions():
    for kind in (AutoConfig, OpenVINOConfig, TorchConfig):
        with pytest.raises(
            RequestError, match=r"no engine.precision 'float8'.*float32, float16, bfloat16"
        ):
            kind("float8")


def test_bytes_there_and_back():
    frame = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    assert np.array_equal(to_bytes(from_bytes(frame))[0], frame)


def test_psnr():
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert psnr([black], [black]) == float("inf")
    assert psnr([black, grey], [black, black]) == 0.0


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
