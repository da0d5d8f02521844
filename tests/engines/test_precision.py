"""A precision is chosen by processor, size of the network and measured error, by no clock."""

import itertools
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines import openvino as compiled
from forgetting.engines import precision as precisions
from forgetting.engines.auto import AutoConfig
from forgetting.engines.engine import Rendered
from forgetting.engines.precision import choose_precision
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import ForgettingError
from helpers import (
    THREE_FRAMES,
    compose_config,
    file_hashes,
    needs_openvino,
    random_rows,
    render,
    render_config,
    sample_ws,
)

CLOCKS = ("perf_counter", "monotonic", "time", "process_time", "thread_time")


@dataclass(frozen=True)
class Rough:
    """An engine that adds an error of some levels of 255 to the frames of the reference."""

    task: AblationTask
    precision: str
    error: int
    name: str = "rough"

    def render(self, requests):
        for rendered in REFERENCE.start(self.task).render(requests):
            noise = np.where(np.arange(rendered.frame.size) % 2, self.error, -self.error)
            frame = rendered.frame.astype(int) + noise.reshape(rendered.frame.shape)
            yield Rendered(frame.clip(0, 255).astype(np.uint8))


@pytest.fixture
def choose(toy, monkeypatch):
    """Return a function: errors by precision, and the least work -> what was tried and chosen."""
    task = AblationTask.of(toy, sample_ws(toy), Zero())

    def choose(errors, least=0):
        tried = []

        def start(precision):
            tried.append(precision)
            return Rough(task, precision, errors[precision])

        monkeypatch.setitem(precisions.MIN_MULTIPLY_ADDS, "cpu", least)
        lower = [precision for precision in errors if precision != "float32"]
        reference, sample = REFERENCE.start(task), random_rows(toy)
        engine, why = choose_precision(start, lower, "cpu", reference, sample)
        return tried, engine.precision, why

    return choose


def test_the_first_precision_that_keeps_the_picture_is_chosen(choose):
    tried, precision, why = choose({"float16": 0, "bfloat16": 0, "float32": 0})
    assert (tried, precision) == (["float16"], "float16")
    assert why == (
        "this processor has instructions for float16, a frame takes 1 million multiply-adds, "
        "and it keeps inf dB (at least 45)"
    )


def test_a_precision_whose_error_is_too_large_is_not_chosen(choose):
    tried, precision, why = choose({"float16": 9, "bfloat16": 1, "float32": 0})
    assert (tried, precision) == (["float16", "bfloat16"], "bfloat16")
    assert why.startswith("float16 keeps 29 dB only (at least 45), this processor has")
    tried, precision, why = choose({"float16": 9, "bfloat16": 9, "float32": 0})
    assert precision == "float32"
    assert why.endswith("bfloat16 keeps 29 dB only (at least 45)")


def test_small_networks_are_computed_in_float32(choose):
    tried, precision, why = choose({"bfloat16": 0, "float32": 0}, least=3_000_000)
    assert (tried, precision) == (["float32"], "float32")
    assert why == (
        "a frame takes 1 million multiply-adds, and a lower precision pays from 3 million on"
    )


def test_a_precision_without_instructions_is_not_tried(choose):
    tried, precision, why = choose({"float32": 0})
    assert (tried, precision) == (["float32"], "float32")
    assert why == "this processor computes no lower precision faster"


def test_an_engine_whose_float32_is_another_picture_is_refused(choose):
    with pytest.raises(ForgettingError, match=r"rough in float32 does not make.*29 dB"):
        choose({"bfloat16": 9, "float32": 9})


@needs_openvino
def test_what_openvino_does_not_compute_is_not_tried(toy, monkeypatch):
    """Whatever torch says about the processor."""
    monkeypatch.setitem(precisions.MIN_MULTIPLY_ADDS, "cpu", 0)
    monkeypatch.setattr(compiled, "fast_precisions", lambda device: ("float16", "bfloat16"))
    monkeypatch.setattr(
        compiled,
        "CAPABILITIES",
        {"float32": "FP32"} | dict.fromkeys(("float16", "bfloat16"), "none"),
    )
    task = AblationTask.of(toy, sample_ws(toy), Zero())
    engine, why = AutoConfig(device="cpu").choose(task, random_rows(toy))
    assert engine.precision == "float32"
    assert why.endswith("computes no lower precision faster")


@needs_openvino
@pytest.mark.parametrize("direction", [1, -1])
def test_a_clock_that_lies_changes_nothing(tiny, monkeypatch, direction):
    """Whether float32 seems to take a thousand times as long as bfloat16, or the reverse."""
    monkeypatch.setitem(precisions.MIN_MULTIPLY_ADDS, "cpu", 0)
    monkeypatch.setattr(precisions, "MIN_PSNR", 0.0)  # random weights keep less than real ones
    task, sample = AblationTask.of(tiny, sample_ws(tiny), Zero()), random_rows(tiny)
    honest = AutoConfig(device="cpu").choose(task, sample)
    ticks = itertools.accumulate(1000.0 ** (direction * (k // 8)) for k in range(400))
    for clock in CLOCKS:
        monkeypatch.setattr(time, clock, lambda: next(ticks))
    lied = AutoConfig(device="cpu").choose(task, sample)
    monkeypatch.undo()
    assert (lied[0].precision, lied[1]) == (honest[0].precision, honest[1])


@pytest.fixture
def load():
    """Keep the processor busy, in bursts."""
    burn = "import time\nwhile True:\n    sum(range(300_000)); time.sleep(0.01)"
    processes = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(2)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
@needs_openvino
def test_ten_runs_under_load_give_the_same_bytes(tmp_path, load):
    settings = compose_config(
        *THREE_FRAMES, "engine=auto", "engine.device=cpu", "measure.names=none", "film.stations=2"
    )
    films = set()
    for k in range(10):
        render_config(settings, tmp_path / str(k))
        films.add(tuple(sorted(file_hashes(tmp_path / str(k)).items())))
    assert len(films) == 1


@pytest.mark.slow
@needs_openvino
def test_ten_engines_started_under_load_give_the_same_frames(toy, load, monkeypatch):
    """Where the network is large enough for a lower precision."""
    monkeypatch.setitem(precisions.MIN_MULTIPLY_ADDS, "cpu", 0)
    task, sample = AblationTask.of(toy, sample_ws(toy), Zero()), random_rows(toy)
    started = [AutoConfig(device="cpu").choose(task, sample) for _ in range(10)]
    assert len({(engine.precision, why) for engine, why in started}) == 1
    frames = {b"".join(frame.tobytes() for frame in render(e, sample)) for e, _ in started}
    assert len(frames) == 1
