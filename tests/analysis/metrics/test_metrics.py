"""Metrics: their values, their selection, and the published scores of their networks."""

import gc
import sys
import weakref

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from forgetting import dependencies, parts
from forgetting.analysis import metrics
from forgetting.analysis.curve import ForgettingCurve, landmarks
from forgetting.analysis.metrics import faces, features, plain, registry
from forgetting.analysis.metrics.measurer import FrameMeasurer
from forgetting.analysis.metrics.picture import Picture
from forgetting.analysis.metrics.weights import _dequantised
from forgetting.engines.pixels import to_bytes
from forgetting.errors import RequestError
from forgetting.models.classifier_networks import CLASSIFIERS
from forgetting.models.latents import Seed
from helpers import noise_frame, randomised

PLAIN = registry.select_metrics("plain")


def measured(names, *frames, intact):
    """Return the numbers of each frame, by the name of the metric."""
    measurer = FrameMeasurer(names, lambda index: index - 1 if index else None)
    return [measurer.measure(index, frame, intact) for index, frame in enumerate(frames)]


def test_plain_metrics_by_hand():
    red, grey = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 128, np.uint8)
    red[..., 0] = 255
    (of_red,), (of_grey,) = (measured(PLAIN, frame, intact=grey) for frame in (red, grey))
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
        picture = Picture(np.full((8, 8, 3), colour, np.uint8))
        hue = plain.MeanHue().bind(Picture(grey))(picture)
        assert hue == pytest.approx(degrees), name
    assert of_red["detail"] == pytest.approx(0, abs=1e-6)
    assert plain.HighFrequencyEnergy().bind(Picture(grey))(Picture(noise_frame())) > 0.05


def test_only_equal_pictures_have_no_distance():
    picture, other = Picture(noise_frame(1)), Picture(noise_frame(2))
    for name in PLAIN:
        measure = registry.find_metric(name).bind(picture)
        if name in ("structure", "step"):
            assert measure(Picture(picture.frame, previous=picture)) == 0
            assert measure(Picture(other.frame, previous=picture)) > 0.05


def test_steps_are_from_frame_to_frame_even_if_the_intact_picture_changes():
    a, b, c = (noise_frame(seed) for seed in (1, 2, 3))
    measurer = FrameMeasurer(["step", "structure"], {5: 0, 9: 5}.get)
    frames = ((0, a, a), (5, b, b), (9, b, c))
    steps = [measurer.measure(index, frame, intact)["step"] for index, frame, intact in frames]
    assert steps[0] == 0
    assert steps[1] == pytest.approx(plain.StructureDistance().bind(Picture(a))(Picture(b)))
    assert steps[2] == 0


def test_a_frame_is_measured_only_right_after_the_one_before_it():
    """Another process has measured what lies between: the numbers are the same as there."""
    frames = {index: noise_frame(index) for index in (0, 5, 9, 12)}
    before, intact = {5: 0, 9: 5, 12: 9}, noise_frame(20)

    def numbers(*indices):
        measurer = FrameMeasurer(["step", "structure"], before.get)
        return {index: measurer.measure(index, frames[index], intact) for index in indices}

    whole = numbers(0, 5, 9, 12)
    assert numbers(9, 12) == {9: None, 12: whole[12]}
    assert numbers(0, 9, 12) == {0: whole[0], 9: None, 12: whole[12]}
    assert whole[12]["step"] > 0


def test_no_picture_holds_those_that_were_measured_before():
    """The memory of a long film would grow with every measured frame."""
    frames, measurer = [], FrameMeasurer(["step"], lambda index: index - 1 if index else None)
    for index in range(20):
        frame = noise_frame(index)
        frames.append(weakref.ref(frame))
        measurer.measure(index, frame, frame)
    del frame
    gc.collect()
    assert sum(frame() is not None for frame in frames) <= 2


def test_numbers_do_not_depend_on_how_many_frames_are_measured():
    frames = [noise_frame(seed) for seed in range(4)]
    # A grey picture has no hue: NaN, which equals nothing.
    names = [name for name in PLAIN if name not in ("step", "hue")]
    together = measured(names, *frames, intact=frames[0])
    assert together == [measured(names, frame, intact=frames[0])[0] for frame in frames]


