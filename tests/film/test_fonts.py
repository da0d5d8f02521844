"""Fonts: what the shipped one covers, installed ones by name, and files that are none."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import ImageFont

from forgetting.errors import RequestError
from forgetting.film import fonts
from forgetting.film.fonts import SHIPPED_FONT, Font, find_font, resolve
from forgetting.film.typesetting import break_lines
from helpers import ROOT

BLOCKS = {
    "Latin": [(0x20, 0x7E), (0xA0, 0x24F), (0x1E00, 0x1EFF)],
    "Greek": [(0x384, 0x3CE), (0x1F00, 0x1FFF)],
    "Cyrillic": [(0x400, 0x45F)],
    "punctuation": [
        (0x2013, 0x2014),
        (0x2018, 0x201A),
        (0x201C, 0x201E),
        (0x2026, 0x2026),
        (0x20AC, 0x20AC),
    ],
}
"""The characters that the shipped font covers wholly."""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The only fonts that are installed: a copy of the shipped one."""
    folder = tmp_path / "fonts" / "deep"
    folder.mkdir(parents=True)
    shutil.copyfile(SHIPPED_FONT, folder / "Other-Name.ttf")
    (folder / "broken.ttf").write_bytes(b"\x00\x01\x00\x00")
    monkeypatch.setattr(fonts, "_font_folders", lambda: [tmp_path / "fonts", tmp_path / "none"])
    return folder


@pytest.mark.parametrize("block", BLOCKS)
def test_the_shipped_font_covers(block):
    characters = [
        chr(number)
        for low, high in BLOCKS[block]
        for number in range(low, high + 1)
        if unicodedata.category(chr(number)) not in ("Cn", "Cf")
    ]
    text = "".join(characters)
    table = TTFont(SHIPPED_FONT).getBestCmap()
    assert [character for character in characters if ord(character) not in table] == []
    assert Font().missing(text) == []


def test_the_licence_of_the_shipped_font_lies_beside_it():
    assert "SIL OPEN FONT LICENSE Version 1.1" in (SHIPPED_FONT.parent / "OFL.txt").read_text()
    assert SHIPPED_FONT.stat().st_size < 1_000_000
    assert "forgetting/data/fonts/OFL.txt" in (ROOT / "pyproject.toml").read_text()


def test_no_picture_is_lettered_in_another_font():
    sources = [*(ROOT / "forgetting").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]
    assert [path for path in sources if "load_default" in path.read_text()] == []


def test_missing_characters_are_named_with_what_to_type(installed):
    assert Font().missing("Lethe 忘却, 忘 ☃") == ["忘", "却", "☃"]
    with pytest.raises(RequestError, match=r"film.title .*EB Garamond lacks: 忘 \(U\+5FD8\)") as no:
        Font().check("film.title", "忘却")
    assert "add film.font=PATH" in str(no.value)


def test_an_installed_font_that_has_the_characters_is_proposed(monkeypatch):
    monkeypatch.setattr(Font, "missing", lambda font, text: [] if font.face == 1 else ["忘"])
    monkeypatch.setattr(fonts, "_installed", lambda: iter([(Font(face=1), "Song", "Regular")]))
    with pytest.raises(RequestError, match="add film.font='Song', which is installed"):
        Font().check("film.title", "忘")


@pytest.mark.parametrize(
    "name", ["EB Garamond", "eb garamond", "EB Garamond Regular", "Other-Name.ttf", "Other-Name"]
)
def test_installed_fonts_have_names(installed, name):
    assert find_font(name) == Font(installed / "Other-Name.ttf")
    assert resolve(name).path == installed / "Other-Name.ttf"


def test_a_path_is_used_as_it_is(tmp_path, monkeypatch):
    shutil.copyfile(SHIPPED_FONT, tmp_path / "mine.ttf")
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.ttf") == Font(tmp_path / "mine.ttf"), "absolute, for another folder"
    with pytest.raises(RequestError, match="there is no font at film.font=no/such.ttf; check"):
        resolve("no/such.ttf")


def test_an_unknown_name_lists_the_nearest(installed):
    with pytest.raises(RequestError, match="no font named 'Garamont' .* nearest are EB Garamond"):
        resolve("Garamont")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no TrueType or OpenType font"),
        (b"%!PS-AdobeFont-1.0", "is no TrueType or OpenType font"),
        (b"wOF2" + bytes(100), "is no TrueType or OpenType font"),
        (b"OTTO" + bytes(1000), "is no font that FreeType can set"),
        (SHIPPED_FONT.read_bytes()[:30_000], "is no font that FreeType can set"),
    ],
)
def test_files_that_are_no_fonts(tmp_path, content, message):
    path = tmp_path / "font.ttf"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        resolve(str(path))


def test_other_files_are_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.ttf")
    for path in (tmp_path / "pipe.ttf", tmp_path):
        with pytest.raises(RequestError, match="is not a regular file"):
            resolve(str(path))
    monkeypatch.setattr(fonts, "MAX_BYTES", 1000)
    (tmp_path / "large.ttf").write_bytes(SHIPPED_FONT.read_bytes())
    with pytest.raises(RequestError, match="is larger than 1,000 bytes"):
        resolve(str(tmp_path / "large.ttf"))


def test_a_face_that_does_not_exist():
    with pytest.raises(RequestError, match=r"\(face 7\) is no font"):
        resolve(str(SHIPPED_FONT), 7)


def test_letters_that_are_larger_than_the_font_says(tmp_path):
    """Such a font could ask for a picture of many gigabytes."""
    font = TTFont(SHIPPED_FONT)
    font["head"].unitsPerEm = 16
    font.save(tmp_path / "huge.ttf")
    with pytest.raises(RequestError, match="many times as large|is no font"):
        resolve(str(tmp_path / "huge.ttf"))


def test_fonts_are_searched_where_systems_keep_them(monkeypatch):
    for platform in ("linux", "darwin", "win32"):
        monkeypatch.setattr("sys.platform", platform)
        assert all(isinstance(folder, Path) for folder in fonts._font_folders())
    assert isinstance(Font().at(20), ImageFont.FreeTypeFont)


def test_damaged_fonts_are_set_or_refused(tmp_path):
    """Whatever the bytes are, the answer is a picture or one sentence."""
    random, outcomes = np.random.RandomState(5), set()
    for number in range(60):
        damaged = np.frombuffer(SHIPPED_FONT.read_bytes(), np.uint8).copy()
        first = 0 if number % 2 else random.randint(len(damaged) - 5000)
        positions = first + random.randint(0, 5000, 1 + number)
        damaged[positions] = random.randint(0, 256, len(positions))
        (tmp_path / "font.ttf").write_bytes(damaged)
        try:
            font = resolve(str(tmp_path / "font.ttf"))
            font.check("film.title", "What I saw, λήθη")
            assert break_lines("What I saw,\nλήθη fi", font, 40, 300).mask.size < 10**6
            outcomes.add("set")
        except RequestError:
            outcomes.add("refused")
    assert outcomes == {"set", "refused"}
