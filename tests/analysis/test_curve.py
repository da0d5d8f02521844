"""Forgetting curves: their landmarks, files and plots."""

import json

import numpy as np
import pytest
from PIL import Image

from forgetting.analysis import curve, plot
from forgetting.analysis.curve import ForgettingCurve, landmarks
from forgetting.errors import RequestError
from helpers import noise_frame


def example_curve(count=21, **columns):
    time = np.linspace(0, 1, count)
    return ForgettingCurve(
        np.arange(count) * 10.0,
        4 * time,
        0.8 * time,
        {name: np.array([f(t) for t in time]) for name, f in columns.items()},
    )


def test_landmarks():
    marks = landmarks(
        example_curve(
            structure=lambda t: 2 * t,
            identity=lambda t: 1 - t,
            face=lambda t: 0.9 if t < 0.5 else 0.1,
            step=lambda t: 1.0,
        )
    )
    assert marks["half_life"]["structure"] == pytest.approx(
        {"frame": 100, "seconds": 2, "gone": 0.4}
    )
    # 1 - 0.6 is above the threshold of 0.363; the next value, 1 - 0.65, is not.
    assert marks["last_person"]["gone"] == pytest.approx(0.48)
    assert marks["last_face"]["frame"] == 90
    assert marks["area"]["structure"] == pytest.approx(0.5)
    assert marks["evenness"] == pytest.approx(0)


def test_landmarks_of_films_that_run_backwards_or_reach_none():
    forward, back = example_curve(structure=lambda t: t), example_curve(structure=lambda t: 1 - t)
    back = ForgettingCurve(back.frames, back.seconds, back.ablated[::-1], back.columns)
    ours, theirs = (landmarks(run)["half_life"]["structure"]["gone"] for run in (forward, back))
    assert ours == pytest.approx(theirs)
    marks = landmarks(example_curve(identity=lambda t: 0.1, structure=lambda t: 0.0))
    assert marks == {
        "half_life": {},
        "last_person": None,
        "last_face": None,
        "area": {},
        "evenness": None,
    }


def test_a_curve_is_read_as_it_was_written(tmp_path):
    written = example_curve(structure=lambda t: t**2, hue=lambda t: float("nan"))
    written.write(tmp_path / "curve.csv")
    again = curve.read_curve(tmp_path / "curve.csv")
    for name in ("frames", "seconds", "ablated"):
        np.testing.assert_allclose(getattr(again, name), getattr(written, name), rtol=1e-8)
    np.testing.assert_allclose(again.columns["structure"], written.columns["structure"], rtol=1e-8)
    assert np.isnan(again.columns["hue"]).all()
    head = (tmp_path / "curve.csv").read_text().splitlines()[0]
    assert head == "frame,seconds,gone,structure,hue"
    summary = curve.summarise(written, tmp_path / "summary.json", frames=210)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match="is no forgetting curve"):
        curve.read_curve(tmp_path / "other.csv")


def test_equal_curves_give_equal_plots(tmp_path):
    pytest.importorskip("matplotlib", reason="needs forgetting[measures]")
    example = example_curve(structure=lambda t: t, identity=lambda t: 1 - t, face=lambda t: 0.9 - t)
    for name in ("a", "b"):
        plot.plot_curve(
            example,
            landmarks(example),
            [noise_frame(k) for k in range(4)],
            [tmp_path / f"{name}.{kind}" for kind in ("png", "svg")],
        )
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 1500


def test_every_line_of_a_comparison_has_a_legend(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="needs forgetting[measures]")
    figures = []
    monkeypatch.setattr(plot, "save_figure", lambda figure, paths: figures.append(figure))
    measured = example_curve(structure=lambda t: t)
    plot.plot_comparison({"a": [measured], "b": [measured]}, [tmp_path / "x.png"])
    plot.plot_comparison({"a": [measured]}, [tmp_path / "x.png"])
    several, alone = (
        [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        for figure in figures
    )
    assert "median of another strategy" in several
    assert alone == several[:-1]
