"""Untrusted pickles, read as data: NVIDIA's ``.pkl`` and torch's ``.pt``.

The result is a tree of plain values and records. A tensor is the record of a position in the file
and is read on request. All layouts, zip archives and torch's legacy format too, give the same
records, without ``torch.load``.
"""

from __future__ import annotations

import mmap
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from forgetting.errors import CheckpointError, one_line
from forgetting.models.checkpoints.pickle_machine import MAGIC, Machine, is_harmful
from forgetting.models.checkpoints.pickle_names import NameList, refusal
from forgetting.models.checkpoints.pickle_records import Persistent, Storage, Tree
from forgetting.models.checkpoints.pickle_values import storage
from forgetting.printable import sentence

_DEPTH, _VALUES = 100, 500_000
"""The largest depth of a tree and number of its values, counted as often as they are reached."""

_DIRECTORY = 2 << 20
"""The longest list of zip members in bytes."""

_FORMATS = (
    "a .pkl of StyleGAN2-ADA or StyleGAN3, a .pt or .pth of torch, and .safetensors can be read"
)
_FETCH_AGAIN = "fetch the file again"

_BEGINNINGS = {
    rb"PK\x03\x04": "torch zip",
    rb"\x80.{0,20}\x8a\x0a" + re.escape(MAGIC.to_bytes(10, "little")): "torch legacy",
    rb".{5}\0{3}\{": "safetensors",  # the length of its header may begin with \x80
    rb"\x80": "pickle",
    rb"$": f"empty; {_FETCH_AGAIN}",
    rb"(?i:\s*<(!doctype|html|\?xml))": (
        f"a web page, perhaps one that explains why the download failed; {_FETCH_AGAIN}"
    ),
    rb"version https://git-lfs": (
        "a git-lfs pointer and not the file itself; run 'git lfs pull' in the repository it is from"
    ),
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd": (
        "a compressed archive; unpack it first"
    ),
    rb".{257}ustar": (
        "a tar archive; unpack it, or save it again with a current torch if torch wrote it"
    ),
    rb"\x89HDF": (
        "an HDF5 file, as Keras writes them; "
        "export its weights to safetensors with the program that made it"
    ),
    rb"\x08\x01\x12|\n.{1,5}\n.[\w./:-]+\x12.[A-Z]\w": (
        "a TensorFlow graph, which is a program; take a conversion of it for PyTorch, such as "
        "inception5h.pth for tensorflow_inception_graph.pb"
    ),
    rb"\n.[\w -]{1,60}(\x12|\x1a|\xa2\x06)": (
        "a Caffe network; take a conversion of it for PyTorch, such as googlenet_places365.pth"
    ),
    rb"\x08.\x12": "an ONNX graph; take the checkpoint that it was exported from",
    rb"\x89PNG|\xff\xd8\xff": f"a picture; {_FORMATS}",
    rb"\x93NUMPY": f"a numpy array and no network; {_FORMATS}",
}
"""How files begin -> their kind, or what they are instead and what to do."""


