import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.engines.engine import render_rows
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.engines.torch_gpu import TorchGPU
from helpers import random_rows, render, sample_ws

OPERATORS = [Zero(), Prune(), Mean(), Average()]


TOLERANCE = {"float32": 50, "float16": 35, "bfloat16": 20}
"""Decibels that tiny random networks keep; their activations vary more than real ones."""


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize(("precision", "batch"), [("float32", 1), ("float32", 3), ("bfloat16", 3)])
def test_batches_equal_the_reference(tiny, operator, precision, batch):
    """The engine for a GPU renders seven frames on the CPU; its last batch is filled up."""
    task, sample = AblationTask.of(tiny, sample_ws(tiny), operator), random_rows(tiny, 7)
    engine = TorchGPU.start(task, precision, "cpu", batch)
    frames = render(engine, sample)
    assert len(frames) == 7
    assert psnr(frames, render(REFERENCE.start(task), sample)) >= TOLERANCE[precision]
    assert psnr(render(engine, sample[2:]), frames[2:]) >= 50, (
        "the position of a frame in its batch does not matter"
    )
    assert render(engine, []) == []


def test_rows_are_taken_as_they_are_needed(toy):
    """Engines take at most a batch more from an endless plan than they need."""
    taken = []

    def endless():
        while True:
            taken.append(torch.zeros(52))
            yield taken[-1]

    task = AblationTask.of(toy, sample_ws(toy), Zero())
    batched = TorchGPU.start(task, "float32", "cpu", 4)
    for engine, ahead in ((REFERENCE.start(task), 1), (batched, 8)):
        taken.clear()
        next(render_rows(engine, endless()))
        assert len(taken) <= ahead
