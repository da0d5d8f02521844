from dataclasses import replace

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.removal import Level, Zero
from forgetting.engines.engine import FrameRequest, Outputs, Rendered
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.picture_fade import split_fade
from forgetting.engines.pixels import Planes, psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.models.units import PICTURE, Units
from helpers import needs_openvino, random_rows, render, sample_ws


def fading_task(network, level=-1.0) -> AblationTask:
    task = AblationTask.of(network, sample_ws(network), Zero())
    return replace(task, targets=(*task.targets, Target(Level(level), Units((PICTURE,)))))


def rows_with_fade(network, *amounts: float) -> torch.Tensor:
    row = random_rows(network)[1]
    return torch.stack([torch.cat((row, torch.tensor([amount]))) for amount in amounts])


@needs_openvino
@pytest.mark.parametrize("level", [-1.0, 0.25, 1.0])
def test_a_fade_of_bytes_is_the_fade_of_the_picture(toy, level):
    task, rows = fading_task(toy, level), rows_with_fade(toy, 0, 0.1, 0.5, 0.9, 1)
    engine, _ = OpenVINOConfig("float32").choose(task, rows)
    assert psnr(render(engine, rows), render(REFERENCE.start(task), rows)) >= 50


@needs_openvino
def test_the_network_renders_once_while_only_the_picture_fades(toy, monkeypatch):
    task, rows = fading_task(toy), rows_with_fade(toy, 0, 0.5, 1)
    engine, _ = OpenVINOConfig("float32").choose(task, rows)
    calls = []
    infer = type(engine.graphs).infer
    monkeypatch.setattr(
        type(engine.graphs), "infer", lambda *given: (calls.append(1), infer(*given))[1]
    )
    frames = render(engine, torch.cat((rows, rows[:1], rows.flip(1)[:1])))
    assert len(calls) == 2
    assert np.array_equal(frames[0], frames[3])
    assert not frames[2].any()


@needs_openvino
def test_planes_fade_as_rgb_does(toy):
    task, rows = fading_task(toy, 1.0), rows_with_fade(toy, 0, 0.3, 1)
    engine, _ = OpenVINOConfig("float32").choose(task, rows)
    outputs = Outputs(rgb=True, planes=True)
    intact, faded, gone = engine.render(FrameRequest(row, outputs=outputs) for row in rows)
    luma = intact.planes.luma + (235.0 - intact.planes.luma) * 0.3
    assert np.abs(faded.planes.luma - luma).max() <= 0.51
    assert (gone.planes.luma == 235).all()
    assert (gone.planes.chroma == 128).all()
    assert (gone.rgb == 255).all()


def test_only_constants_within_the_range_of_pictures_fade_bytes(toy):
    assert split_fade(fading_task(toy))[1].columns == (len(Units(toy.layers)),)
    for target in (
        Target(Level(3.0), Units((PICTURE,))),
        Target(Amplify(factor=2.0), Units((PICTURE,))),
    ):
        task = AblationTask.of(toy, sample_ws(toy), Zero())
        task = replace(task, targets=(*task.targets, target))
        network, fade = split_fade(task)
        assert network.targets == task.targets
        assert not fade.columns


def test_the_row_of_the_network_is_what_remains(toy):
    plain = AblationTask.of(toy, sample_ws(toy), Zero())
    task = replace(plain, targets=(Target(Level(-1.0), Units((PICTURE,))), *plain.targets))
    network, fade = split_fade(task)
    row = torch.arange(len(task)).float()
    assert network.targets == plain.targets
    assert torch.equal(fade.network_row(row), row[1:])
    frame = Rendered(np.full((2, 2, 3), 200, np.uint8), Planes(*np.zeros((2, 1, 1), np.uint8)))
    assert fade.apply(frame, torch.zeros(len(task))) is frame


@needs_openvino
def test_a_picture_fades_as_it_is_shown(toy):
    """What lies beyond white is white when a fade begins."""
    bright = replace(
        AblationTask.of(toy, sample_ws(toy), Zero()),
        targets=(
            Target(Amplify(factor=50.0), Units(toy.layers)),
            Target(Level(-1.0), Units((PICTURE,))),
        ),
    )
    row = torch.ones(1, len(bright))
    row[:, -1] = 0.5
    (frame,) = render(REFERENCE.start(bright), row)
    assert frame.max() <= 128
