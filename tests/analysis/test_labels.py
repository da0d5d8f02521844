"""How runs are called: titles, strategies and faces in plain words."""

import copy
import random
import re

import pytest

from forgetting.analysis.differences import differences, independent_keys
from forgetting.analysis.labels import label_runs
from forgetting.analysis.words import in_words, key_labels, natural_order
from helpers import compose_config

SHOWN_ONLY = (
    "film.title=Vigil",
    "film.canvas=[640,480]",
    "film.background=white",
    "film.layout=diptych",
    "film.crop=[1,1]",
    "film.poster=0.2",
    "film.stations=4",
    "film=webm",
    "film.crf=40",
    "film.size=64",
    "film.every=2",
    "film.segment=100",
    "film.preset=ultrafast",
)
"""Settings that change no picture of the network."""


def config(experiment=None, *overrides):
    """Return the config of a film of the toy network, as a recipe records it."""
    chosen = [f"experiment={experiment}"] if experiment else []
    name = {"experiment": experiment} if experiment else {}
    return compose_config("generator=toy", *chosen, *overrides) | name


def titles(*configs):
    return [labels.title for labels in label_runs(configs)]


def test_a_title_is_the_name_of_an_experiment_and_what_differs():
    assert titles(config("dissolve", "latent.seed=23")) == ["dissolve, seed 23"]
    assert titles(
        config("coarse_first", "latent.seed=23"),
        config("dissolve", "latent.seed=23", "film.fps=12"),
        config("dissolve", "latent.seed=4", "schedule.until=0.3"),
        config(None, "latent.seed=4", "ordering=random"),
        config(None, "latent.seed=4", "latent.psi=1"),
    ) == [
        "coarse first, seed 23",
        "dissolve, until 0.45, seed 23",
        "dissolve, until 0.3, seed 4",
        "random, psi 0.7, seed 4",
        "contribution, psi 1, seed 4",
    ]


def test_presentation_is_named_only_where_titles_would_be_equal():
    plain, wide = config("dissolve"), config("dissolve", "film.layout=diptych")
    assert titles(plain, wide) == ["dissolve, seed 10", "dissolve, seed 10, diptych"]
    other = config("dissolve", "film.layout=diptych", "latent.seed=3")
    assert titles(plain, other) == ["dissolve, seed 10", "dissolve, seed 3"]
    assert titles(plain, plain) == ["dissolve, seed 10", "dissolve, seed 10 (2)"]


@pytest.mark.parametrize("override", SHOWN_ONLY)
def test_presentation_is_no_strategy(override):
    plain, shown = label_runs([config(), config(None, override)])
    assert plain.strategy == shown.strategy == "one strategy"
    assert plain.settings == shown.settings == {}
    assert len(shown.presentation) >= 1


@pytest.mark.parametrize("key", ["font", "title_duration", "audio_loop", "a_setting_of_later"])
def test_settings_of_a_film_are_presentation_unless_they_are_known_to_change_pictures(key):
    other = config()
    other["film"] = other["film"] | {key: "x"}
    assert [labels.strategy for labels in label_runs([config(), other])] == ["one strategy"] * 2


def test_what_changes_pictures_is_a_strategy():
    for override in ("film.ending=white", "film.fps=12", "film.grid=2x2", "units=styles"):
        plain, other = label_runs([config(), config(None, override)])
        assert plain.strategy != other.strategy, override


def test_strategies_of_experiments_have_their_names():
    runs = [
        config(name, f"latent.seed={seed}") for name in ("dissolve", "bleaching") for seed in (1, 2)
    ]
    labels = label_runs(runs)
    assert [own.strategy for own in labels] == ["dissolve"] * 2 + ["bleaching"] * 2
    assert [own.face for own in labels] == ["seed 1", "seed 2"] * 2
    same = label_runs([config("dissolve"), config("dissolve") | {"experiment": "another"}])
    assert len({own.strategy for own in same}) == 1, "they differ by their names alone"


def test_words_are_no_python_and_no_paths():
    acts = [{"_target_": "schedule/act", "until": share} for share in (0.1, 0.6)]
    runs = []
    for number in range(2):
        own = config(None, "latent=walk")
        own["schedule"] = own["schedule"] | {"acts": [*acts, {"until": 0.7 + number}]}
        own["generator"] = {"_target_": "generator/file", "path": f"/home/me/{number}/face_net.pkl"}
        own["film"] = own["film"] | {"audio": f"/home/me/{number}.wav", "loop": bool(number)}
        own["latent"]["seeds"] = [number, 3, 4, 5, 6, 7]
        runs.append(own)
    labels = label_runs(runs)
    assert len({own.strategy for own in labels}) == 2, "different acts are different strategies"
    assert len({own.face for own in labels}) == 2, "other files of the same name are other networks"
    text = repr([[own.title, own.strategy, own.face] for own in labels])
    text += repr([[*own.settings.values(), *own.presentation.values()] for own in labels])
    assert not re.search(r"[{}/]|_target_|None|True|False|home|\\", text.replace("'", "")), text
    assert "3 acts" in text
    assert "seeds 0, 3, 4, 5 and 2 more" in text
    assert labels[0].face.startswith("face net.pkl")


