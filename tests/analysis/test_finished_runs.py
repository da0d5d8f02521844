from pathlib import Path

from forgetting.analysis import finished_runs
from forgetting.analysis.finished_runs import FinishedRun
from helpers import compose_config


def test_what_configs_differ_in():
    told = finished_runs.differences(
        [
            compose_config("ordering=random"),
            compose_config("ordering=random", "ordering.seed=3"),
            compose_config("ordering=magnitude"),
        ]
    )
    assert told == [
        {"ordering": "random", "ordering.seed": "0"},
        {"ordering": "random", "ordering.seed": "3"},
        {"ordering": "magnitude"},
    ]
    assert finished_runs.differences(
        [compose_config(), compose_config("measure.rate=7", "render.shard=1/2")]
    ) == [{}, {}]
    told = finished_runs.differences(
        [
            compose_config("film.size=64"),
            compose_config("film.size=null"),
            compose_config("generator=toy"),
        ]
    )
    assert [one.get("film.size") for one in told] == ["64", "None", "None"]
    assert [one["generator.name"] for one in told] == ["ffhq-mobile", "ffhq-mobile", "toy"]
    tracks = [
        compose_config(),
        compose_config() | {"tracks": {"eyes": {"units": "styles"}}},
        compose_config() | {"tracks": {"eyes": {"units": "weights"}}},
    ]
    assert [
        one.get("tracks.eyes") or one.get("tracks.eyes.units")
        for one in finished_runs.differences(tracks[1:])
    ] == ["styles", "weights"]
    assert len({str(one) for one in finished_runs.differences(tracks)}) == 3


def test_what_is_called_a_face_and_a_strategy():
    one = FinishedRun(
        Path(),
        "x",
        Path(),
        None,
        {},
        {},
        {"latent.seed": "3", "ordering": "random", "ordering.seed": "1", "film.size": "64"},
    )
    assert (one.face, one.strategy, one.title) == (
        "seed 3",
        "random, size 64",
        "random, seed 1, size 64, seed 3",
    )
    bare = FinishedRun(Path(), "x", Path(), None, {}, {}, {})
    assert (bare.face, bare.strategy, bare.title) == ("one face", "one strategy", "x")
