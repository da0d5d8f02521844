"""Captions: when they are shown, where they stand, and that nothing of them is cut."""

import numpy as np
import pytest
from PIL import features

from forgetting.ablation.schedules import Act, Schedule
from forgetting.errors import RequestError
from forgetting.film.captions import Box, Caption, CaptionSetter, act_captions, check_texts
from forgetting.film.compositor import picture_box
from forgetting.film.fonts import Font
from forgetting.film.inks import DARK, LIGHT
from forgetting.film.settings import FilmSettings

SHORT = "the fine lines go first"
LONG = "what bias and noise still paint when all units are ablated fades last of all, " * 2
ACTS = (Act("early", 0.5, caption="early"), Act("late", 1.0, share=3, caption="late"))


def setter(frame, picture=None, texts=(SHORT,), ground=(0, 0, 0), taken=0, times=None):
    times = times or [(0, 10)] * len(texts)
    captions = [Caption(text, *time) for text, time in zip(texts, times, strict=True)]
    return CaptionSetter(
        captions, Font(), frame, picture or Box(0, 0, frame[1], frame[0]), taken, ground
    )


def inked(captions, frame, colour=0, channels=3, second=5):
    """Return where captions change an even frame: top, bottom, left and right."""
    blank = np.full((*frame, channels), colour, np.uint8)
    changed = (captions.draw(blank, second) != blank).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


@pytest.mark.parametrize("text", [SHORT, LONG, "one\ntwo\nthree", "Ẫ" * 12, "W"])
@pytest.mark.parametrize(
    ("frame", "canvas", "crop"),
    [
        ((512, 512), None, None),
        ((512, 512), None, (9, 16)),
        ((512, 1044), (640, 360), None),
        ((512, 512), (270, 480), None),
        ((512, 512), (640, 360), None),
        ((512, 1556), None, (9, 16)),
        ((128, 128), None, None),
    ],
)
def test_captions_are_never_cut(text, frame, canvas, crop):
    film = FilmSettings(canvas=canvas, crop=crop)
    box = picture_box(film, frame)
    finished = (canvas[1], canvas[0]) if canvas else (box.height, box.width)
    captions = setter(finished, box, (text,))
    placed, _ = captions._placed
    top, bottom, left, right = inked(captions, finished)
    # All of the block's ink is in the frame, away from its edges.
    assert top > 0
    assert bottom < finished[0]
    assert left > 0
    assert right < finished[1]
    assert bottom - top == pytest.approx(placed[0].block.height, abs=2)
    assert right - left == pytest.approx(placed[0].block.width, abs=2)


def test_a_caption_without_room_is_refused():
    with pytest.raises(RequestError, match="the caption 'what bias .* does not fit into .* pixels"):
        setter((64, 64), texts=(LONG,)).check()
    setter((64, 64), texts=("a few words",)).check()


def test_captions_stand_below_the_picture_where_the_canvas_has_a_margin():
    picture = Box(0, 420, 1080, 1080)
    top, bottom, left, _ = inked(setter((1920, 1080), picture), (1920, 1080))
    assert picture.bottom < top < bottom < picture.bottom + 130
    assert left >= 40


def test_captions_of_a_pair_on_a_screen_stand_below_it():
    """The margin of two squares on a screen of 16 to 9 is narrow."""
    picture = Box(0, 129, 3840, 1901)
    top, bottom, _, _ = inked(setter((2160, 3840), picture), (2160, 3840))
    assert picture.bottom < top < bottom < 2160


def test_captions_stand_beside_the_picture_on_a_wide_canvas():
    picture = Box(420, 0, 1080, 1080)
    _, bottom, left, right = inked(setter((1080, 1920), picture), (1080, 1920))
    assert picture.right < left < right < 1920
    assert 1000 < bottom < 1080, "at its lower edge"


def test_captions_stand_in_the_picture_where_there_is_no_margin():
    top, bottom, left, right = inked(setter((1024, 1024)), (1024, 1024))
    assert 900 < top < bottom < 1000
    assert 40 < left < right < 512