def test_words_of_strangers_are_cut_and_hold_no_control_characters():
    own = config() | {"experiment": "\x1b[31m[/bold]<b>" + 100 * "x" + "\nsecond\u202eline"}
    (labels,) = label_runs([own])
    assert labels.title.isprintable()
    assert len(labels.title) < 60
    for hostile in (3, {"a": 1}, ["x"], None):
        (labels,) = label_runs([config() | {"experiment": hostile}])
        assert labels.title == "contribution, seed 10"
    (labels,) = label_runs([{"film": 7, "latent": ["x"], "ordering": 3}])
    assert labels.title == "3"


def test_the_settings_in_which_configs_differ():
    settings = differences(
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
    labels = label_runs([compose_config(), compose_config("measure.rate=7", "render.shard=1/2")])
    assert [own.settings for own in labels] == [{}, {}]
    settings = differences(
        [
            compose_config("film.size=64"),
            compose_config("film.size=null"),
            compose_config("generator=toy"),
        ]
    )
    assert [own.get("film.size") for own in settings] == ["64", "none", "none"]
    assert [own["generator.name"] for own in settings] == ["ffhq-mobile", "ffhq-mobile", "toy"]
    tracks = [
        compose_config(),
        compose_config() | {"tracks": {"eyes": {"units": "styles"}}},
        compose_config() | {"tracks": {"eyes": {"units": "weights"}}},
    ]
    assert [
        own.get("tracks.eyes") or own.get("tracks.eyes.units") for own in differences(tracks[1:])
    ] == ["styles", "weights"]
    assert len({str(own) for own in differences(tracks)}) == 3


def test_settings_that_divide_runs_alike_count_once():
    rows = [("random", "0.1", "1"), ("random", "0.1", "2"), ("layers", "0.3", "3")]
    settings = [
        {"ordering": ordering, "schedule.until": until, "latent.seed": seed}
        for ordering, until, seed in rows
    ]
    assert independent_keys(settings) == ["ordering", "latent.seed"]


def test_names_of_settings():
    assert key_labels(["latent.seed"]) == {"latent.seed": "seed"}
    assert key_labels(["latent.seed", "ordering.seed", "generator.name", "schedule.hold"]) == {
        "latent.seed": "seed",
        "ordering.seed": "ordering seed",
        "generator.name": "generator",
        "schedule.hold": "hold",
    }
    assert in_words([0.03, 0.05]) == "0.03 and 0.05"
    assert in_words([]) == ""


VALUES = (
    None, True, -1, float("nan"), 10**300, "", "/etc/x", "²³", "\x1b[3m", "x" * 5000, [], [[1]],
    {}, {"_target_": 3}, {"_target_": [1]}, ["a", {"b": 1}], {1: 2}, {"": {"": 1}},
)  # fmt: skip


def damage(draw, node):
    """Replace, remove or add something somewhere in a config."""
    while isinstance(node, dict) and node:
        key, chance = draw.choice(list(node)), draw.random()
        if chance < 0.4:
            node[key] = copy.deepcopy(draw.choice(VALUES))
            return
        if chance < 0.5:
            del node[key]
            return
        if chance < 0.6:
            node[draw.choice(["path", "audio", "experiment", ""])] = copy.deepcopy(
                draw.choice(VALUES)
            )
        node = node.get(key)


def test_any_config_has_labels():
    draw = random.Random(1)
    base = [compose_config("generator=toy"), compose_config(root="dream")]
    for _ in range(300):
        runs = [copy.deepcopy(draw.choice(base)) for _ in range(draw.randint(1, 4))]
        for own in runs:
            for _ in range(draw.randint(0, 4)):
                damage(draw, own)
        labels = label_runs(runs)
        assert len({own.title for own in labels}) == len(labels), "no two titles are equal"
        for own in labels:
            assert all(text.isprintable() for text in (own.title, own.strategy, own.face))
            assert natural_order(own.title)
            assert set(key_labels(own.settings)) == set(own.settings)
