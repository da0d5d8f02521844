"""Files that appear whole or not at all, the cache folder, and files that are safe to open."""

from __future__ import annotations

import json
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

from forgetting.errors import FetchError, RequestError

SHIPPED = Path(__file__).parent / "data"
"""Statistics that ship with the package."""


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
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
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
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading, without waiting for a pipe and without touching a device.

    Raises:
        OSError: the file cannot be opened.
        RequestError: it is a folder, a pipe, a socket, or a device.
    """
    if path.exists() and not path.is_file():
        raise _irregular(path)
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return os.fdopen(descriptor, "rb")


def _irregular(path: Path) -> RequestError:
    return RequestError(
        f"{path} is not a regular file; name a file and not a folder, pipe, or device"
    )
