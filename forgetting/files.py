"""Files that appear whole or not at all, the cache folder, and files that are safe to open."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from forgetting.errors import FetchError, RequestError, one_line

SHIPPED = Path(__file__).parent / "data"
"""Statistics that ship with the package."""

MAX_JSON = 2**20
"""The largest JSON file that is read, in bytes."""

MAX_DIGITS = 40
"""The most digits of a whole number in a JSON file."""


def cache_folder() -> Path:
    """Return the folder of converted models and statistics; ``FORGETTING_CACHE`` moves it.

    Raises:
        FetchError: the folder cannot be made.
    """
    path = Path(
        os.environ.get("FORGETTING_CACHE") or user_cache_path("forgetting", appauthor=False)
    )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(
            f"the cache folder {path} cannot be made ({error.strerror}); set FORGETTING_CACHE to "
            "another"
        ) from None
    return path


@contextmanager
def process_lock(name: str) -> Iterator[None]:
    """Wait until no other process of this machine holds the lock of this name."""
    with FileLock(cache_folder() / f"{name}.lock"):
        yield


@contextmanager
def temporary_path(path: Path) -> Iterator[Path]:
    """Yield a unique path beside ``path``; what exists there when the block ends is removed."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        remove_path(part)


def remove_path(path: Path) -> None:
    """Remove a file or a folder, if it exists; of a link only the link."""
    if path.is_dir() and not is_link(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what is written there replaces ``path`` unless an error is raised."""
    with temporary_path(path) as part:
        yield part
        if path.is_dir():  # a folder is not replaced by renaming alone
            with temporary_path(path) as old:
                path.rename(old)
                part.rename(path)
        else:
            part.replace(path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON; the file appears whole, or stays as it was."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file; an empty dictionary if it is missing or damaged."""
    try:
        return require_json(path)
    except (OSError, RequestError):
        return {}


def require_json(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file in a folder that may be a stranger's.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it cannot be read, or holds anything but an object.
    """
    try:
        values = parse_json(read_text(path, MAX_JSON))
    except ValueError as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} cannot be read as JSON ({one_line(error)})") from None
    if not isinstance(values, dict):
        raise RequestError(f"{path} holds no JSON object, but a {type(values).__name__}")
    return values


def parse_json(text: str) -> Any:
    """Return the value of a JSON document that may be a stranger's; its numbers are finite.

    Raises:
        ValueError: it is no JSON, it is nested too deeply, or it holds a number without end.
    """
    try:
        return json.loads(
            text, parse_int=_whole_number, parse_float=_finite_number, parse_constant=_finite_number
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


def _finite_number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"it holds {one_line(text, 60)}, which is no finite number")
    return number


def read_text(path: Path, most: int) -> str:
    """Return the text of a file in a folder that may be a stranger's.

    Args:
        path: of the file; a link is refused.
        most: the largest size in bytes.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it is no regular file, cannot be read, is too large or is no UTF-8.
    """
    with open_own(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise RequestError(f"{path} has more than {most:,} bytes, and no such file is that large")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is no text in UTF-8 ({one_line(error)})") from None


def user_path(text: str | Path) -> Path:
    """Return the path that a text means; ``~`` is the folder of the user.

    Raises:
        RequestError: no file can have this name.
    """
    if "\0" in str(text):
        raise RequestError(f"no file can be named {str(text)!r}; check the path")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # of a user who does not exist
        return Path(text)


def is_file(path: Path) -> bool:
    """Return whether a path is that of a regular file; False where no file can have the name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading, without waiting for a pipe and without touching a device.

    Raises:
        OSError: the file cannot be opened.
        RequestError: it is a folder, a pipe, a socket, or a device.
    """
    return _open(path, links=True)


def open_own(path: Path) -> BufferedReader:
    """Open a file of a folder that may be a stranger's: links could lead out of the folder.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it is a link or no regular file, or it cannot be opened.
    """
    try:
        return _open(path, links=False)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"{path} cannot be opened ({reason}); check its permissions") from None


def check_own(path: Path) -> None:
    """Raise unless a file of a folder that may be a stranger's can be opened by :func:`open_own`.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it is a link or no regular file, or it cannot be opened.
    """
    open_own(path).close()


def check_own_folder(path: Path) -> None:
    """Raise if a folder within one that may be a stranger's is a link, or anything but a folder.

    Raises:
        RequestError: it is; a folder that does not exist is none.
    """
    if is_link(path):
        raise _link(path)
    if os.path.lexists(path) and not path.is_dir():
        raise RequestError(f"{path} is not a folder; move it away")


def make_own_folder(path: Path) -> None:
    """Make a folder within one that may be a stranger's.

    Raises:
        RequestError: a link or a file has its name.
    """
    check_own_folder(path)
    path.mkdir(parents=True, exist_ok=True)


def is_link(path: Path) -> bool:
    """Return whether a path is a symbolic link, or on Windows a junction."""
    is_junction = getattr(os.path, "isjunction", lambda _: False)  # from Python 3.12 on
    return path.is_symlink() or is_junction(path)


def copy_own(path: Path, copy: Path) -> None:
    """Copy a file of a folder that may be a stranger's.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it is a link or no regular file, or it cannot be opened.
    """
    with open_own(path) as file, copy.open("wb") as copied:
        shutil.copyfileobj(file, copied)


def _open(path: Path, links: bool) -> BufferedReader:
    if not links and is_link(path):
        raise _link(path)
    # Asked first, because opening a device can already do something.
    if path.exists() and not path.is_file():
        raise _irregular(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags if links else flags | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return os.fdopen(descriptor, "rb")


def _irregular(path: Path) -> RequestError:
    return RequestError(
        f"{path} is not a regular file; name a file and not a folder, pipe, or device"
    )


def _link(path: Path) -> RequestError:
    return RequestError(
        f"{path} is a link, and links in the folder of a run are not followed; "
        "put the file or folder itself there"
    )
