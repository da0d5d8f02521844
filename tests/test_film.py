import numpy as np
import pytest
import torch

from forgetting.ablation.plan import Plan, Track
from forgetting.errors import RequestError
from forgetting.film import contact_sheet
from forgetting.film.settings import FilmSettings
from forgetting.models.units import Layer


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


def test_stations():
    assert contact_sheet.sample_positions(720, 16)[0] == 0
    assert contact_sheet.sample_positions(720, 16)[-1] == 719
    assert len(contact_sheet.sample_positions(720, 16)) == 16
    assert contact_sheet.sample_positions(3, 16) == [0, 1, 2]
    assert contact_sheet.sample_positions(1, 16) == [0]


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((64, 64), (8, 2)), ((50, 101), (4, 4)), ((50, 155), (3, 6)), ((160, 90), (8, 2))],
)
def test_stations_are_never_small(shape, grid):
    cells = [contact_sheet.thumbnail(np.full((*shape, 3), 200, np.uint8))] * 16
    height, width = cells[0].shape[:2]
    assert min(height, width) == 256
    plan = Plan(
        (Track(torch.zeros(1), torch.zeros(16, dtype=torch.float64), 0.0, (Layer("a", 1),)),)
    )
    drawn = contact_sheet.draw_sheet(dict(enumerate(cells)), plan, 24)
    assert drawn.shape == (grid[1] * (height + 4) + 4, grid[0] * (width + 4) + 4, 3)


def test_a_station_that_is_transparent_shows_the_ground():
    frame = np.full((64, 64, 4), 200, np.uint8)
    frame[..., 3] = 0
    assert (contact_sheet.thumbnail(frame) == contact_sheet.GROUND).all()


def test_a_rough_cut_takes_as_long_as_the_film():
    film = FilmSettings(fps=24, duration=30, every=24)
    assert len(film.indices) == 30
    assert film.rate == 1
    assert list(FilmSettings(fps=10, duration=1, every=4).indices) == [0, 4, 8]
