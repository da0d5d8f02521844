"""Measuring films: as they are rendered, again, and as files without a run."""

import json

import numpy as np
import pytest

from forgetting import dependencies
from forgetting.ablation import plan as plans
from forgetting.analysis import curve
from forgetting.analysis.measure import MeasureSettings
from forgetting.errors import RequestError
from forgetting.jobs import run
from helpers import compose_config, render_config

pytestmark = pytest.mark.slow

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
        ("film.grid=2x1",),
        ("latent=drift", "units=mapping"),
        ("film=png",),
    ],
)
def test_the_curve_of_a_film_lies_beside_it(tmp_path, more):
    render_config(compose_config(*FILM, *more), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"curve.csv", "summary.json", "recipe.yaml"} <= names
    assert (
        ("curve.png" in names) == ("curve.svg" in names) == dependencies.is_installed("matplotlib")
    )
    measured = curve.read_curve(tmp_path / "curve.csv")
    plan = plans.load_plan(tmp_path / "plan.npz")
    assert measured.frames.tolist() == [0, 3, 6, 9, 11], "two frames a second, and the last"
    assert measured.ablated.tolist() == pytest.approx(
        [plan.ablated_share(int(index)) for index in measured.frames]
    )
    assert measured.columns["structure"][0] == 0
    assert measured.columns["structure"][-1] > 0.02
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["frames"], summary["fps"], summary["measured_frames"]) == (12, 6, 5)
    before = (tmp_path / "curve.csv").read_bytes()
    run.measure(tmp_path, MeasureSettings("plain"))
    assert (tmp_path / "curve.csv").read_bytes() == before, "measuring again gives the same"


def test_a_moving_face_is_compared_with_itself(tmp_path):
    settings = (
        "latent=walk",
        "schedule=linear",
        "schedule.until=0.0001",
        "pacing=units",
        "film.ending=smudge",
    )
    render_config(compose_config(*FILM, *settings), tmp_path)
    assert curve.read_curve(tmp_path / "curve.csv").columns["structure"].max() < 1e-3, (
        "no unit is ablated"
    )


def test_a_film_without_its_run(tmp_path):
    path = render_config(
        compose_config(*FILM, "film.size=128", "film.crf=1", "measure.rate=0"), tmp_path
    )
    own = curve.read_curve(tmp_path / "curve.csv")
    run.measure(path, MeasureSettings("plain", 0))
    measured = curve.read_curve(tmp_path / "film.curve.csv")
    assert measured.frames.tolist() == own.frames.tolist() == [*range(12)]
    np.testing.assert_allclose(measured.columns["light"], own.columns["light"], atol=0.02)
    np.testing.assert_allclose(measured.columns["structure"], own.columns["structure"], atol=0.05)
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


def test_impossible_settings():
    with pytest.raises(RequestError, match="measure.rate must lie between"):
        MeasureSettings(rate=-1)
    with pytest.raises(RequestError, match="no measure 'x'"):
        MeasureSettings("x")