def test_captions_leave_the_map_in_the_corner_alone():
    captions = setter((512, 512), texts=(LONG,), taken=170)
    assert inked(captions, (512, 512))[3] <= 512 - 170


@pytest.mark.parametrize("height", [512, 1024, 2160])
def test_letters_are_small(height):
    ((placed,), _) = setter((height, height))._placed
    assert 0.025 <= placed.block.size / height <= 0.035


def test_all_captions_of_a_film_have_one_size_and_one_baseline():
    texts, times = ("one", "going, going", LONG), [(0, 2), (2, 4), (4, 6)]
    placed, _ = setter((400, 400), texts=texts, times=times)._placed
    assert len({text.block.size for text in placed}) == 1
    assert len({text.top + text.block.last_baseline for text in placed}) == 1


def test_captions_at_the_same_time_do_not_overlap():
    captions = setter((512, 512), texts=("one", "other", "last"), times=[(0, 4), (2, 6), (5, 9)])
    assert captions._rows == [0, 1, 0]
    first, second, _ = captions._placed[0]
    assert second.top + second.block.height < first.top


@pytest.mark.parametrize(
    ("colour", "ink"), [(0, LIGHT), (80, LIGHT), (120, LIGHT), (180, DARK), (255, DARK)]
)
def test_letters_differ_from_the_picture_behind_them(colour, ink):
    frame = np.full((512, 512, 3), colour, np.uint8)
    drawn = setter((512, 512)).draw(frame, 5)
    lettered = np.abs(drawn.astype(int) - np.array(ink)).sum(axis=2).min()
    assert lettered < 12
    assert abs(colour - int(ink[0])) > 100
    assert (frame == colour).all(), "the frame itself is not changed"


def test_the_ink_changes_gradually_with_the_picture():
    """Otherwise letters would flicker in a film that becomes bright."""
    captions, inks = setter((512, 512)), []
    for colour in range(256):
        drawn = captions.draw(np.full((512, 512, 3), colour, np.uint8), 5)
        ((placed,), _) = captions._placed
        core = np.argwhere(placed.block.mask == 1)[0] + (placed.top, placed.left)
        inks.append(int(drawn[core[0], core[1], 0]))
    assert np.abs(np.diff(inks)).max() < 40


def test_letters_on_a_light_canvas_are_dark():
    captions = setter((1920, 1080), Box(0, 420, 1080, 1080), ground=(238, 232, 224))
    drawn = captions.draw(np.full((1920, 1080, 3), 230, np.uint8), 5)
    assert drawn.min() < 40


def test_letters_on_a_transparent_canvas_are_opaque():
    captions = setter((960, 540), Box(0, 210, 540, 540), ground=(0, 0, 0, 0))
    drawn = captions.draw(np.zeros((960, 540, 4), np.uint8), 5)
    assert drawn[..., 3].max() == 255
    assert drawn[drawn[..., 3] > 0][:, :3].min() >= LIGHT[2], "no dark seams around letters"


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no Raqm here")
def test_lines_from_right_to_left_stand_at_the_right():
    captions = setter((512, 512), texts=("אבג",))
    assert inked(captions, (512, 512))[2] > 256


def test_acts_that_are_seen_twice_have_their_captions_twice():
    film = FilmSettings(fps=10, duration=8)
    schedule = Schedule(acts=ACTS, direction="there_and_back")
    assert act_captions([schedule], film) == [
        Caption("early", 0.0, 1.0),
        Caption("early", 7.0, 8.0),
        Caption("late", 1.0, 4.0),
        Caption("late", 4.0, 7.0),
    ]
    backwards = Schedule(acts=ACTS, direction="remember")
    assert act_captions([backwards], film)[0] == Caption("early", 6.0, 8.0)


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("忘却", "the caption '忘却' holds characters that the font EB Garamond lacks"),
        ("a\x1b", "the caption .* holds U\\+001B"),
        ("a" * 201, "has 201 characters; at most 200"),
        (3, "the caption '3' must be text, got 3"),
    ],
)
def test_impossible_captions(caption, message):
    schedule = Schedule(acts=(Act("act", 1.0, caption=caption),))
    with pytest.raises(RequestError, match=message):
        check_texts(FilmSettings(), [schedule])
