"""Arrays from strangers (.npz, .npy): every header is checked before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from forgetting.files import open_own, open_regular

MAX_BYTES = 256 * 2**20
"""The most bytes that the arrays of a file unpack to, all together."""

MAX_MEMBERS = 2**20
"""The longest list of a file's members in bytes; ``zipfile`` takes ten times its size in memory."""

_CHUNK = 2**20

_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
"""What reads the header of an array, by the version of its format; they limit its size."""


class _LimitedFile:
    """A zip archive's file, of which no more than a chunk is read at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > MAX_MEMBERS:
            raise ValueError("its list of members is far too long")
        return self._file.read(size if size >= 0 else MAX_MEMBERS)  # without a size, a short tail


def load_arrays(path: Path, links: bool = True) -> dict[str, NDArray[Any]]:
    """Return the arrays of numbers and of text in a .npz file, by name.

    Args:
        path: of the file.
        links: whether it may be a link; in folders that may be a stranger's, links are refused.

    Raises:
        OSError: the file cannot be opened.
        RequestError: it is no regular file.
        ValueError: it is damaged, is no .npz, or unpacks to more than ``MAX_BYTES``.
    """
    with (open_regular if links else open_own)(path) as file:
        return read_arrays(file)


def read_arrays(file: IO[bytes], most: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Return the arrays of numbers and of text in an open .npz file, by name.

    Args:
        file: the file.
        most: the bytes that it may unpack to.

    Raises:
        ValueError: it is damaged, is no .npz, or unpacks to more.
    """
    try:
        with zipfile.ZipFile(_LimitedFile(file)) as archive:
            members = archive.infolist()
            _check_members(members, most)
            arrays = {}
            for member in members:
                with archive.open(member) as content:
                    array = read_array(content, member.file_size)
                arrays[member.filename.removesuffix(".npy")] = array
            return arrays
    except ValueError:
        raise
    except Exception as error:  # zipfile and zlib have many of their own
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _check_members(members: list[zipfile.ZipInfo], most: int) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError("its members are not arrays with names of their own")
    if (size := sum(member.file_size for member in members)) > most:
        raise ValueError(f"it claims to unpack to {size:,} bytes; the limit is {most:,}")
    for member in members:
        # numpy writes no others; those of bzip2 and LZMA unpack to thousands of times their size.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("a member is compressed by another method than deflate")
        if member.flag_bits & 1:
            raise ValueError("a member is encrypted")


def read_array(file: IO[bytes], most: int) -> NDArray[Any]:
    """Return the array in a .npy file; memory is taken only if the file can be as large.

    Args:
        file: at its beginning.
        most: its size in bytes.

    Raises:
        ValueError: it is damaged, or holds anything but numbers or text.
    """
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError("an array is in a format of numpy that is not used here")
    shape, in_columns, dtype = _HEADERS[version](file)
    if dtype.kind not in "biufU" or dtype.subdtype is not None or len(shape) > 2:
        raise ValueError(f"an array holds {str(dtype)[:40]} of {len(shape)} dimensions")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != most - file.tell():
        raise ValueError("an array is not as large as its header says")
    data, at = np.empty(size, np.uint8), 0
    while at < size:
        chunk = file.read(_CHUNK)
        if not chunk:
            raise ValueError("an array ends too early")
        data[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at += len(chunk)
    array: NDArray[Any] = data.view(dtype)
    return array.reshape(shape, order="F" if in_columns else "C")
