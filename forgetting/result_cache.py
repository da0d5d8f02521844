"""Results that take long to compute, kept in the cache folder between runs.

A result is kept under the hash of everything that it depends on. Compiled graphs act like code, so
a result is used only if no other user could have written it (see :mod:`private_folder`), and if its
bytes match the SHA-256 that stands before them. A full disk, a damaged file or a folder that is not
private mean that nothing is kept, and the caller computes: nothing here raises.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from forgetting import files
from forgetting.errors import FetchError
from forgetting.private_folder import PART, NotPrivate, OpenFolder, open_private
from forgetting.safe_npz import read_arrays

log = logging.getLogger(__name__)

FOLDER = "computed"
"""Folder of the results, in the cache folder; it has a folder for every kind."""

MAX_TOTAL = 10**9
"""The most bytes that are kept; what was not used for the longest time is removed first."""

MAX_ARRAYS = 16 * 2**20
"""The most bytes of a file of arrays, unless the caller says otherwise."""

ABANDONED = 3600
"""Seconds after which nobody writes an unfinished file any more."""

_HASH_SIZE = hashlib.sha256().digest_size
_FAILURES = (OSError, ValueError, FetchError, NotPrivate)
_STARTED = time.time_ns()

T = TypeVar("T")


def digest(*parts: object) -> str:
    """Return the SHA-256 of bytes and of values as JSON writes them, each with its length.

    Raises:
        TypeError: JSON cannot hold a value.
        ValueError: a number is not finite.
    """
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, (bytes, bytearray, memoryview)):
            kind, data = b"bytes", bytes(part)
        else:
            kind, data = b"JSON", json.dumps(part, sort_keys=True, allow_nan=False).encode()
        total.update(b"%s %d " % (kind, len(data)) + data)
    return total.hexdigest()


@cache
def code_fingerprint() -> str:
    """Return a SHA-256 of the package's sources, so that no version uses results of another.

    Sources that changed after the process began may not be those that it runs: then the
    fingerprint is one that no other process has.
    """
    package, parts, changed = Path(__file__).parent, list[object](), False
    with suppress(OSError):
        for path in sorted(package.rglob("*.py")):
            changed = changed or path.stat().st_mtime_ns > _STARTED
            parts += [path.relative_to(package).as_posix(), path.read_bytes()]
    if changed or not parts:
        log.debug("the sources changed while this process runs, so it uses no kept results")
        parts.append(secrets.token_hex())
    return digest(*parts)


def load(kind: str, key: str, limit: int) -> bytes | None:
    """Return a result, or None if it is not kept.

    Args:
        kind: of the result, such as ``graphs``.
        key: of the result, from :func:`digest`.
        limit: its largest size in bytes.
    """
    _check_names(kind, key)
    try:
        with _open_kind(kind) as folder, folder.open_file(key) as file:
            return _read_verified(file, kind, key, limit)
    except FileNotFoundError:
        return None
    except _FAILURES as error:
        log.debug("a result is computed again (%s %s: %s)", kind, key[:8], error)
        return None


def store(kind: str, key: str, data: bytes) -> None:
    """Keep a result, if that is possible; it appears whole or not at all."""
    _check_names(kind, key)
    try:
        if len(data) + _HASH_SIZE > MAX_TOTAL:
            raise ValueError(f"{len(data):,} bytes are too many")
        with _open_kind(kind, make=True) as folder:
            folder.write_file(key, _hash(kind, key, data), data)
        _remove_least_recent()
    except _FAILURES as error:
        log.debug("a result is not kept (%s %s: %s)", kind, key[:8], error)


def load_json(kind: str, key: str) -> dict[str, Any] | None:
    """Return a kept JSON object, or None."""
    return _parsed(kind, key, files.MAX_JSON, _parse_object)


def store_json(kind: str, key: str, values: Mapping[str, Any]) -> None:
    """Keep a JSON object; raises TypeError or ValueError if JSON cannot hold a value."""
    store(kind, key, json.dumps(values, allow_nan=False).encode())


def load_arrays(
    kind: str, key: str, shapes: Mapping[str, tuple[int | None, ...]], limit: int = MAX_ARRAYS
) -> dict[str, NDArray[Any]] | None:
    """Return kept arrays of numbers, or None if they are not kept or are others.

    Args:
        kind: of the result.
        key: of the result.
        shapes: the name of every array, and its shape; None is any length.
        limit: largest size of the file, and of what it unpacks to, in bytes.
    """

    def parse(data: bytes) -> dict[str, NDArray[Any]]:
        arrays = read_arrays(io.BytesIO(data), limit)
        if arrays.keys() != shapes.keys():
            raise ValueError("it holds other arrays")
        for name, shape in shapes.items():
            array = arrays[name]
            if array.dtype.kind not in "biuf" or not _fits(array.shape, shape):
                raise ValueError(f"{name} is an array of {array.dtype} {array.shape}")
        return arrays

    return _parsed(kind, key, limit, parse)


def store_arrays(kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep arrays of numbers of at most two dimensions."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **dict(arrays))
    store(kind, key, file.getvalue())


def refusal() -> str | None:
    """Return why nothing is kept on this machine, or None if results are."""
    try:
        with open_private(files.cache_folder(), FOLDER):
            return None
    except FileNotFoundError:
        return None
    except _FAILURES as error:
        return str(error)


def _parsed(kind: str, key: str, limit: int, parse: Callable[[bytes], T]) -> T | None:
    data = load(kind, key, limit)
    try:
        return None if data is None else parse(data)
    except ValueError as error:
        log.debug("a result is computed again (%s %s: %s)", kind, key[:8], error)
        return None


def _parse_object(data: bytes) -> dict[str, Any]:
    values = files.parse_json(data.decode())
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    return values


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        length in (None, size) for size, length in zip(shape, expected, strict=True)
    )


def _check_names(kind: str, key: str) -> None:
    if not re.fullmatch("[a-z]+", kind) or not re.fullmatch("[0-9a-f]{64}", key):
        raise ValueError(f"no result is kept as {kind}/{key}")


def _open_kind(kind: str, make: bool = False) -> AbstractContextManager[OpenFolder]:
    return open_private(files.cache_folder(), FOLDER, kind, make=make)


def _hash(kind: str, key: str, data: bytes) -> bytes:
    """Return the SHA-256 of a result and its name, so that no file can be taken for another."""
    total = hashlib.sha256(f"{kind} {key} ".encode())
    total.update(data)
    return total.digest()


def _read_verified(file: BufferedReader, kind: str, key: str, limit: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > limit + _HASH_SIZE:
        raise ValueError(f"it has {size:,} bytes, more than {limit:,}")
    expected, data = file.read(_HASH_SIZE), file.read(size)
    if _hash(kind, key, data) != expected:
        raise ValueError("it does not match its SHA-256")
    return data


def _remove_least_recent() -> None:
    """Remove what was not used for the longest time, until the limit is kept."""
    results, now = list[tuple[int, str, str, int]](), time.time_ns()
    with open_private(files.cache_folder(), FOLDER) as folder:
        for kind in folder.folders():
            with suppress(OSError, NotPrivate), folder.open_private(kind) as of_kind:
                for entry in of_kind.entries():
                    abandoned = entry.name.endswith(PART) and now - entry.used > ABANDONED * 10**9
                    used = 0 if abandoned else entry.used
                    results.append((used, kind, entry.name, entry.size))
        excess = sum(size for *_, size in results) - MAX_TOTAL
        for used, kind, name, size in sorted(results):
            if excess <= 0 and used:
                break
            # Another process may have removed it, or may have it open on Windows.
            with suppress(OSError, NotPrivate), folder.open_private(kind) as of_kind:
                of_kind.remove_file(name)
            excess -= size
