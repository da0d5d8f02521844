"""Which texts can be set in pictures: their length, their characters, and their scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from PIL import features

from forgetting.errors import RequestError

MAX_TITLE, MAX_CAPTION = 400, 200
"""The most characters of a title and of a caption."""

MAX_LINES = 12
"""The most lines that a text is written in; lines that are wrapped do not count."""

JOINERS = "\u200c\u200d\u200e\u200f"
"""Characters without a shape that writing needs: joiners, and marks of direction."""

SHAPED = re.compile(
    "ARABIC|BALINESE|BENGALI|BRAHMI|CHAKMA|DEVANAGARI|GUJARATI|GURMUKHI|JAVANESE|KANNADA|KHMER|LAO|"
    "MALAYALAM|MEETEI|MONGOLIAN|MYANMAR|NKO|ORIYA|SINHALA|SUNDANESE|SYRIAC|TAMIL|TELUGU|THAANA|"
    "THAI|TIBETAN"
)
"""Scripts whose letters change with their neighbours, as Unicode names begin."""


def check_text(what: str, text: object, most: int) -> None:
    """Raise unless a value is a text that can be set, in some font.

    Args:
        what: the setting, for the message.
        text: its value.
        most: the most characters.

    Raises:
        RequestError: it is no text, too long, or holds control characters.
    """
    if not isinstance(text, str):
        raise RequestError(f"{what} must be text, got {text!r}; put it in quotes")
    if len(text) > most:
        raise RequestError(f"{what} has {len(text)} characters; at most {most} are possible")
    if len(text.splitlines()) > MAX_LINES:
        lines = len(text.splitlines())
        raise RequestError(f"{what} has {lines} lines; at most {MAX_LINES} are possible")
    for character in text:
        if character != "\n" and character not in JOINERS and _is_control(character):
            name = unicodedata.name(character, "a control character")
            raise RequestError(
                f"{what} holds U+{ord(character):04X} ({name.lower()}), which has no shape; "
                "leave it out"
            )


def check_layout(what: str, text: str) -> None:
    """Raise where a text needs a layout that this machine does not have.

    Raises:
        RequestError: it runs from right to left, or its letters change with their neighbours, and
            Pillow has no Raqm.
    """
    if needs_raqm(text) and not has_raqm():
        script = "from right to left" if _runs_left(text) else "with letters that join"
        raise RequestError(
            f"{what} is written {script}, and Pillow cannot set that here: install the library "
            "FriBiDi, which it loads, or write the text in another script"
        )


def has_raqm() -> bool:
    """Return whether Pillow can set every script, and kern."""
    return bool(features.check("raqm"))


def versions(texts: Iterable[str]) -> dict[str, str]:
    """Return the versions of what sets these texts; nothing if there are none.

    Without Raqm letters are not kerned, so the same text has other pictures.
    """
    if not any(texts):
        return {}
    raqm = features.version("raqm") if has_raqm() else None
    return {"pillow": str(features.version("pil")), "raqm": str(raqm or "none")}


def needs_raqm(text: str) -> bool:
    """Return whether letters must be reordered or joined."""
    return _runs_left(text) or any(
        SHAPED.fullmatch(unicodedata.name(character, "").partition(" ")[0]) for character in text
    )


def is_right_to_left(text: str) -> bool:
    """Return whether a line begins at the right: its first letter decides."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "") in (
        "R",
        "AL",
    )


def normalised(text: str) -> str:
    """Return a text as it is set: letters and accents in one character where there is one."""
    # Fonts often lack the narrow space of French punctuation.
    return unicodedata.normalize("NFC", text).replace("\u202f", "\u00a0").strip()


def _runs_left(text: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
