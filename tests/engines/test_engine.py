from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.engines import openvino as compiled
from forgetting.engines.auto import AutoConfig
from forgetting.engines.engine import FrameRequest, Outputs
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.openvino_graphs import VERSION
from forgetting.engines.pixels import from_bytes, psnr, to_bytes
from forgetting.engines.torch_cpu import REFERENCE, TorchConfig, resolve_device
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models.activity import cell_count
from forgetting.parts import find_part
from helpers import TINY, needs_openvino, random_rows, render, sample_ws

OPERATORS = [Zero(), Prune(), Mean(), Average()]


TOLERANCE = {"float32": 50, "float16": 35, "bfloat16": 20}
"""Decibels that tiny random networks keep; their activations vary more than real ones."""


ENGINES = [pytest.param(OpenVINOConfig, marks=needs_openvino), TorchConfig]


def computes_in(precision):
    import openvino

    return compiled.CAPABILITIES[precision] in openvino.Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


ALL_OPERATORS = ("mobile_stylegan", "stylegan2")
"""Networks that are tried with all operators, which do not depend on the network."""


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        (name, operator)
        for name in TINY
        for operator in (OPERATORS if name in ALL_OPERATORS else OPERATORS[:1])
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("config", ENGINES)
def test_every_engine_equals_the_reference(name, operator, config):
    tiny = TINY[name]()
    task, sample = AblationTask.of(tiny, sample_ws(tiny), operator), random_rows(tiny)
    expected = render(REFERENCE.start(task), sample)
    tried = 0
    for precision, decibels in TOLERANCE.items():
        if precision != "float32" and not isinstance(operator, Zero):
            continue  # operators do not depend on the precision
        if config is OpenVINOConfig and not computes_in(precision):
            with pytest.raises(RequestError, match=f"does not compute in {precision}"):
                config(precision).choose(task, sample)
            continue
        engine, why = config(precision).choose(task, sample)
        frames = render(engine, sample)
        assert engine.precision == precision
        assert precision in why
        assert psnr(frames, expected) >= decibels, precision
        assert np.array_equal(render(engine, sample), frames), "frames are repeatable"
        tried += 1
    assert tried >= 1


def test_folding_can_be_switched_off(tiny):
    task, sample = AblationTask.of(tiny, sample_ws(tiny), Zero()), random_rows(tiny)
    folded, plain = (TorchConfig(device="cpu", fold=fold).start(task) for fold in (True, False))
    assert np.array_equal(render(folded, sample), render(plain, sample))


def test_devices_that_the_machine_does_not_have_are_refused(toy):
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in (name for name in available if not available[name]):
        with pytest.raises(
            RequestError,
            match=f"this machine has no engine.device '{device}'; it has .*cpu",
        ):
            TorchConfig(device=device).start(task)
    assert TorchConfig(device="auto").start(task).device in ("cpu", "cuda", "mps")


def test_the_intact_frame_of_the_reference_is_the_picture_of_the_network(tiny):
    ws = sample_ws(tiny)
    frame = render(REFERENCE.start(AblationTask.of(tiny, ws, Zero())), random_rows(tiny)[:1])[0]
    assert np.array_equal(frame, to_bytes(tiny.bind(ws)())[0])


@pytest.mark.parametrize("config", [*ENGINES, "gpu"])
@pytest.mark.parametrize("areas", [1, 3])
def test_frames_that_record_are_the_same_and_record_what_the_reference_records(toy, config, areas):
    task, rows = AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy)
    task = replace(task, areas=areas)
    if config == "gpu":
        engine = TorchGPU.start(task, "float32", "cpu", 3)
    else:
        engine, _ = config("float32").choose(task, rows)
    requests = [FrameRequest(row) for row in rows]
    recording = [FrameRequest(row, outputs=Outputs(activity=True)) for row in rows]
    plain, recorded = list(engine.render(requests)), list(engine.render(recording))
    expected = REFERENCE.start(task).render(recording)
    assert all(rendered.activity is None for rendered in plain)
    for ours, without in zip(recorded, plain, strict=True):
        assert np.array_equal(ours.rgb, without.rgb)
    cells = sum(cell_count(layer) for layer in toy.layers)
    for ours, reference in zip(recorded, expected, strict=True):
        assert ours.activity.shape == (cells, areas, areas)
        np.testing.assert_allclose(ours.activity, reference.activity, atol=1e-4)


@pytest.mark.parametrize("config", ENGINES)
def test_engines_say_what_their_frames_depend_on(toy, config):
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    engine, _ = config("float32").choose(task, random_rows(toy))
    assert (engine.precision, engine.device) == ("float32", resolve_device("auto"))
    versions = {"torch": {}, "openvino": {"openvino": version("openvino"), "graphs": VERSION}}
    assert engine.versions() == versions[engine.name]
    assert find_part(f"engine/{engine.name}") is config


def test_the_gpu_engine_depends_on_torch_alone(toy):
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    assert TorchGPU.start(task, "float32", "cpu", 3).versions() == {}


def test_unknown_precisions_are_refused():
    for kind in (AutoConfig, OpenVINOConfig, TorchConfig):
        with pytest.raises(
            RequestError, match=r"no engine.precision 'float8'.*float32, float16, bfloat16"
        ):
            kind("float8")


def test_bytes_survive_a_round_trip():
    frame = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    assert np.array_equal(to_bytes(from_bytes(frame))[0], frame)


def test_psnr_is_that_of_the_worst_frame():
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert psnr([black], [black]) == float("inf")
    assert psnr([black, grey], [black, black]) == 0.0
