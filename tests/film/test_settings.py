"""The settings of films: what they accept, and the sizes that follow from them."""

import importlib

import pytest

from forgetting import parts
from forgetting.errors import RequestError
from forgetting.film.settings import FilmSettings


def test_number_of_frames():
    assert FilmSettings(fps=24, duration=30).frames == 720
    assert FilmSettings(fps=23.976, duration=10).frames == 240
    assert FilmSettings(fps=1, duration=0.6).frames == 1


def test_shapes():
    assert FilmSettings().shape(1024, 1024) == (1024, 1024)
    assert FilmSettings().shape(64, 64) == (512, 512)
    assert FilmSettings(size=720).shape(1024, 1024) == (720, 720)
    assert FilmSettings(size=100).shape(64, 96) == (100, 150)
    assert FilmSettings(size=50).shape(64, 96) == (50, 76), "the width of an mp4 is even too"
    assert FilmSettings(size=101, format="gif").shape(64, 64) == (101, 101)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fps": 0}, "film.fps must lie between"),
        ({"fps": 1000}, "got 1000"),
        ({"duration": 0}, "film.duration must lie between"),
        ({"duration": -3}, "got -3"),
        ({"fps": 1, "duration": 0.2}, "is not one frame"),
        ({"size": 0}, "film.size must lie between 16 and 8192, got 0"),
        ({"size": 99.5}, "whole number"),
        ({"format": "mov"}, "mp4, webm, gif, png"),
        ({"crf": 99}, "film.crf must lie between 0 and 51"),
        ({"preset": "quick"}, "veryfast"),
        ({"poster": 2}, "film.poster"),
        ({"stations": 0}, "film.stations"),
        ({"every": 0}, "film.every must lie between"),
        ({"segment": 0}, "film.segment must lie between"),
        ({"encoder": "x265"}, "auto, x264, nvenc"),
        ({"fps": "fast"}, "film.fps must be a number"),
    ],
)
def test_impossible_values(settings, message):
    with pytest.raises(RequestError, match=message):
        FilmSettings(**settings)


def test_odd_sizes():
    with pytest.raises(
        RequestError, match="must be even for mp4.*got 1023; 1022 and 1024 are fine"
    ):
        FilmSettings(size=1023).shape(1024, 1024)


def test_a_draft_takes_as_long_as_the_film():
    film = FilmSettings(fps=24, duration=30, every=24)
    assert len(film.indices) == 30
    assert film.rate == 1
    assert list(FilmSettings(fps=10, duration=1, every=4).indices) == [0, 4, 8]


def test_settings_of_a_recipe():
    """Plain values of a recipe become the settings; lists become tuples."""
    node = {"_target_": "film/film", "fps": 12, "crop": [1, 1], "canvas": [320, 180]}
    film = FilmSettings.from_dict(node)
    assert film == FilmSettings(fps=12, crop=(1, 1), canvas=(320, 180))
    assert isinstance(film.crop, tuple)
    assert isinstance(film.canvas, tuple)
    assert node["crop"] == [1, 1], "the recipe is not changed"
    assert FilmSettings.from_dict({}) == FilmSettings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fsp": 24}, r"no setting of a film 'fsp' \(did you mean 'fps'\?\)"),
        ({"fps": "fast"}, "film.fps must be a number"),
        ({"fps": 10**400}, "film.fps must lie between 0.01 and 240, got 10000"),
        ({"size": 64.5}, "film.size must be a whole number"),
        ({"crop": ["a", "b"]}, "film.crop must be two whole numbers"),
        ({"crop": [1, 1, 1]}, "film.crop must be two whole numbers"),
        ({"title": 3}, "film.title must be text"),
        ({"audio": ["a.wav"]}, "film.audio must be text"),
        ({"grid": [3, 3]}, "film.grid must be columns x rows"),
        ({"ending": None}, "no film.ending"),
        ({"format": ["mp4"]}, "film.format"),
        ({"title": {"_target_": "ordering/random"}}, "film.title must be a plain value"),
        ({"title": {}}, "film.title must be a plain value"),
        ({"_target_": "generator/module"}, "no film._target_ 'generator/module'"),
        ({"_target_": "subprocess.Popen", "fps": 24}, "no film._target_ 'subprocess.Popen'"),
    ],
)
def test_impossible_settings_of_a_recipe(settings, message):
    with pytest.raises(RequestError, match=message):
        FilmSettings.from_dict(settings)


def test_the_settings_of_a_recipe_build_no_class(monkeypatch):
    """Whatever a stranger's recipe names, no part is looked up, so no code of it runs."""

    def fail(*arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(parts, "find_part", fail)
    monkeypatch.setattr(parts, "package_parts", fail)
    monkeypatch.setattr(importlib, "import_module", fail)
    assert FilmSettings.from_dict({"_target_": "film/film", "fps": 6}).fps == 6
    for settings in (
        {"_target_": "film/own.film"},
        {"_target_": "generator/module", "factory": "os:getcwd"},
        {"title": {"_target_": "generator/module", "factory": "os:getcwd"}},
        {"canvas": [{"_target_": "generator/module"}, 3]},
    ):
        with pytest.raises(RequestError):
            FilmSettings.from_dict(settings)
