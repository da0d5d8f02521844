"""Fonts: the one that the package ships, and those that users name."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import ImageFont
from PIL.Image import DecompressionBombError

from forgetting.errors import RequestError, one_line
from forgetting.files import SHIPPED, open_regular, user_path
from forgetting.film import texts

SHIPPED_FONT = SHIPPED / "fonts" / "EBGaramond-Regular.ttf"
"""EB Garamond: Latin, Greek and Cyrillic, under the SIL Open Font License beside it."""

MAX_BYTES = 64 * 2**20
"""The largest font file that is opened."""

SIGNATURES = {b"\x00\x01\x00\x00": "ttf", b"true": "ttf", b"OTTO": "otf", b"ttcf": "ttc"}
"""The first bytes of TrueType and OpenType files -> how their names end."""

MAX_FACES = 64
"""The most faces of a collection that are looked at."""

PLAIN_STYLES = ("regular", "book", "roman", "normal", "medium")
"""The styles that are preferred where only a family is named."""

_PROBE = 48
"""Pixels at which letters are compared with the sign for a missing letter."""

_Stamp = tuple[int, int, int] | None
_FONT_ERRORS = (OSError, ValueError, OverflowError, MemoryError, DecompressionBombError)


@dataclass(frozen=True)
class Font:
    """A font file, which may come from a stranger: it is opened by FreeType alone.

    Args:
        path: of the file.
        face: number of the face in a collection of fonts.
    """

    path: Path = SHIPPED_FONT
    face: int = 0

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """Return the font at a size in pixels.

        Raises:
            RequestError: the file is no font.
        """
        return _font_at(self, _stamp(self.path), size, texts.has_raqm())

    @property
    def name(self) -> str:
        """The family of the font."""
        return self.at(_PROBE).getname()[0] or self.path.stem

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return _content(self.path, _stamp(self.path))

    @property
    def suffix(self) -> str:
        """How the name of such a file ends: ``ttf``, ``otf``, ``ttc``."""
        return SIGNATURES[self.content[:4]]

    def missing(self, text: str) -> list[str]:
        """Return the characters of a text that the font lacks, each once, in order.

        Raises:
            RequestError: the file is no font.
        """
        # One letter at a time, so that no joining of letters hides a missing one.
        font = _font_at(self, _stamp(self.path), _PROBE, raqm=False)
        visible = dict.fromkeys(
            character
            for character in texts.normalised(text)
            if not character.isspace() and character not in texts.JOINERS
        )
        with font_errors(self):
            lacking = _glyph(font, "\U0010ffff")
            return [character for character in visible if _glyph(font, character) == lacking]

    def replaced(self, text: str) -> str:
        """Return a text with a question mark for every character that the font lacks."""
        lacking = self.missing(text)
        return "".join("?" if character in lacking else character for character in text)

    def check(self, what: str, text: str) -> None:
        """Raise unless a text can be set in this font on this machine.

        Args:
            what: the setting that holds the text, for messages.
            text: the text.

        Raises:
            RequestError: the file is no font, letters are missing, or the script needs a layout
                that is not installed.
        """
        texts.check_layout(what, text)
        if lacking := self.missing(text):
            named = " ".join(map(_described, lacking[:8])) + (" …" if len(lacking) > 8 else "")
            other = _installed_with(text)
            example = f"film.font='{other}', which is installed and has them" if other else None
            raise RequestError(
                f"{what} holds characters that the font {one_line(self.name, 60)} lacks: {named}; "
                f"add {example or 'film.font=PATH, the file of a font that has them'}"
            )


@contextmanager
def font_errors(font: Font) -> Iterator[None]:
    """Turn errors of FreeType about a font into one sentence."""
    try:
        yield
    except RequestError:
        raise
    except _FONT_ERRORS as error:
        raise RequestError(
            f"{font.path} (face {font.face}) is no font that FreeType can set ({one_line(error)}); "
            "name another with film.font=PATH"
        ) from None


def find_font(name: str) -> Font | None:
    """Return the installed font of this name, or None.

    Args:
        name: of a family (``DejaVu Serif``), of a family and style (``DejaVu Serif Bold``), or of a
            file (``DejaVuSerif.ttf``).
    """
    wanted, families = _plain(name), list[tuple[int, str, Font]]()
    for font, family, style in _installed():
        if wanted in map(_plain, (f"{family} {style}", font.path.name, font.path.stem)):
            return font
        if wanted == _plain(family):
            plain = style.casefold()
            order = PLAIN_STYLES.index(plain) if plain in PLAIN_STYLES else len(PLAIN_STYLES)
            families.append((order, str(font.path), font))
    return min(families, key=lambda entry: entry[:2])[2] if families else None


def resolve(name: str, face: int = 0) -> Font:
    """Return the font that ``film.font`` names: a file, or an installed font.

    Raises:
        RequestError: there is no such file or font, or it cannot be used.
    """
    path = user_path(name)
    if os.path.lexists(path):
        font: Font | None = Font(path.absolute(), face)
    elif path.suffix.lower().strip(".") in SIGNATURES.values() and path.name != name:
        raise RequestError(f"there is no font at film.font={name}; check the path")
    else:
        font = find_font(name)
    if font is None:
        near = get_close_matches(name, {family for _, family, _ in _installed()}, n=3, cutoff=0.4)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise RequestError(
            f"no font named {name!r} is installed, and there is no file of that name{hint}; "
            "give the path of a .ttf, .otf or .ttc file"
        )
    font.at(_PROBE)  # raises where it is no font
    return font


def _stamp(path: Path) -> _Stamp:
    """Return what differs between two contents of a file, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _font_at(font: Font, stamp: _Stamp, size: int, raqm: bool) -> ImageFont.FreeTypeFont:
    """Return a font at a size, set by Raqm or by FreeType alone."""
    engine = ImageFont.Layout.RAQM if raqm else ImageFont.Layout.BASIC
    with font_errors(font):
        content = BytesIO(_content(font.path, stamp))
        opened = ImageFont.truetype(content, size, font.face, layout_engine=engine)
        left, top, right, bottom = opened.getbbox("Hx")
    if max(right - left, bottom - top) > 20 * size:
        raise RequestError(
            f"the letters of {font.path} are many times as large as the font says; name another "
            "with film.font=PATH"
        )
    return opened


