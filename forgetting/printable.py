"""Text of strangers, made safe to show.

Names in files, folders and recipes may hold characters that a terminal obeys: escape sequences,
carriage returns, marks that reverse the direction of a line. Every error and everything that the
command line prints passes through :func:`printable`.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_NAMES = 40
"""The most names that a sentence lists."""

_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, format characters, surrogates and line breaks."""


def printable(value: object, keep: str = "") -> str:
    r"""Return the text of a value with escapes for what a terminal would obey.

    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'

    Args:
        value: anything; its text may come from a stranger.
        keep: control characters that stay as they are.
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode()
        if unicodedata.category(char) in _OBEYED and char not in keep
        else char
        for char in text
    )


def sentence(value: object, most: int) -> str:
    """Return the text of a value on one line, printable, with at most ``most`` characters.

    What is left out is in the middle, because errors end with what to do.

    >>> sentence("a" * 1000, 60)
    'aaaaaaaaaaaaaaaaa ... (975 more characters) ... aaaaaaaa'

    Args:
        value: anything; its text may come from a stranger.
        most: the largest length, 60 or more.
    """
    text = str(value).strip()
    left_out = max(len(text) - 2 * most, 0)
    if left_out:
        text = text[:most] + text[-most:]
    text = printable(re.sub(r"\s*[\r\n]\s*", " ", text))
    if not left_out and len(text) <= most:
        return text
    room = most - len(f" ... ({len(text) + left_out:,} more characters) ... ")
    head, tail = room - room // 3, room // 3
    left_out += len(text) - head - tail
    return f"{text[:head]} ... ({left_out:,} more characters) ... {text[-tail:]}"


def listed(names: Iterable[object], most: int = MAX_NAMES) -> str:
    """Return names separated by commas; of many names the first, and how many there are more."""
    shown = [sentence(name, 100) for name in names]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def shell_command(verb: str, *words: str | Path) -> str:
    """Return a command that a user can paste into a shell, whatever the names of files are.

    >>> shell_command("resume", Path("my films"), "film.title=two words")
    'forgetting resume "my films" "film.title=two words"'
    """
    return " ".join(["forgetting", verb, *map(quoted, words)])


def quoted(word: str | Path) -> str:
    """Return a word of a command as a shell reads it.

    Double quotes work in every shell, but for characters that some shell obeys within them.
    """
    if isinstance(word, Path) and str(word).startswith("-"):  # it would be an option
        word = f"./{word}"
    text = str(word)
    if re.fullmatch(r"[\w./:=+@-]+", text, re.ASCII):
        return text
    return shlex.quote(text) if re.search(r"[\"$`!\\%\r\n]", text) or not text else f'"{text}"'
