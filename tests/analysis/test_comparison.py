"""Comparing runs: medians, differences on the same faces, tables and mosaics."""

import csv
import itertools
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from forgetting.analysis import comparison, finished_runs, mosaic
from forgetting.analysis.comparison import Strategy, estimate, strategies
from forgetting.analysis.finished_runs import FinishedRun
from forgetting.analysis.labels import RunLabels
from forgetting.errors import RequestError
from forgetting.film import decoder
from forgetting.film.images import fit
from helpers import compose_config, render_config

pytestmark = pytest.mark.slow

SMALL = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=64",
    "film.fps=6",
    "film.duration=2",
    "pacing=units",
]


def finished(strategy, face, summary):
    labels = RunLabels(f"{strategy}, seed {face}", strategy, f"seed {face}")
    return FinishedRun(Path(), f"{strategy}-{face}", None, summary, None, labels)


def summary_of(half, person=None, to_the_end=False):
    summary = {"half_life": {"structure": {"gone": half}}, "render_seconds": 1.5}
    return summary | (
        {"last_person": {"gone": person, "to_the_end": to_the_end}} if person is not None else {}
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two strategies and faces, all measured but one; an unfinished run, and a recipe of soup."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, (ordering, seed) in enumerate(itertools.product(("random", "magnitude"), (2, 10))):
        measured = "measure.names=none" if number == 3 else "measure.names=plain"
        render_config(
            compose_config(*SMALL, f"ordering={ordering}", f"latent.seed={seed}", measured),
            folder / str(number),
        )
    render_config(
        compose_config(*SMALL, "film.segment=6") | {"render": {"shard": "1/2"}}, folder / "half"
    )
    (folder / "soup").mkdir()
    (folder / "soup" / "recipe.yaml").write_text("carrots: 3\n")
    return folder


def test_runs_below_a_folder(sweep):
    runs = finished_runs.finished_runs(sweep)
    assert [(run.strategy, run.face, run.name) for run in runs] == [
        ("magnitude", "seed 2", "2"),
        ("magnitude", "seed 10", "3"),
        ("random", "seed 2", "0"),
        ("random", "seed 10", "1"),
    ]
    assert [run.title for run in finished_runs.finished_runs(sweep / "0")] == ["random, seed 2"]
    with pytest.raises(RequestError, match="there is no finished film in"):
        finished_runs.finished_runs(sweep / "soup")


def test_the_coverage_of_the_interval_of_a_median():
    """95 % or more of the intervals hold the true median of a skewed distribution."""
    draw = random.Random(5)
    true = np.log(2)
    for count in (6, 12, 25):
        held = 0
        for _ in range(2000):
            interval = estimate(draw.expovariate(1) for _ in range(count))
            held += interval.low <= true <= interval.high
        assert 0.94 <= held / 2000 <= 0.99
    few = estimate([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (few.count, few.value, few.low, few.high) == (5, 3.0, None, None)
    twelve = estimate(range(12))
    assert (twelve.value, twelve.low, twelve.high) == (5.5, 2, 9)


def test_figures_are_medians_of_faces_and_differences_are_on_the_same_face():
    """Repetitions with other seeds count once; faces that only one strategy has are left out."""
    slow = Strategy(
        "slow", [finished("slow", face, summary_of(0.1 * face + 0.05)) for face in range(8)]
    )
    fast = Strategy(
        "fast",
        [finished("fast", face, summary_of(0.1 * face)) for face in range(7)]
        + [finished("fast", 0, summary_of(0.2))] * 2,
    )
    assert fast.by_face("half_life.structure")["seed 0"] == pytest.approx(0.2)
    difference = slow.compare(fast, "half_life.structure")
    assert difference.estimate.count == 7
    assert difference.estimate.value == pytest.approx(0.05)
    assert difference.larger == 6
    assert slow.compare(fast, "last_person") is None
    spread = slow.estimate("half_life.structure")
    assert spread.high - spread.low > 0.3
    width = difference.estimate.high - difference.estimate.low
    assert width < 0.3, "differences on the same face vary less than the medians"


def test_the_figure_of_a_film_that_ended_before_is_a_bound():
    runs = [finished("a", face, summary_of(0.1, 0.4 + 0.1 * face, face > 2)) for face in range(6)]
    median = Strategy("a", runs).estimate("last_person")
    assert median.value == pytest.approx(0.65)
    assert not median.censored
    assert Strategy("a", runs[2:]).estimate("last_person").censored
    others = [finished("b", face, summary_of(0.1, 0.9, True)) for face in range(6)]
    difference = Strategy("a", runs).compare(Strategy("b", others), "last_person")
    assert difference.estimate.count == 3, "it is not known where both films ended before"
    assert difference.larger == 0


def test_the_ranking():
    many = [
        finished(name, face, summary_of(half, 0.5))
        for name, half in (("short", 0.1), ("long", 0.3))
        for face in range(6)
    ]
    ranked = strategies([*many, finished("unmeasured", 0, {})])
    assert [strategy.name for strategy in ranked] == ["long", "short", "unmeasured"]
    heads, rows = comparison.ranking(ranked)
    assert heads == ["strategy", "faces", "half-life", "last person", "render time, s"]
    assert rows[0] == ["long", "6", "30.0 % [30.0, 30.0]", "50.0 % [50.0, 50.0]", "1.5 [1.5, 1.5]"]
    assert rows[2] == ["unmeasured", "1", "", "", ""]
    heads, rows = comparison.paired(ranked)
    assert heads[0] == "minus long"
    assert rows[0][1] == "-20.0 points [-20.0, -20.0], larger on 0 of 6"
    assert "13 films, 3 strategies, 6 faces." in comparison.report(ranked)
    assert comparison.caution(ranked[:2]) is None
    assert "'unmeasured' has 1" in comparison.caution(ranked)
    assert comparison.caution(ranked[2:]) is None, "nothing is ranked"
    with pytest.raises(RequestError, match="half_life"):
        strategies(many, "half-life")


def test_comparing_a_sweep(sweep, caplog):
    ranked = comparison.compare(sweep)
    assert "a ranking of so few faces means little" in caplog.text
    assert "a ranking of so few faces" in (sweep / "comparison.md").read_text().lower()
    assert {strategy.name for strategy in ranked} == {"random", "magnitude"}
    made = ("comparison.csv", "comparison.md", "comparison.png", "contact.png", "mosaic.mp4")
    assert all((sweep / name).stat().st_size > 100 for name in made)
    assert not list(sweep.glob("*.part"))
    rows = list(csv.DictReader((sweep / "comparison.csv").read_text().splitlines()))
    assert (rows[0]["strategy"], rows[0]["face"]) == ("magnitude", "seed 2")
    assert [bool(row["half_life.structure"]) for row in rows] == [True, False, True, True]
    assert all(float(row["render_seconds"]) > 0 for row in rows)
    frames = list(decoder.decode_frames(sweep / "mosaic.mp4"))
    assert len(frames) == 12
    # Every cell shows the same frame of its own film.
    runs = [run for strategy in ranked for run in strategy.runs]
    layout = mosaic.arrange(runs)
    assert frames[0].shape == (layout.size[1], layout.size[0], 3)
    width, height = layout.cell
    for (x, y), run in zip(layout.corners, runs, strict=True):
        film = list(decoder.decode_frames(run.film))
        for index in (0, 7, 11):
            cell = frames[index][y : y + height, x : x + width].astype(float)
            errors = [np.abs(fit(frame, (height, width)) - cell).mean() for frame in film]
            assert errors[index] < 12
            assert errors[index] <= min(errors) + 0.5


def test_films_of_a_mosaic_may_differ_in_length_and_shape(tmp_path):
    render_config(compose_config(*SMALL), tmp_path / "long")
    render_config(
        compose_config(
            *SMALL, "film.duration=1", "film.layout=diptych", "film=gif", "film.size=32"
        ),
        tmp_path / "short",
    )
    render_config(
        compose_config(
            *SMALL, "film=png", "film.background=transparent", "film.ending=clear", "film.fps=3"
        ),
        tmp_path / "clear",
    )
    mosaic.make_mosaic(
        finished_runs.finished_runs(tmp_path), tmp_path / "mosaic.mp4", tmp_path / "contact.png"
    )
    frames = list(decoder.decode_frames(tmp_path / "mosaic.mp4"))
    assert len(frames) == 12
    with pytest.raises(RequestError, match=r"none of the 3 films in .* was measured"):
        comparison.compare(tmp_path)


def test_a_label_that_is_too_long_has_a_smaller_font():
    picture = mosaic._draw_labels(
        mosaic.MosaicLayout(
            (200, 60),
            (50, 50),
            [],
            [mosaic.Label(0, 30, 100, "a strategy with a name that goes on and on")],
            24,
        )
    )
    assert picture[:, 100:].max() == 0
    assert picture[:, :100].max() > 150


def test_without_matplotlib_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r'needs matplotlib, which is not installed; pip install "forgetting\[measures\]"'
    with pytest.raises(RequestError, match=message):
        comparison.compare(tmp_path)
    assert not list(tmp_path.iterdir())
