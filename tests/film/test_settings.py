import pytest

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
    ("settings", "says"),
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
def test_impossible_films(settings, says):
    with pytest.raises(RequestError, match=says):
        FilmSettings(**settings)


def test_odd_sizes():
    with pytest.raises(
        RequestError, match="must be even for mp4.*got 1023; 1022 and 1024 are fine"
    ):
        FilmSettings(size=1023).shape(1024, 1024)


def test_a_rough_cut_takes_as_long_as_the_film():
    film = FilmSettings(fps=24, duration=30, every=24)
    assert len(film.indices) == 30
    assert film.rate == 1
    assert list(FilmSettings(fps=10, duration=1, every=4).indices) == [0, 4, 8]