def file_kind(path: Path) -> str:
    """Return the kind of a file: 'pickle', 'torch zip', 'torch legacy' or 'safetensors'.

    Raises:
        CheckpointError: it is none of them, or it cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise CheckpointError(f"{path} is {kind}; name a file of weights")
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path} cannot be opened ({reason}); check the path and its permissions"
        ) from None
    matches = (
        kind for beginning, kind in _BEGINNINGS.items() if re.match(beginning, head, re.DOTALL)
    )
    kind = next(matches, "")
    if not kind:  # pickles of the protocols 0 and 1 have no fixed beginning
        kind = "pickle" if path.suffix == ".pkl" else f"of no kind that we read; {_FORMATS}"
    if "; " not in kind:
        return kind
    raise CheckpointError(f"{path} is {kind}")


def read_tree(path: Path, refuse: bool = True) -> Tree:
    """Map and read a pickle, or what ``torch.save`` wrote.

    The root mostly is ``{"G": ..., "D": ..., "G_ema": Persistent, ...}``.

    Args:
        path: of the file.
        refuse: whether to refuse a file that asks for anything that networks do not need.
            Otherwise it is read for inspection, and records stand for the results of such calls.

    Raises:
        CheckpointError: it is no such file, it is a program, it is damaged, or it is refused.
    """
    kind = file_kind(path)
    if kind == "safetensors":
        raise CheckpointError(
            f"{path} is a safetensors file and no pickle; "
            "we open only those that 'forgetting models convert' wrote"
        )
    machine = Machine(path.stat().st_size)
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        match kind:
            case "pickle":
                root = machine.whole(data)
            case "torch legacy":
                root = machine.legacy(data)
            case _:
                root = _zipped(machine, path, data)
        _check_tree(root)
    except (ValueError, OSError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        damage = one_line(error)
    else:
        if refuse and machine.refused:
            raise _refused(path, machine.refused)
        return Tree(path, root, machine.refused, tuple(machine.sources))
    # A refused name explains more than the error that follows from it.
    harm = {name: refusal(name) for name in read_names(path).counts if is_harmful(name)}
    if refused := machine.refused | harm:
        raise _refused(path, refused)
    raise CheckpointError(f"{path} cannot be read: {damage}; fetch it again")


def _refused(path: Path, refused: Mapping[str, str]) -> CheckpointError:
    name = min(refused, key=lambda name: not is_harmful(name))
    shown = sentence(name, 120) or "a name that is none"
    return CheckpointError(f"{path} asks for {shown}, which {refused[name]}")


def read_names(path: Path) -> NameList:
    """Return every name that a pickle, or what ``torch.save`` wrote, asks for.

    Unlike :func:`read_tree` it also reads files that are refused or damaged, as far as it can.

    Raises:
        CheckpointError: it is no such file.
    """
    kind, names = file_kind(path), NameList()
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if kind != "torch zip":
            names.complete &= names.read(data, pickles=5)
            return names
        with _Archive(path) as members, zipfile.ZipFile(members) as archive:
            pickles = [info for info in archive.infolist() if info.filename.endswith(".pkl")]
        for info in pickles:
            stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
            names.complete &= stored and names.read(_member(data, info))
    except (ValueError, OSError, struct.error, zipfile.BadZipFile, NotImplementedError):
        names.complete = False
    return names


def _zipped(machine: Machine, path: Path, data: memoryview) -> Any:
    """Return the value of ``*/data.pkl``, whose storages are ``*/data/KEY``, all uncompressed."""
    with _Archive(path) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
    members = {info.filename.partition("/")[2] for info in infos}
    for program, sign, folder in (
        ("TorchScript", "constants.pkl", "code/"),
        ("torch.export", "archive_format", "models/"),
    ):
        if sign in members or any(member.startswith(folder) for member in members):
            raise CheckpointError(
                f"{path} is a program of {program} and not a file of weights; "
                "run it from code of your own and use generator=module"
            )
    pickles = [info.filename for info in infos if info.filename.partition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError(
            f"{path} is a zip archive but no checkpoint of torch; "
            "unpack it and take the file of weights in it"
        )
    if len({info.filename for info in infos}) != len(infos) or any(
        info.compress_type or info.flag_bits & 1 for info in infos
    ):
        raise ValueError(
            "members of the archive are compressed, encrypted or duplicates; torch writes none such"
        )
    if sum(info.file_size for info in infos) > len(data):
        raise ValueError("members of the archive are larger than the file")
    prefix = pickles[0].removesuffix("data.pkl")
    views = {info.filename: _member(data, info) for info in infos}
    if bytes(views.get(f"{prefix}byteorder", data[:0])[:8]) not in (b"", b"little"):
        raise ValueError("it was written by a big-endian machine")
    storages: dict[str, Storage] = {}
    root = machine.whole(views[pickles[0]], partial(storage, storages))
    for key, read in storages.items():
        read.data = views.get(f"{prefix}data/{key}", data[:0])
        if len(read.data) < read.numel * read.dtype.itemsize:
            raise ValueError(f"storage {key[:60]!a} is missing or too short")
    return root


class _Archive(FileIO):
    """A file that limits the list of members; ``zipfile`` takes ten times its size in memory."""

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
        raise ValueError(f"member {info.filename[:60]!a} of the archive is not at its offset")
    return data[start : start + info.file_size]


def _check_tree(root: Any) -> None:
    """Raise on trees that recursion cannot walk: with cycles, too deep, or with too many values.

    Values that are shared count as often as they are reached.
    """
    # Depth and size of every value; None while its children are visited.
    known: dict[int, tuple[int, int] | None] = {}
    todo = [(root, False)]
    while todo:
        value, done = todo.pop()
        if not isinstance(value, (list, tuple, dict, Persistent)):
            continue
        values = value.state if isinstance(value, Persistent) else value
        children = values.values() if isinstance(values, dict) else values
        if done:
            sizes = [known.get(id(child)) or (0, 1) for child in children]
            depth, size = 1 + max((d for d, _ in sizes), default=0), 1 + sum(s for _, s in sizes)
            if depth > _DEPTH or size > _VALUES:
                raise ValueError("its values are nested too deeply or repeated too often")
            known[id(value)] = depth, size
        elif id(value) not in known:
            known[id(value)] = None
            todo.append((value, True))
            todo.extend((child, False) for child in children)
        elif known[id(value)] is None:
            raise ValueError("a value contains itself")
