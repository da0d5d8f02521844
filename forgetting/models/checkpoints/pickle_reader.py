"""Pickles of strangers, read as data: NVIDIA's ``.pkl`` (StyleGAN2-ADA, StyleGAN3) and torch's ``.pt``, zip or legacy.

What comes out is a tree of plain values and records, in which a tensor is a place in the file, read when it is asked for.
All layouts end in the same records, so ``torch.load`` has no part in this.
"""

from __future__ import annotations

import mmap
import re
import stat
import struct
import zipfile
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from forgetting.errors import CheckpointError, one_line
from forgetting.models.checkpoints.pickle_machine import MAGIC, Machine, harmful
from forgetting.models.checkpoints.pickle_records import Persistent, Storage, Tree
from forgetting.models.checkpoints.pickle_values import storage

_DEPTH, _VALUES = 100, 500_000  # of the tree, every value counted as often as it is reached
_DIRECTORY = 2 << 20  # longest list of zip members

_FORMATS = (
    "a .pkl of StyleGAN2-ADA or StyleGAN3, a .pt or .pth of torch, and .safetensors can be read"
)
_ANEW = "fetch the file again"
_LOOKS = {  # how files begin, and what they are: a kind, or why not
    rb"PK\x03\x04": "torch zip",
    rb"\x80.{0,20}\x8a\x0a" + re.escape(MAGIC.to_bytes(10, "little")): "torch legacy",
    rb"\x80": "pickle",
    rb".{5}\0{3}\{": "safetensors",
    rb"$": f"empty; {_ANEW}",
    rb"(?i:\s*<(!doctype|html|\?xml))": f"a web page, perhaps one that says why there was no download; {_ANEW}",
    rb"version https://git-lfs": "a git-lfs pointer and not the file itself; say 'git lfs pull' where it came from",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd": "a compressed archive; unpack it first",
    rb".{257}ustar": "a tar archive; unpack it, or save it again with a current torch if torch wrote it",
    rb"\x89HDF": "an HDF5 file, as Keras writes them; export its weights to safetensors with the program that made it",
    rb"\x08.\x12": "an ONNX graph; take the checkpoint that it was exported from",
    rb"\x89PNG|\xff\xd8\xff": f"a picture; {_FORMATS}",
    rb"\x93NUMPY": f"a numpy array and no network; {_FORMATS}",
}