def test_the_selection_of_metrics():
    assert registry.select_metrics("none") == []
    assert registry.select_metrics("all") == registry.metric_names()
    assert registry.select_metrics(["hue", "structure"]) == ["structure", "hue"]
    assert set(PLAIN) == {"structure", "step", "light", "colour", "hue", "detail"}
    with pytest.raises(RequestError, match="no measure 'flp' .did you mean 'flip'"):
        registry.select_metrics("flp")


def test_without_the_packages_the_extra_is_named(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError(name=name.partition(".")[0])

    for module in ("flip_evaluator", "onnxruntime", "matplotlib"):
        message = (
            f"this needs {module}, which is not installed; "
            r'pip install "forgetting\[measures\]" installs it'
        )
        with monkeypatch.context() as patched:
            patched.setattr(dependencies.importlib, "import_module", fail)
            with pytest.raises(RequestError, match=message):
                dependencies.import_extra(module, "measures")


@pytest.mark.parametrize("missing", [None, "flip_evaluator", "onnxruntime", "onnx"])
def test_auto_selects_what_is_installed(monkeypatch, missing):
    """All metrics, or those that need no package if any package is missing."""
    monkeypatch.setattr(dependencies, "is_installed", lambda module: module != missing)
    expected = PLAIN if missing else registry.metric_names()
    assert registry.select_metrics("auto") == expected


NEW_METRIC = """
from dataclasses import dataclass

from forgetting.analysis.metrics.metric import Metric
from forgetting.parts import part


@part("metric/{name}")
@dataclass(frozen=True)
class NewMetric(Metric):
    label = "{name} of a frame"
    is_distance = True
    requires = ("no_such_package",)

    def bind(self, intact):
        return lambda picture: float(picture.frame.mean()) - float(intact.frame.mean())
"""


@pytest.fixture
def new_metrics(tmp_path, monkeypatch):
    """Two metrics in files of their own, as if they lay in the package."""
    folder = tmp_path / "forgetting" / "analysis" / "metrics"
    folder.mkdir(parents=True)
    for name in ("warmth", "blur"):
        (folder / f"{name}.py").write_text(NEW_METRIC.format(name=name))
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(folder)])
    with monkeypatch.context() as patched:
        patched.setattr(parts, "_PACKAGE", tmp_path / "forgetting")
        added = parts.part_modules.__wrapped__()
    for name, module in added.items():
        monkeypatch.setitem(parts.part_modules(), name, module)
        monkeypatch.setitem(parts._CLASSES, name, None)  # removed again after the test
    yield added
    registry.find_metric.cache_clear()
    for module in added.values():
        sys.modules.pop(module, None)


def test_a_new_metric_is_a_class_in_a_file(new_metrics):
    """It is selected, measured and summarised; its column follows those that are known."""
    package = "forgetting.analysis.metrics"
    assert new_metrics == {"metric/blur": f"{package}.blur", "metric/warmth": f"{package}.warmth"}
    names, known = registry.metric_names(), len(registry.ORDER)
    assert names[:known] == list(registry.ORDER)
    assert names[known:] == sorted(names[known:])
    assert {"blur", "warmth"} <= set(names[known:])
    assert registry.select_metrics("all") == names
    assert registry.select_metrics("plain") == PLAIN
    assert registry.select_metrics(["warmth", "light", "blur"]) == ["light", "blur", "warmth"]
    assert registry.select_metrics("auto") == PLAIN, "a package that the new metrics need is absent"
    levels = [np.full((8, 8, 3), level, np.uint8) for level in (10, 30, 50)]
    rows = measured(["light", "warmth"], *levels, intact=levels[0])
    assert [row["warmth"] for row in rows] == [0, 20, 40]
    curve = ForgettingCurve.of(enumerate(rows), 1, [0, 0.5, 1])
    assert landmarks(curve)["half_life"]["warmth"]["gone"] == 0.5
    by_name = registry.known_metrics(["other", "warmth", "light"])
    assert list(by_name) == ["light", "warmth"]
    assert by_name["warmth"].label == "warmth of a frame"
    with pytest.raises(RequestError, match="no measure 'warm' .did you mean 'warmth'"):
        registry.select_metrics("warm")


def test_every_metric_describes_itself():
    for name in registry.metric_names():
        metric = registry.find_metric(name)
        assert metric.label
        assert type(metric).__doc__
        assert metric.threshold is None or not metric.is_distance
        if name in registry.select_metrics("plain"):
            assert not metric.requires