@lru_cache(maxsize=4)
def _content(path: Path, stamp: _Stamp) -> bytes:
    """Return the bytes of a font file; ``stamp`` differs where they have changed.

    Raises:
        RequestError: it cannot be read, is too large, or is no TrueType or OpenType font.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(f"the font {path} cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise RequestError(
            f"{path} is larger than {MAX_BYTES:,} bytes; fonts up to that size are opened"
        )
    if content[:4] not in SIGNATURES:
        raise RequestError(
            f"{path} is no TrueType or OpenType font; give a .ttf, .otf or .ttc file"
        )
    return content


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> tuple[bytes, tuple[int, int], float]:
    """Return what a character looks like."""
    mask = font.getmask(character)
    return bytes(mask), mask.size, font.getlength(character)


def _described(character: str) -> str:
    """Return a character with its number, for messages."""
    shape = f"{character} " if character.isprintable() else ""
    accent = unicodedata.combining(character)
    return f"{'' if accent else shape}(U+{ord(character):04X})"


def _plain(name: str) -> str:
    """Return a name of a font without what people write in different ways."""
    return name.casefold().replace(" ", "").replace("-", "").replace("_", "")


def _installed_with(text: str) -> str | None:
    """Return the name of an installed font that has all characters of a text, or None."""
    for font, family, style in sorted(_installed(), key=lambda entry: entry[1]):
        try:
            if style.casefold() in PLAIN_STYLES and not font.missing(text):
                return family
        except RequestError:
            continue
    return None


def _installed() -> Iterator[tuple[Font, str, str]]:
    """Yield the installed fonts with their families and styles."""
    for folder in _font_folders():
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.suffix.lower().strip(".") not in SIGNATURES.values() or not path.is_file():
                continue
            for face in range(MAX_FACES if path.suffix.lower() == ".ttc" else 1):
                try:
                    family, style = ImageFont.truetype(str(path), 12, face).getname()
                except _FONT_ERRORS:
                    break
                if family:
                    yield Font(path, face), family, style or ""


def _font_folders() -> list[Path]:
    """Return the folders in which this system keeps fonts."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        system = os.environ.get("WINDIR", "C:\\Windows")
        return [Path(system) / "Fonts", Path(local) / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        roots = (Path("/System/Library"), Path("/Library"), Path.home() / "Library")
        return [root / "Fonts" for root in roots]
    own = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    roots = [user_path(root) / "fonts" for root in (own, *shared.split(":")) if root]
    return [*roots, Path("~/.fonts").expanduser()]