def file_kind(path: Path) -> str:
    """'pickle', 'torch zip', 'torch legacy' or 'safetensors'.

    Raises:
        CheckpointError: it is none of them, or cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would keep us waiting
            raise CheckpointError(
                f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; name a file of weights"
            )
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path} cannot be opened ({said}); check the path and its permissions"
        ) from None
    looks = next(
        (what for beginning, what in _LOOKS.items() if re.match(beginning, head, re.DOTALL)), None
    )
    if looks is None:  # pickles of the protocols 0 and 1 begin in any way
        looks = "pickle" if path.suffix == ".pkl" else f"of no kind that is known here; {_FORMATS}"
    if "; " not in looks:
        return looks
    raise CheckpointError(f"{path} is {looks}")


def read_tree(path: Path, refuse: bool = True) -> Tree:
    """Map and read a pickle, mostly ``{"G": ..., "D": ..., "G_ema": Persistent, ...}``, or what ``torch.save`` wrote.

    Args:
        refuse: a file that asks for anything that networks do not need. Else it is read to look at it; where it would
            have made such a thing, there is a record of that.

    Raises:
        CheckpointError: it is none of these, it is a program, it is damaged, or it is refused.
    """
    found = file_kind(path)
    if found == "safetensors":
        raise CheckpointError(
            f"{path} is a safetensors file and no pickle; only one that 'forgetting models convert' wrote can be opened"
        )
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        machine = Machine(len(data))
        try:
            match found:
                case "pickle":
                    root = machine.whole(data)
                case "torch legacy":
                    root = machine.legacy(data)
                case _:
                    root = _zipped(machine, path, data)
            _prove(root)
        finally:  # a name that is not on the list says more than what broke because of it
            if refuse and machine.refused:
                name = min(machine.refused, key=lambda name: not harmful(name))
                raise CheckpointError(
                    f"{path} asks for {ascii(name[:120])[1:-1]}, which {machine.refused[name]}"
                ) from None
        return Tree(path, root, dict(machine.globals), machine.refused, tuple(machine.sources))
    except (ValueError, OSError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path} cannot be read: {one_line(error)}; fetch it again") from None


def _zipped(machine: Machine, path: Path, data: memoryview) -> Any:
    """``*/data.pkl`` and the storages ``*/data/KEY``, all of them uncompressed."""
    with _Archive(path) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    parts = {info.filename.partition("/")[2] for info in infos}
    for what, sign, folder in (
        ("TorchScript", "constants.pkl", "code/"),
        ("torch.export", "archive_format", "models/"),
    ):
        if sign in parts or any(part.startswith(folder) for part in parts):
            hint = "run it from code of your own and say generator=module"
            raise CheckpointError(
                f"{path} is a program of {what} and not a file of weights; {hint}"
            )
    pickles = [info.filename for info in infos if info.filename.partition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError(
            f"{path} is a zip archive but no checkpoint of torch; unpack it and take the file of weights in it"
        )
    if len({info.filename for info in infos}) != len(infos) or any(
        info.compress_type or info.flag_bits & 1 for info in infos
    ):
        raise ValueError(
            "members of the archive are compressed, encrypted or there twice, which torch never does"
        )
    if sum(info.file_size for info in infos) > len(data):
        raise ValueError("members of the archive are larger than the file")
    prefix, views = (
        pickles[0].removesuffix("data.pkl"),
        {info.filename: _member(data, info) for info in infos},
    )
    if bytes(views.get(f"{prefix}byteorder", data[:0])[:8]) not in (b"", b"little"):
        raise ValueError("it was written by a big-endian machine")
    storages: dict[str, Storage] = {}
    root = machine.whole(views[pickles[0]], partial(storage, storages))
    for key, one in storages.items():
        one.data = views.get(f"{prefix}data/{key}", data[:0])
        if len(one.data) < one.numel * one.dtype.itemsize:
            raise ValueError(f"storage {key[:60]!a} is missing or too short")
    return root


class _Archive(FileIO):
    """A file of which ``zipfile`` gets no giant list of members: its records take ten times the room."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise ValueError("its list of members is far too long")
        return super().read(-1 if size is None else size) or b""


def _member(data: memoryview, info: zipfile.ZipInfo) -> memoryview:
    head = bytes(data[max(info.header_offset, 0) :][:30])
    start = (
        info.header_offset
        + 30
        + int.from_bytes(head[26:28], "little")
        + int.from_bytes(head[28:30], "little")
    )
    if not head.startswith(b"PK\x03\x04") or start + info.file_size > len(data):
        raise ValueError(f"member {info.filename[:60]!a} of the archive is not where it should be")
    return data[start : start + info.file_size]


def _prove(root: Any) -> None:
    """Refuse trees that recursion could not walk: with cycles, deep, or so often shared that they have no end."""
    known: dict[
        int, tuple[int, int] | None
    ] = {}  # depth and size; None as long as it is being looked at
    todo = [(root, False)]
    while todo:
        value, done = todo.pop()
        if not isinstance(value, (list, tuple, dict, Persistent)):
            continue
        inside = (
            value.state.values()
            if isinstance(value, Persistent)
            else value.values()
            if isinstance(value, dict)
            else value
        )
        if done:
            sizes = [known.get(id(one)) or (0, 1) for one in inside]
            depth, size = 1 + max((d for d, _ in sizes), default=0), 1 + sum(s for _, s in sizes)
            if depth > _DEPTH or size > _VALUES:
                raise ValueError("its values are nested too deeply or repeated too often")
            known[id(value)] = depth, size
        elif id(value) not in known:
            known[id(value)] = None
            todo.append((value, True))
            todo.extend((one, False) for one in inside)
        elif known[id(value)] is None:
            raise ValueError("a value contains itself")
