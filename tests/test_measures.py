"""Measures, and the curve of what they say."""

import builtins
import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from test_experiment import config

from forgetting import dependencies
from forgetting.ablation import plan as plans
from forgetting.analysis import curve, plot
from forgetting.analysis.curve import ForgettingCurve, landmarks
from forgetting.analysis.measure import MeasureSettings
from forgetting.analysis.metrics import faces, plain, registry
from forgetting.analysis.metrics.weights import _dequantised
from forgetting.engines.engine import to_bytes
from forgetting.errors import RequestError
from forgetting.jobs import run
from forgetting.models.latents import Seed

PLAIN = registry.select_metrics("plain")


def noise(seed=0, shape=(96, 80, 3)):
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


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
    assert plain.detail(grey)(noise()) > 0.05


def test_the_same_is_no_distance_and_others_are(cache_folder):
    picture, other = noise(1), noise(2)
    for name in PLAIN:
        measure = registry.METRICS[name].measure(picture)
        if name in ("structure", "step"):
            assert measure(picture) == 0
            assert measure(other) > 0.05


def test_steps_are_from_frame_to_frame_even_where_the_face_moves():
    a, b, c = (noise(seed) for seed in (1, 2, 3))
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
    frames = [noise(seed) for seed in range(4)]
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


def life(count=21, **columns):
    time = np.linspace(0, 1, count)
    return ForgettingCurve(
        np.arange(count) * 10.0,
        4 * time,
        0.8 * time,
        {name: np.array([f(t) for t in time]) for name, f in columns.items()},
    )


def test_landmarks():
    told = landmarks(
        life(
            structure=lambda t: 2 * t,
            identity=lambda t: 1 - t,
            face=lambda t: 0.9 if t < 0.5 else 0.1,
            step=lambda t: 1.0,
        )
    )
    assert told["half_life"]["structure"] == pytest.approx(
        {"frame": 100, "seconds": 2, "gone": 0.4}
    )
    assert told["last_person"]["gone"] == pytest.approx(
        0.48
    )  # 1 - 0.6 is still 0.363 and more; the next, at 0.65, is not
    assert told["last_face"]["frame"] == 90
    assert told["area"]["structure"] == pytest.approx(0.5)
    assert told["evenness"] == pytest.approx(0)


def test_landmarks_of_films_that_run_backwards_or_never_were_anybody():
    forward, back = life(structure=lambda t: t), life(structure=lambda t: 1 - t)
    back = ForgettingCurve(back.frames, back.seconds, back.gone[::-1], back.columns)
    ours, theirs = (landmarks(one)["half_life"]["structure"]["gone"] for one in (forward, back))
    assert ours == pytest.approx(theirs)
    told = landmarks(life(identity=lambda t: 0.1, structure=lambda t: 0.0))
    assert told == {
        "half_life": {},
        "last_person": None,
        "last_face": None,
        "area": {},
        "evenness": None,
    }


def test_a_curve_goes_into_a_file_and_comes_back(tmp_path):
    one = life(structure=lambda t: t**2, hue=lambda t: float("nan"))
    one.write(tmp_path / "curve.csv")
    again = curve.read_curve(tmp_path / "curve.csv")
    for name in ("frames", "seconds", "gone"):
        np.testing.assert_allclose(getattr(again, name), getattr(one, name), rtol=1e-8)
    np.testing.assert_allclose(again.columns["structure"], one.columns["structure"], rtol=1e-8)
    assert np.isnan(again.columns["hue"]).all()
    assert (tmp_path / "curve.csv").read_text().splitlines()[
        0
    ] == "frame,seconds,gone,structure,hue"
    told = curve.summarise(one, tmp_path / "summary.json", frames=210)
    assert json.loads((tmp_path / "summary.json").read_text()) == told
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match="is no forgetting curve"):
        curve.read_curve(tmp_path / "other.csv")


def test_the_same_curve_is_the_same_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="needs forgetting[measures]")
    one = life(structure=lambda t: t, identity=lambda t: 1 - t, face=lambda t: 0.9 - t)
    for name in ("a", "b"):
        plot.plot_curve(
            one,
            landmarks(one),
            [noise(k) for k in range(4)],
            [tmp_path / f"{name}.{kind}" for kind in ("png", "svg")],
        )
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.size[0] > 1500


