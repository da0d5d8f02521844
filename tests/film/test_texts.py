"""Texts: which can be set at all."""

import pytest

from forgetting.errors import RequestError
from forgetting.film import texts
from forgetting.film.fonts import Font
from forgetting.film.settings import FilmSettings


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("a\x1b[31m", r"film.title holds U\+001B \(a control character\), which has no shape"),
        ("a\tb", r"U\+0009"),
        ("a\x00", r"U\+0000"),
        ("a\u202eb", r"U\+202E \(right-to-left override\)"),
        ("a\u2028b", r"U\+2028 \(line separator\)"),
        ("a\ud800", r"U\+D800"),
        ("x" * 401, "film.title has 401 characters; at most 400 are possible"),
        ("x\n" * 13, "film.title has 13 lines; at most 12 are possible"),
    ],
)
def test_impossible_titles(title, message):
    with pytest.raises(RequestError, match=message):
        FilmSettings(title=title)


def test_possible_titles():
    for title in ("Забвение", "two\nlines", "שכחה", "\u200fא", "", "忘却"):
        FilmSettings(title=title)
    assert FilmSettings(title=" \n ").title_frames == 0


@pytest.mark.parametrize("text", ["שכחה", "نسيان", "विस्मृति", "ลืม"])
def test_scripts_that_need_raqm_are_refused_without_it(monkeypatch, text):
    assert texts.needs_raqm(text)
    monkeypatch.setattr(texts, "has_raqm", lambda: False)
    with pytest.raises(RequestError, match="film.title is written .* install the library FriBiDi"):
        Font().check("film.title", text)


@pytest.mark.parametrize("text", ["What I saw", "λήθη", "Забвение", "忘却", "망각", "¿12 %?"])
def test_scripts_that_need_no_raqm(text):
    assert not texts.needs_raqm(text)
    assert not texts.is_right_to_left(text)


def test_the_first_letter_decides_the_direction():
    assert texts.is_right_to_left("12 نسيان Lethe")
    assert not texts.is_right_to_left("Lethe نسيان")


def test_versions_are_recorded_only_of_films_with_text(monkeypatch):
    assert texts.versions(["", ""]) == {}
    assert set(texts.versions(["a"])) == {"pillow", "raqm"}
    monkeypatch.setattr(texts, "has_raqm", lambda: False)
    assert texts.versions(["a"])["raqm"] == "none"
