"""Errors, each in one sentence that says what was wrong, the value, and what to do.

The command line prints the sentence alone and exits with the ``exit_code`` of the class: 2 for a
wrong request, 1 for a run that failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path

from forgetting.printable import MAX_NAMES, listed, sentence, shell_command

MAX_SENTENCE = 1200
"""The most characters of an error; what is left out of a longer one is counted in its middle."""


MAX_COMPARED = 2000
"""The most names that are compared with one that does not exist."""


class ForgettingError(Exception):
    """A run failed for a reason that the user can understand.

    Args:
        message: a sentence. What a terminal would obey in it is escaped, and it is cut if it is
            long, because it may hold names that strangers chose.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(sentence(message, MAX_SENTENCE))


class RequestError(ForgettingError, ValueError):
    """A request cannot be carried out as it was written."""

    exit_code = 2


class Interrupted(ForgettingError):
    """Ctrl-C was pressed; the message says what is finished and how to resume."""

    exit_code = 130  # as shells have it: 128 + SIGINT


class CheckpointError(ForgettingError):
    """A file of weights is not what it should be."""


class FetchError(ForgettingError):
    """A model cannot be brought to this machine."""


def one_line(error: object, most: int = 200) -> str:
    """Return the text of another library's error on one line of at most ``most`` characters."""
    return sentence(error, most)


@contextmanager
def friendly_os_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system about writing into ``folder`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ForgettingError(
                f"the disk is full at {folder}; free some space and run: "
                f"{shell_command('resume', folder)} (what is finished is kept); or choose "
                "another folder with hydra.run.dir=PATH"
            ) from error
        raise ForgettingError(
            f"cannot write into {folder} ({error.strerror or error}); "
            "choose another folder with hydra.run.dir=PATH"
        ) from error


def unknown_name(
    what: str, name: str, known: Iterable[str], listing: str = "there is"
) -> RequestError:
    """Return the error of a failed look-up: it lists what exists and names the nearest.

    Of very many names it lists the nearest alone.

    >>> str(unknown_name("layer", "b99", ["b4", "b8"]))
    "no layer 'b99'; there is b4, b8"
    """
    known = list(known)
    name = name if len(name) <= 100 else sentence(name, 100)
    compared = [other[:100] for other in known[:MAX_COMPARED]]
    if len(known) > MAX_NAMES:
        nearest = get_close_matches(name, compared, n=5, cutoff=0.0)
        return RequestError(
            f"no {what} {name!r} among {len(known):,}; the nearest are {listed(nearest)}"
        )
    near = get_close_matches(name, compared, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return RequestError(f"no {what} {name!r}{hint}; {listing} {listed(known) or 'nothing'}")


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        raise unknown_name(what, str(value), choices)


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Raise unless ``low <= value <= high``; NaN is outside of every range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{what} must be a number from {low:g} to {high:g}, got {value!r}")
    if not low <= value <= high:
        # Whole numbers are not formatted as floats: very large ones cannot be converted.
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        raise RequestError(f"{what} must lie between {low:g} and {high:g}, got {shown}")


def check_seed(what: str, value: int) -> None:
    """Raise unless ``value`` can seed numpy's ``RandomState``."""
    check_int(what, value, 0, 2**32 - 1)


def check_int(what: str, value: int, low: int, high: int) -> None:
    """Raise unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise RequestError(f"{what} must be a whole number from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise RequestError(f"{what} must lie between {low} and {high}, got {value}")
