import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.engines import openvino as compiled
from forgetting.engines.auto import AutoConfig
from forgetting.engines.engine import from_bytes, psnr, to_bytes
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from helpers import TINY, needs_openvino, random_rows, sample_ws

OPERATORS = [Zero(), Prune(), Mean(), Average()]


TOLERANCE = {"float32": 50, "float16": 35, "bfloat16": 20}
"""Decibels that tiny random networks keep: bytes may differ by rounding, and their activations are wilder than real ones."""


ENGINES = [pytest.param(OpenVINOConfig, marks=needs_openvino), TorchConfig]


def able(precision):
    import openvino

    return compiled.CAPABILITIES[precision] in openvino.Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


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
    ws, sample = sample_ws(tiny), random_rows(tiny)
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


def test_folding_can_be_switched_off(tiny):
    ws, sample = sample_ws(tiny), random_rows(tiny)
    folded, plain = (
        TorchConfig(fold=fold).start(AblationTask.of(tiny, ws, Zero())) for fold in (True, False)
    )
    assert all(np.array_equal(*pair) for pair in zip(folded(sample), plain(sample), strict=True))


def test_devices_that_are_not_here(toy):
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in (name for name in here if not here[name]):
        with pytest.raises(
            RequestError,
            match=f"there is no engine.device '{device}' on this machine; .*cpu is here",
        ):
            TorchConfig(device=device).start(AblationTask.of(toy, sample_ws(toy), Zero()))
    assert TorchConfig(device="auto").start(
        AblationTask.of(toy, sample_ws(toy), Zero())
    ).device in ("cpu", "cuda", "mps")


def test_the_reference_leaves_an_untouched_picture_untouched(tiny):
    ws = sample_ws(tiny)
    frame = next(TorchConfig().start(AblationTask.of(tiny, ws, Zero()))(random_rows(tiny)))
    assert np.array_equal(frame, to_bytes(tiny.bind(ws)())[0])


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
