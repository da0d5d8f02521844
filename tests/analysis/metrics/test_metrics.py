"""Measures, and the curve of what they say."""

import builtins

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from forgetting import dependencies
from forgetting.analysis.metrics import faces, plain, registry
from forgetting.analysis.metrics.weights import _dequantised
from forgetting.engines.engine import to_bytes
from forgetting.errors import RequestError
from forgetting.models.latents import Seed
from helpers import noise_frame

PLAIN = registry.select_metrics("plain")


def said(names, *frames, intact):
    return [
        told
        for _, told in registry.measure_frames(
            names, [(k, frame, intact) for k, frame in enumerate(frames)]
        )
    ]


def test_plain_measures_by_hand():
    red, grey = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 128, np.uint8)
    red[..., 0] = 255
    (of_red,), (of_grey,) = (said(PLAIN, one, intact=grey) for one in (red, grey))
    assert of_red["light"] == pytest.approx(0.2126, abs=1e-4)
    assert of_red["hue"] == pytest.approx(0)
    assert of_red["colour"] == pytest.approx(
        np.sqrt(((np.array([1, 0, 0]) - 0.2126) ** 2).mean()), abs=1e-4
    )
    assert of_grey["colour"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(of_grey["hue"])
    for name, colour, degrees in (
        ("green", (0, 200, 0), 120),
        ("blue", (0, 0, 90), 240),
        ("yellow", (200, 200, 0), 60),
    ):
        assert plain.hue(grey)(np.full((8, 8, 3), colour, np.uint8)) == pytest.approx(degrees), name
    assert of_red["detail"] == pytest.approx(0, abs=1e-6)
    assert plain.detail(grey)(noise_frame()) > 0.05


def test_the_same_is_no_distance_and_others_are(cache_folder):
    picture, other = noise_frame(1), noise_frame(2)
    for name in PLAIN:
        measure = registry.METRICS[name].measure(picture)
        if name in ("structure", "step"):
            assert measure(picture) == 0
            assert measure(other) > 0.05


def test_steps_are_from_frame_to_frame_even_where_the_face_moves():
    a, b, c = (noise_frame(seed) for seed in (1, 2, 3))
    told = [
        one["step"]
        for _, one in registry.measure_frames(
            ["step", "structure"], [(0, a, a), (5, b, b), (9, b, c)]
        )
    ]
    assert told[0] == 0
    assert told[1] == pytest.approx(plain.structure(a)(b))
    assert told[2] == 0


def test_figures_do_not_depend_on_how_many_come_together():
    frames = [noise_frame(seed) for seed in range(4)]
    names = [
        name for name in PLAIN if name not in ("step", "hue")
    ]  # a grey picture has no hue, which equals nothing
    together = said(names, *frames, intact=frames[0])
    assert together == [said(names, frame, intact=frames[0])[0] for frame in frames]


def test_names():
    assert registry.select_metrics("none") == []
    assert registry.select_metrics("all") == list(registry.METRICS)
    assert registry.select_metrics(["hue", "structure"]) == ["structure", "hue"]
    assert set(PLAIN) == {"structure", "step", "light", "colour", "hue", "detail"}
    with pytest.raises(RequestError, match="no measure 'flp' .did you mean 'flip'"):
        registry.select_metrics("flp")


def test_without_the_packages_the_extra_is_named(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        dependencies.importlib, "import_module", lambda name: real("no_such_package_" + name)
    )
    for module in ("flip_evaluator", "onnxruntime", "matplotlib"):
        monkeypatch.setattr(
            dependencies.importlib,
            "import_module",
            lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name.partition(".")[0])),
        )
        with pytest.raises(
            RequestError,
            match=rf"this needs {module}, which is not installed; pip install 'forgetting\[measures\]' brings it",
        ):
            dependencies.import_extra(module, "measures")
    monkeypatch.setattr(dependencies, "here", lambda module: False)
    assert registry.select_metrics("auto") == PLAIN


def test_blocks_are_dequantised_as_onnx_says():
    x = np.arange(24, dtype=np.int8).reshape(2, 12)
    scale, zero = (
        np.array([[1, 2, 3], [4, 5, 6]], np.float32),
        np.array([[0, 1, 2], [3, 4, 5]], np.int8),
    )
    slow = np.array(
        [
            [(float(x[r, c]) - zero[r, c // 4]) * scale[r, c // 4] for c in range(12)]
            for r in range(2)
        ]
    )
    assert np.array_equal(_dequantised(x, scale, zero, 1, 4), slow)


def test_points_are_brought_onto_points():
    draw = np.random.RandomState(3)
    here, angle = draw.randn(5, 2) * 30, 0.7
    turn = 1.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = faces.similarity(here, here @ turn.T + [4, -9])
    np.testing.assert_allclose(found, np.column_stack((turn, [4, -9])), atol=1e-9)


@pytest.fixture(scope="module")
def people(face_model):
    with torch.inference_mode():
        pictures = [
            to_bytes(face_model.bind(Seed(seed)(face_model))())[0].numpy() for seed in range(8)
        ]
    return [
        np.asarray(Image.fromarray(one).resize((512, 512), Image.Resampling.LANCZOS))
        for one in pictures
    ]


def blurred(picture, sigma):
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


@pytest.mark.model
def test_faces_score_as_they_are_known_to(people):
    """Against what others measured with these networks on such faces."""
    pytest.importorskip("onnxruntime", reason="needs forgetting[measures]")
    scores = [faces.detect_face(one).score for one in people]
    assert min(scores) >= 0.905
    assert max(scores) <= 0.93
    mean = float(np.mean([faces.detect_face(blurred(one, 16)).score for one in people]))
    assert mean == pytest.approx(0.60, rel=0.05)


@pytest.mark.model
def test_identity_as_it_is_known_to_be(people):
    pytest.importorskip("onnxruntime", reason="needs forgetting[measures]")
    dimmed = [faces.identity(one)((one * 0.7).astype(np.uint8)) for one in people]
    assert min(dimmed) > 0.93
    assert np.mean(dimmed) == pytest.approx(0.98, rel=0.05)
    assert [faces.identity(one)(one) for one in people[:2]] == pytest.approx([1, 1], abs=1e-5)
    strangers = [faces.identity(a)(b) for a in people[:4] for b in people[4:]]
    assert max(strangers) < 0.5
    assert np.mean(strangers) < 0.37
    assert np.mean([faces.identity(one)(noise_frame(3, one.shape)) for one in people]) < 0.1
    assert np.mean([faces.identity(one)(blurred(one, 16)) for one in people]) == pytest.approx(
        0.18, abs=0.03
    )


@pytest.mark.model
def test_distances_to_the_same_face(people):
    pytest.importorskip("flip_evaluator", reason="needs forgetting[measures]")
    one = people[0]
    worse = [one, *(blurred(one, sigma) for sigma in (1, 2, 4, 8, 16)), noise_frame(1, one.shape)]
    for name in ("flip", "features"):
        measure = registry.METRICS[name].measure(one)
        told = [measure(picture) for picture in worse]
        assert told[0] == pytest.approx(0, abs=1e-6)
        assert told == sorted(told), f"{name} grows with blur, and noise is farthest"
