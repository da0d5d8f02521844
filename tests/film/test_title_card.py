"""The title card: its frames, its size, and its colours."""

import numpy as np
import pytest

from forgetting.errors import RequestError
from forgetting.film.fonts import Font
from forgetting.film.settings import FilmSettings
from forgetting.film.title_card import TitleCard

TITLE = "What I saw before the darkness"


def card(shape, **settings):
    return TitleCard(FilmSettings(**{"title": TITLE, "fps": 10} | settings), Font(), shape)


def test_a_title_lasts_as_long_as_it_is_told():
    assert FilmSettings(title=TITLE).title_frames == 72
    assert FilmSettings(title=TITLE, title_duration=2, fps=30).title_frames == 60
    assert FilmSettings(title=TITLE, fps=24, every=24).title_frames == 3, "drafts too"
    assert FilmSettings(title=TITLE, fps=24, every=24).title_seconds == 3
    assert FilmSettings(title=TITLE, fps=1, title_duration=0.1).title_frames == 1
    assert FilmSettings().title_frames == 0
    assert FilmSettings(fps=10, duration=4, title=TITLE).file_seconds == 7
    with pytest.raises(RequestError, match="film.title_duration must lie between 0.1 and 600"):
        FilmSettings(title_duration=0)


@pytest.mark.parametrize("shape", [(1024, 1024), (1920, 1080), (360, 640), (64, 128)])
@pytest.mark.parametrize("title", [TITLE, TITLE + "\n\n" + "seventy years later", "I", "ẬÇg"])
def test_titles_are_never_cut(shape, title):
    block = card(shape, title=title)._block
    middle = list(card(shape, title=title).frames(np.zeros((*shape, 3), np.uint8)))[15]
    rows = np.flatnonzero(middle.any(axis=(1, 2)))
    columns = np.flatnonzero(middle.any(axis=(0, 2)))
    assert rows[-1] + 1 - rows[0] == pytest.approx(block.height, abs=2)
    assert columns[-1] + 1 - columns[0] == pytest.approx(block.width, abs=2)
    assert columns[-1] - columns[0] <= 0.8 * shape[1]
    assert abs(rows[0] + rows[-1] + 1 - shape[0]) <= 3, "it stands in the middle"


def test_a_title_without_room_is_refused():
    with pytest.raises(RequestError, match="film.title does not fit into 51 x 45 pixels"):
        card((64, 64), title="words " * 50).check()


def test_letters_appear_and_then_the_picture():
    first = np.full((128, 128, 3), 200, np.uint8)
    frames = list(card((128, 128)).frames(first))
    light = [float(frame.mean()) for frame in frames]
    assert len(frames) == 30
    assert light[0] < light[3] < light[7] == light[15]
    assert light[22] < 1 < light[25] < light[28] < 200


@pytest.mark.parametrize("background", ["black", "white", "#0c0c0c", "#c0ffee"])
def test_the_ground_is_the_background_of_the_film(background):
    title = card((96, 128), background=background)
    frame = list(title.frames(np.zeros((96, 128, 3), np.uint8)))[14]
    assert (frame[0] == title.film.background_colour).all()
    assert np.ptp(frame[..., 1]) > 150, "letters are legible on it"


def test_a_transparent_title():
    first = np.dstack((np.full((64, 128, 3), 90, np.uint8), np.full((64, 128), 255, np.uint8)))
    frames = list(card((64, 128), format="prores", background="transparent").frames(first))
    assert frames[15][0, 0].tolist() == [0, 0, 0, 0]
    assert frames[15][..., 3].max() == 255
    assert 0 < frames[27][0, 0, 3] < 255
    assert frames[27][0, 0, 0] == 90, "colours are not mixed with what cannot be seen"