def test_blocks_share_a_scale_as_in_onnx():
    x = np.arange(24, dtype=np.int8).reshape(2, 12)
    scale, zero = (
        np.array([[1, 2, 3], [4, 5, 6]], np.float32),
        np.array([[0, 1, 2], [3, 4, 5]], np.int8),
    )
    expected = np.array(
        [
            [(float(x[r, c]) - zero[r, c // 4]) * scale[r, c // 4] for c in range(12)]
            for r in range(2)
        ]
    )
    assert np.array_equal(_dequantised(x, scale, zero, 1, 4), expected)


def test_the_similarity_between_two_sets_of_points_is_recovered():
    draw = np.random.RandomState(3)
    points, angle = draw.randn(5, 2) * 30, 0.7
    linear = 1.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    fitted = faces.fit_similarity(points, points @ linear.T + [4, -9])
    np.testing.assert_allclose(fitted, np.column_stack((linear, [4, -9])), atol=1e-9)


@pytest.fixture(scope="module")
def people(face_model):
    with torch.inference_mode():
        pictures = [
            to_bytes(face_model.bind(Seed(seed).sample(face_model))())[0].numpy()
            for seed in range(8)
        ]
    return [
        np.asarray(Image.fromarray(picture).resize((512, 512), Image.Resampling.LANCZOS))
        for picture in pictures
    ]


def blurred(picture, sigma):
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


@pytest.mark.model
def test_scores_of_faces(people):
    """Against the scores that others measured with these networks on such faces."""
    pytest.importorskip("onnxruntime", reason="needs forgetting[measures]")
    scores = [faces.detect_face(Picture(face)).score for face in people]
    assert min(scores) >= 0.905
    assert max(scores) <= 0.93
    mean = float(np.mean([faces.detect_face(Picture(blurred(face, 16))).score for face in people]))
    assert mean == pytest.approx(0.60, rel=0.05)


@pytest.mark.model
def test_similarities_of_identities(people):
    pytest.importorskip("onnxruntime", reason="needs forgetting[measures]")

    def identity(intact, frame):
        return faces.IdentitySimilarity().bind(Picture(intact))(Picture(frame))

    dimmed = [identity(face, (face * 0.7).astype(np.uint8)) for face in people]
    assert min(dimmed) > 0.93
    assert np.mean(dimmed) == pytest.approx(0.98, rel=0.05)
    assert [identity(face, face) for face in people[:2]] == pytest.approx([1, 1], abs=1e-5)
    strangers = [identity(a, b) for a in people[:4] for b in people[4:]]
    assert max(strangers) < 0.5
    assert np.mean(strangers) < 0.37
    assert np.mean([identity(face, noise_frame(3, face.shape)) for face in people]) < 0.1
    of_blurred = [identity(face, blurred(face, 16)) for face in people]
    assert np.mean(of_blurred) == pytest.approx(0.18, abs=0.03)


@pytest.mark.model
def test_distances_grow_with_blur(people):
    pytest.importorskip("flip_evaluator", reason="needs forgetting[measures]")
    face = people[0]
    worse = [blurred(face, sigma) for sigma in (1, 2, 4, 8, 16)]
    worse = [face, *worse, noise_frame(1, face.shape)]
    for name in ("flip", "features"):
        measure = registry.find_metric(name).bind(Picture(face))
        distances = [measure(Picture(picture)) for picture in worse]
        assert distances[0] == pytest.approx(0, abs=1e-6)
        assert distances == sorted(distances), f"{name} grows with blur, and noise is farthest"


@pytest.mark.parametrize("side", [1, 8, 16, 17, 32])
def test_features_of_pictures_too_small_for_the_network(monkeypatch, side):
    """Their pixels are repeated; the weights are random here."""
    network = randomised(CLASSIFIERS["squeezenet-imagenet"].build(3), 5)
    monkeypatch.setattr(features, "_network", lambda: network.features)
    frame = noise_frame(1, (side, side, 3))
    picture, other = Picture(frame), Picture(noise_frame(2, (side, side, 3)))
    measure = features.FeatureDistance().bind(picture)
    assert measure(picture) == 0
    assert measure(other) > 0
    assert len(features.slice_features(picture)) == len(features.SLICES)
    times = {1: 17, 8: 3, 16: 2}.get(side, 1)
    repeated = Picture(frame.repeat(times, 0).repeat(times, 1))
    for slice_of_picture, slice_of_repeated in zip(
        features.slice_features(picture), features.slice_features(repeated), strict=True
    ):
        assert torch.equal(slice_of_picture, slice_of_repeated)
