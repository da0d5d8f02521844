"""The labels of finished runs, made of the settings in which they differ."""

from pathlib import Path

from forgetting.analysis import finished_runs
from forgetting.analysis.finished_runs import FinishedRun
from helpers import compose_config


def test_the_settings_in_which_configs_differ():
    settings = finished_runs.differences(
        [
            compose_config("ordering=random"),
            compose_config("ordering=random", "ordering.seed=3"),
            compose_config("ordering=magnitude"),
        ]
    )
    assert settings == [
        {"ordering": "random", "ordering.seed": "0"},
        {"ordering": "random", "ordering.seed": "3"},
        {"ordering": "magnitude"},
    ]
    assert finished_runs.differences(
        [compose_config(), compose_config("measure.rate=7", "render.shard=1/2")]
    ) == [{}, {}]
    settings = finished_runs.differences(
        [
            compose_config("film.size=64"),
            compose_config("film.size=null"),
            compose_config("generator=toy"),
        ]
    )
    assert [own.get("film.size") for own in settings] == ["64", "None", "None"]
    assert [own["generator.name"] for own in settings] == ["ffhq-mobile", "ffhq-mobile", "toy"]
    tracks = [
        compose_config(),
        compose_config() | {"tracks": {"eyes": {"units": "styles"}}},
        compose_config() | {"tracks": {"eyes": {"units": "weights"}}},
    ]
    assert [
        own.get("tracks.eyes") or own.get("tracks.eyes.units")
        for own in finished_runs.differences(tracks[1:])
    ] == ["styles", "weights"]
    assert len({str(own) for own in finished_runs.differences(tracks)}) == 3


def test_the_labels_of_faces_and_strategies():
    run = FinishedRun(
        Path(),
        "x",
        None,
        {},
        None,
        {"latent.seed": "3", "ordering": "random", "ordering.seed": "1", "film.size": "64"},
    )
    assert (run.face, run.strategy, run.title) == (
        "seed 3",
        "random, size 64",
        "random, seed 1, size 64, seed 3",
    )
    bare = FinishedRun(Path(), "x", None, {}, None, {})
    assert (bare.face, bare.strategy, bare.title) == ("one face", "one strategy", "x")
