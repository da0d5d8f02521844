"""What can go wrong, told in one sentence.

Every message says what was wrong, the offending value, and what to do about it. The command line prints the
message alone and exits with the class's ``exit_code``: 2 for a wrong request, 1 for a run that failed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class ForgettingError(Exception):
    """A run that failed for a reason the user can understand."""

    exit_code = 1


class RequestError(ForgettingError, ValueError):
    """A request that cannot be carried out as it was written."""

    exit_code = 2


class Interrupted(ForgettingError):
    """Somebody pressed Ctrl-C; the message says what is there and how to go on."""


class CheckpointError(ForgettingError):
    """A file of weights that is not what it should be."""


class FetchError(ForgettingError):
    """A model that could not be brought to this machine."""


def one_line(error: object, most: int = 200) -> str:
    """What an error of somebody else's says, on one line, in so many characters."""
    return " ".join(str(error).split())[:most]


@contextmanager
def friendly_os_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into ``folder`` into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ForgettingError(
                f"the disk is full at {folder}; free some space and say 'forgetting resume {folder}', what is finished is kept; "
                "or choose another folder with hydra.run.dir=PATH"
            ) from error
        raise ForgettingError(
            f"cannot write into {folder} ({error.strerror or error}); choose another folder with hydra.run.dir=PATH"
        ) from error


def unknown_name(
    what: str, name: str, known: Iterable[str], where: str = "there is"
) -> RequestError:
    """A failed look-up that lists what exists and names the nearest.

    >>> str(unknown("layer", "b99", ["b4", "b8"]))
    "no layer 'b99'; there is b4, b8"
    """
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return RequestError(f"no {what} {name!r}{hint}; {where} {', '.join(known) or 'nothing'}")


def check_choice(what: str, value: str, known: Iterable[str]) -> None:
    """Raise unless ``value`` is one of ``known``."""
    known = list(known)
    if value not in known:
        raise unknown_name(what, str(value), known)


def check_range(what: str, value: float, low: float, high: float) -> None:
    """Raise unless ``low <= value <= high`` (NaN is outside of everything)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RequestError(f"{what} must be a number from {low:g} to {high:g}, got {value!r}")
    if not low <= value <= high:
        raise RequestError(f"{what} must lie between {low:g} and {high:g}, got {value:g}")


def check_seed(what: str, value: int) -> None:
    """Raise unless ``value`` can seed numpy's ``RandomState``."""
    check_int(what, value, 0, 2**32 - 1)


def check_int(what: str, value: int, low: int, high: int) -> None:
    """Raise unless ``value`` is a whole number in ``low..high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"{what} must be a whole number from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise RequestError(f"{what} must lie between {low} and {high}, got {value}")