FILM = (
    "generator=toy",
    "engine=torch",
    "film.fps=6",
    "film.duration=2",
    "film.preset=ultrafast",
    "measure.names=plain",
)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("film.layout=diptych",),
        ("film.wall=2x1",),
        ("latent=drift", "units=mapping"),
        ("film=png",),
    ],
)
def test_a_film_has_its_curve_beside_it(tmp_path, more):
    run.render(config(*FILM, *more), tmp_path)
    there = {path.name for path in tmp_path.iterdir()}
    assert {"curve.csv", "summary.json", "recipe.yaml"} <= there
    assert (
        ("curve.png" in there) == ("curve.svg" in there) == dependencies.is_installed("matplotlib")
    )
    one, plan = curve.read_curve(tmp_path / "curve.csv"), plans.load_plan(tmp_path / "plan.npz")
    assert one.frames.tolist() == [0, 3, 6, 9, 11], "two frames a second, and the last"
    assert one.gone.tolist() == pytest.approx([plan.share(int(index)) for index in one.frames])
    assert one.columns["structure"][0] == 0
    assert one.columns["structure"][-1] > 0.02
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["frames"], told["fps"], told["measured_frames"]) == (12, 6, 5)
    before = (tmp_path / "curve.csv").read_bytes()
    run.measure(tmp_path, MeasureSettings("plain"))
    assert (tmp_path / "curve.csv").read_bytes() == before, "measured again it is the same"


def test_a_face_that_moves_is_compared_with_itself(tmp_path):
    settings = (
        "latent=walk",
        "schedule=linear",
        "schedule.until=0.0001",
        "pacing=units",
        "film.ending=smudge",
    )
    run.render(config(*FILM, *settings), tmp_path)
    assert curve.read_curve(tmp_path / "curve.csv").columns["structure"].max() < 1e-3, (
        "nothing died"
    )


def test_a_film_of_which_there_is_only_the_file(tmp_path):
    path = run.render(config(*FILM, "film.size=128", "film.crf=1", "measure.rate=0"), tmp_path)
    own = curve.read_curve(tmp_path / "curve.csv")
    run.measure(path, MeasureSettings("plain", 0))
    found = curve.read_curve(tmp_path / "film.curve.csv")
    assert found.frames.tolist() == own.frames.tolist() == [*range(12)]
    np.testing.assert_allclose(found.columns["light"], own.columns["light"], atol=0.02)
    np.testing.assert_allclose(found.columns["structure"], own.columns["structure"], atol=0.05)
    assert (
        json.loads((tmp_path / "film.summary.json").read_text())["half_life"]["structure"]["gone"]
        is None
    )


def test_files_that_are_no_films(tmp_path):
    (tmp_path / "film.mp4").write_bytes(bytes(1000))
    with pytest.raises(RequestError, match="film.mp4 is no film that ffmpeg can read"):
        run.measure(tmp_path / "film.mp4", MeasureSettings("plain"))
    with pytest.raises(RequestError, match="there is no run in"):
        run.measure(tmp_path, MeasureSettings("plain"))
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_impossible_measuring():
    with pytest.raises(RequestError, match="measure.rate must lie between"):
        MeasureSettings(rate=-1)
    with pytest.raises(RequestError, match="no measure 'x'"):
        MeasureSettings("x")


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
    assert np.mean([faces.identity(one)(noise(3, one.shape)) for one in people]) < 0.1
    assert np.mean([faces.identity(one)(blurred(one, 16)) for one in people]) == pytest.approx(
        0.18, abs=0.03
    )


@pytest.mark.model
def test_distances_to_the_same_face(people):
    pytest.importorskip("flip_evaluator", reason="needs forgetting[measures]")
    one = people[0]
    worse = [one, *(blurred(one, sigma) for sigma in (1, 2, 4, 8, 16)), noise(1, one.shape)]
    for name in ("flip", "features"):
        measure = registry.METRICS[name].measure(one)
        told = [measure(picture) for picture in worse]
        assert told[0] == pytest.approx(0, abs=1e-6)
        assert told == sorted(told), f"{name} grows with blur, and noise is farthest"
