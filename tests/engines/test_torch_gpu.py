import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.engines.engine import psnr
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.engines.torch_gpu import TorchGPU
from helpers import random_rows, sample_ws

OPERATORS = [Zero(), Prune(), Mean(), Average()]


TOLERANCE = {"float32": 50, "float16": 35, "bfloat16": 20}
"""Decibels that tiny random networks keep: bytes may differ by rounding, and their activations are wilder than real ones."""


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize(("precision", "batch"), [("float32", 1), ("float32", 3), ("bfloat16", 3)])
def test_batches_agree_with_the_reference(tiny, operator, precision, batch):
    """What runs on a GPU, run here on the CPU: seven frames in batches of three, the last one filled up."""
    ws, sample = sample_ws(tiny), random_rows(tiny, 7)
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
        batched = TorchGPU.of(AblationTask.of(toy, sample_ws(toy), Zero()), "float32", "cpu", 4)
    for engine, ahead in (
        (TorchConfig().start(AblationTask.of(toy, sample_ws(toy), Zero())), 1),
        (batched, 8),
    ):
        taken.clear()
        next(iter(engine(endless())))
        assert len(taken) <= ahead
