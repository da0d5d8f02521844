"""The precision of a dream follows from the processor, the work and the error, not from a clock."""

import itertools
import time

import numpy as np
import pytest
import torch
from torch import nn

from forgetting.dreams import precision as precisions
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy
from forgetting.dreams.precision import choose_precision
from forgetting.models.classifier import Classifier, Preparation


@pytest.fixture
def gradient():
    torch.manual_seed(2)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    normal = Preparation((127.5,) * 3, (127.5,) * 3)
    classifier = Classifier(nn.Sequential(*layers, *head), 32, normal, ["cat", "dog"], min_size=8)
    return ObjectiveGradient(classifier, [(1.0, Energy("2").bind(classifier))])


@pytest.fixture
def picture():
    return torch.from_numpy(np.random.RandomState(3).rand(1, 3, 32, 32)).float() - 0.5


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(precisions, "fast_precisions", lambda device: ("float16", "bfloat16"))
    monkeypatch.setattr(precisions, "MIN_MULTIPLY_ADDS", 0)


def test_bfloat16_is_taken_where_it_is_fast_and_nearly_exact(gradient, picture, fast):
    precision, why = choose_precision(gradient, picture)
    assert precision == "bfloat16"
    assert why == (
        "this processor has instructions for bfloat16, a gradient takes 1 million multiply-adds, "
        "and the direction of its gradient keeps a cosine of 1.00 (at least 0.9)"
    )


def test_a_processor_without_instructions_dreams_in_float32(gradient, picture, fast, monkeypatch):
    monkeypatch.setattr(precisions, "fast_precisions", lambda device: ("float16",))
    precision, why = choose_precision(gradient, picture)
    assert (precision, why) == ("float32", "this processor computes no lower precision faster")


def test_little_work_is_done_in_float32(gradient, picture, fast, monkeypatch):
    monkeypatch.setattr(precisions, "MIN_MULTIPLY_ADDS", 3_000_000)
    precision, why = choose_precision(gradient, picture)
    assert precision == "float32"
    assert why.endswith("1 million multiply-adds, and a lower precision pays from 3 million on")


def test_a_gradient_with_another_direction_is_not_followed(gradient, picture, fast, monkeypatch):
    exact = ObjectiveGradient.gradient

    def turned(self, picture):
        return exact(self, picture) * (1 if self.precision == torch.float32 else -1)

    monkeypatch.setattr(ObjectiveGradient, "gradient", turned)
    precision, why = choose_precision(gradient, picture)
    assert precision == "float32"
    assert why.startswith("in bfloat16, the direction of its gradient keeps a cosine of -1.00")


def test_a_picture_without_a_gradient_is_dreamed_in_float32(gradient, picture, fast, monkeypatch):
    monkeypatch.setattr(ObjectiveGradient, "gradient", lambda self, picture: 0 * picture)
    assert choose_precision(gradient, picture)[0] == "float32"


@pytest.mark.parametrize("direction", [1, -1])
def test_a_clock_that_lies_changes_nothing(gradient, picture, fast, monkeypatch, direction):
    ticks = itertools.accumulate(1000.0 ** (direction * (k // 6)) for k in range(100))
    for clock in ("perf_counter", "monotonic", "time", "process_time"):
        monkeypatch.setattr(time, clock, lambda: next(ticks))
    chosen = choose_precision(gradient, picture)[0]
    monkeypatch.undo()
    assert chosen == "bfloat16"
