"""Compiled graphs and choices of precision are kept between runs, and change no frame."""

from dataclasses import replace

import numpy as np
import pytest

from forgetting import files, result_cache
from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines import compiled_graphs, openvino
from forgetting.engines.engine import FrameRequest, Outputs
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.openvino_graphs import GraphSource
from helpers import TINY, needs_openvino, random_rows, render, sample_ws

pytestmark = [needs_openvino, pytest.mark.slow]

EVERYTHING = Outputs(rgb=True, planes=True, activity=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give every test a cache of its own."""
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse(*_):
    raise AssertionError("it was computed again")


def task_of(network, identity="a" * 64) -> AblationTask:
    task = AblationTask.of(network, sample_ws(network), Zero())
    return replace(task, identity=identity)


def everything(engine, rows) -> list[bytes]:
    """Return the bytes of all that an engine makes of rows."""
    rendered = engine.render(FrameRequest(row, outputs=EVERYTHING) for row in rows)
    return [
        b"".join(x.tobytes() for x in (frame.rgb, *frame.planes, frame.activity))
        for frame in rendered
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TINY)
def test_a_kept_graph_makes_the_same_bytes(name, precision, monkeypatch):
    tiny = TINY[name]()
    rows = random_rows(tiny)
    first, _ = OpenVINOConfig(precision).choose(task_of(tiny), rows)
    expected = everything(first, rows)
    monkeypatch.setattr(GraphSource, "trace", refuse)
    second, _ = OpenVINOConfig(precision).choose(task_of(tiny), rows)
    assert everything(second, rows) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "b" * 64},
        {"precision": "bfloat16"},
        {"wavelets": "convolution"},
        {"areas": 2},
        {"moving": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_makes_another_graph(toy, change, monkeypatch):
    rows = random_rows(toy)
    settings = {"precision": "float32"}
    OpenVINOConfig(**settings).choose(task_of(toy), rows)
    of_engine = {key: value for key, value in change.items() if key in ("precision", "wavelets")}
    of_task = {key: value for key, value in change.items() if key not in of_engine}
    monkeypatch.setattr(GraphSource, "trace", refuse)
    with pytest.raises(AssertionError, match="computed again"):
        task = replace(task_of(toy), **of_task)
        OpenVINOConfig(**(settings | of_engine)).choose(task, rows)


def test_another_processor_or_version_uses_no_graph_of_this_one(toy, monkeypatch):
    OpenVINOConfig("float32").choose(task_of(toy), random_rows(toy))
    identity = compiled_graphs.processor_identity
    monkeypatch.setattr(
        compiled_graphs, "processor_identity", lambda core: [*identity(core), "another"]
    )
    monkeypatch.setattr(GraphSource, "trace", refuse)
    with pytest.raises(AssertionError, match="computed again"):
        OpenVINOConfig("float32").choose(task_of(toy), random_rows(toy))


@pytest.mark.parametrize("damage", ["changed", "cut", "no graph"])
def test_a_damaged_graph_is_compiled_again(toy, cache, damage):
    rows = random_rows(toy)
    config = OpenVINOConfig("float32", reuse=False)
    engine, _ = config.choose(task_of(toy), rows)
    expected = render(engine, rows)
    (path,) = (cache / result_cache.FOLDER / "graphs").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "changed":
        data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "changed" else data[: len(data) // 2])
    if damage == "no graph":
        result_cache.store("graphs", path.name, b"something else")
    again, _ = config.choose(task_of(toy), rows)
    for ours, theirs in zip(render(again, rows), expected, strict=True):
        assert np.array_equal(ours, theirs)


def test_without_an_identity_nothing_is_kept(toy, cache):
    OpenVINOConfig("float32").choose(task_of(toy, None), random_rows(toy))
    assert not (cache / result_cache.FOLDER).exists()
    assert files.cache_folder() == cache


def test_a_choice_of_precision_is_kept_with_its_reason(toy, monkeypatch):
    rows = random_rows(toy)
    first, why = OpenVINOConfig().choose(task_of(toy), rows)
    monkeypatch.setattr(openvino, "choose_precision", refuse)
    second, again = OpenVINOConfig().choose(task_of(toy), rows)
    assert (second.precision, again) == (first.precision, why)
    with pytest.raises(AssertionError, match="computed again"):
        OpenVINOConfig().choose(task_of(toy), rows[1:])  # other frames may need another precision


def test_a_kept_choice_that_this_processor_cannot_make_is_not_taken(toy, monkeypatch):
    monkeypatch.setattr(openvino, "load_json", lambda *_: {"precision": "int4", "why": "x"})
    engine, why = OpenVINOConfig().choose(task_of(toy), random_rows(toy))
    assert engine.precision in ("float32", "bfloat16", "float16")
    assert why != "openvino in int4: x"
