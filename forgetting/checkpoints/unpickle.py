"""Pickles of strangers, read as data: NVIDIA's ``.pkl`` (StyleGAN2-ADA, StyleGAN3) and torch's ``.pt``, zip or legacy.

A pickle is a program. The machine below runs it passively: it calls nothing but small functions of this file, knows only
the names listed at its end, and believes no size. What it leaves is a tree of plain values in which a tensor is a place in
the file, read when it is asked for. All layouts end in the same records, so ``torch.load`` has no part in this.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
import stat
import struct
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import CheckpointError

_OPCODES = 1_000_000  # instructions in a file; StyleGAN's have a tenth
_ROOM = 64 << 20  # bytes that values may take beyond one and a half times the size of the file, as much as protocol 2 needs
_DEPTH, _VALUES = 100, 500_000  # of the tree, every value counted as often as it is reached
_LINE, _SMALL, _DIRECTORY = 4096, 4096, 2 << 20  # longest line, longest bytes that are copied, longest list of zip members
_MAGIC = 0x1950A86A20F9469CFC6C  # with which torch's legacy format begins
_NOTHING = memoryview(b"")

_FORMATS = "a .pkl of StyleGAN2-ADA or StyleGAN3, a .pt or .pth of torch, and .safetensors can be read"
_ANEW = "fetch the file again"
_LOOKS = {  # how files begin, and what they are: a kind, or why not
    rb"PK\x03\x04": "torch zip",
    rb"\x80.{0,20}\x8a\x0a" + re.escape(_MAGIC.to_bytes(10, "little")): "torch legacy",
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
_HARM = re.compile(r"(os|posix|nt|sys|subprocess|commands|builtins|importlib|runpy|shutil|socket|pty|ctypes)\.")


@dataclass(frozen=True)
class Global:
    """A name that the file mentions, such as ``torch.float32``; never the thing itself."""

    name: str


@dataclass(eq=False)
class Storage:
    """``numel`` numbers in a row, and the bytes of the file that hold them."""

    dtype: torch.dtype
    numel: int
    data: memoryview = _NOTHING


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that is still in the file: a view that has been found to fit its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        return self.storage.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor, contiguous and in memory of its own."""
        tensor, size = torch.empty(self.shape, dtype=self.dtype, device="cpu"), self.dtype.itemsize
        if self.nbytes:
            # Copied as integers of that width, because numpy has no bfloat16; numpy also checks the bounds once more.
            steps, data = [n * size for n in self.stride], cast(Any, self.storage.data)
            source: Any = np.ndarray(self.shape, f"<i{size}", data, self.offset * size, steps)
            tensor.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]).numpy()[...] = source
        return tensor


@dataclass(frozen=True, eq=False)
class Persistent:
    """An object of NVIDIA's persistence layer: the name of its class and its ``__dict__``. Its source is not kept."""

    class_name: str
    state: dict[Any, Any]


@dataclass(eq=False)
class Array:
    """A numpy array, a view of the file."""

    value: Any = None


class Namespace(dict[Any, Any]):
    """An ``argparse.Namespace``, as a dict."""


@dataclass(frozen=True, eq=False)
class Tree:
    """What a file says: values without cycles that any recursion can walk. The file is mapped while anything of it lives."""

    path: Path
    root: Any
    globals: Mapping[str, int]  # how often it asks for which name
    sources: tuple[tuple[str, int], ...]  # every class of persistent objects, and the length of the source code it brings


def kind(path: Path) -> str:
    """'pickle', 'torch zip', 'torch legacy' or 'safetensors'.

    Raises:
        CheckpointError: it is none of them, or cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would keep us waiting
            raise CheckpointError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; name a file of weights")
        with path.open("rb") as file:
            head = file.read(512)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be opened ({said}); check the path and its permissions") from None
    looks = next((what for beginning, what in _LOOKS.items() if re.match(beginning, head, re.DOTALL)), None)
    if looks is None:  # pickles of the protocols 0 and 1 begin in any way
        looks = "pickle" if path.suffix == ".pkl" else f"of no kind that is known here; {_FORMATS}"
    if "; " not in looks:
        return looks
    raise CheckpointError(f"{path} is {looks}")


def open_pickle(path: Path) -> Tree:
    """Map and read a pickle of NVIDIA's, mostly ``{"G": ..., "D": ..., "G_ema": Persistent, ...}``.

    Raises:
        CheckpointError: it is none, it is damaged, or it asks for anything that networks do not need.
    """
    return _opened(path, "pickle")


def open_torch(path: Path) -> Tree:
    """Map and read what ``torch.save`` wrote, in the zip or in the legacy format.

    Raises:
        CheckpointError: it is none, it is a program, it is damaged, or it asks for anything that weights do not need.
    """
    return _opened(path, "torch zip", "torch legacy")


def opened(path: Path) -> Tree:
    """Map and read a file of any of these kinds; see :func:`open_pickle` and :func:`open_torch`."""
    return _opened(path, "pickle", "torch zip", "torch legacy")


def stored(value: Any, where: str) -> dict[str, Stored]:
    """The tensors of a state dict, or of a ``Persistent`` named as its ``state_dict()`` would, non-persistent buffers too."""
    if isinstance(value, Persistent):
        found = dict(_leaves(value, "", where))
    elif isinstance(value, dict) and all(type(name) is str and isinstance(one, Stored) for name, one in value.items()):
        found = dict(value)
    else:
        names = f"; it holds {', '.join(ascii(str(name)[:60]) for name in [*value][:12])}" if isinstance(value, dict) else ""
        raise CheckpointError(f"{where} is neither a network nor a state dict, which maps names to tensors{names}")
    if not found:
        raise CheckpointError(f"{where} has no weights; take another part of the file, or another file")
    return found


def shapes(value: Any, where: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of what ``tensors`` would read."""
    return {name: (one.shape, one.dtype) for name, one in stored(value, where).items()}


def tensors(value: Any, where: str) -> dict[str, Tensor]:
    """The state dict of a ``Persistent`` or of a dict of ``Stored``, every tensor in memory of its own."""
    found = stored(value, where)
    held = {id(one.storage): len(one.storage.data) for one in found.values()}
    if sum(one.nbytes for one in found.values()) > 2 * sum(held.values()):
        raise CheckpointError(f"{where} repeats its weights until they take far more memory than the file; fetch it again")
    return {name: one.read() for name, one in found.items()}


def settings(value: Any, where: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Class, arguments and keyword arguments with which a ``Persistent`` was made, as plain values."""
    state = value.state if isinstance(value, Persistent) else {}
    arguments, keywords = state.get("_init_args"), state.get("_init_kwargs")
    if not isinstance(arguments, (list, tuple)) or not isinstance(keywords, dict) or not all(type(name) is str for name in keywords):
        raise CheckpointError(f"{where} does not say how it was made; name a network of NVIDIA's, such as G_ema")
    return value.class_name, tuple(plain(arguments)), plain(keywords)


def plain(value: Any) -> Any:
    """``value`` with arrays and names instead of their records; tensors and networks stay as they are."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(one) for one in value)
    return value.value if isinstance(value, Array) else value.name if isinstance(value, Global) else value


def _leaves(module: Persistent, prefix: str, where: str) -> Iterator[tuple[str, Stored]]:
    for part in ("_parameters", "_buffers", "_modules"):
        values = module.state.get(part, {})
        for name, value in values.items() if isinstance(values, dict) else ((part, values),):
            if value is None:
                continue
            path = f"{prefix}{name}"
            if part == "_modules" and isinstance(value, Persistent) and len(path) < 1000:
                yield from _leaves(value, f"{path}.", where)
            elif part != "_modules" and isinstance(value, Stored) and len(path) < 1000:
                yield path, value
            else:
                raise CheckpointError(f"{where}: {path[:120]!a} is neither a tensor nor a network; fetch the file again")


def _opened(path: Path, *kinds: str) -> Tree:
    if (found := kind(path)) not in kinds:
        raise CheckpointError(f"{path} is a {found} file and no {' or '.join(kinds)} file; open it as what it is")
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        machine = _Machine(path, len(data))
        root = {"pickle": machine.whole, "torch zip": machine.zipped, "torch legacy": machine.legacy}[found](data)
        _prove(root)
        return Tree(path, root, dict(machine.globals), tuple(machine.sources))
    except (ValueError, OSError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())[:250]}; fetch it again") from None


class _Reader:
    """What ``pickletools`` reads from. Long bytes are handed out as views and never copied."""

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at

    def read(self, size: int) -> bytes | memoryview:
        part = self.data[self.at : self.at + size]
        self.at += len(part)
        return part if size > _SMALL else bytes(part)

    def readline(self) -> bytes | memoryview:
        return self.read(bytes(self.data[self.at : self.at + _LINE]).find(b"\n") + 1)

    def tell(self) -> int:
        return self.at


def _instructions(reader: _Reader) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], reader)):
            yield opcode.name, argument
    except (AttributeError, Warning):  # raised within pickletools: views cannot be decoded, escapes may be odd
        raise ValueError("it holds strings of Python 2 that cannot be read") from None


class _Machine:
    """Runs pickles passively, within one budget of instructions and memory for a file and all that is inside it."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.opcodes, self.room = path, _OPCODES, size * 3 // 2 + _ROOM
        self.globals: Counter[str] = Counter()
        self.sources: dict[tuple[str, int], None] = {}
        self.blobs: dict[int, tuple[Any, Storage]] = {}
        self.within_blob = False
        own = {"torch_utils.persistence._reconstruct_persistent_obj": self.persistent, "torch.storage._load_from_bytes": self.blob}
        self.makers: dict[str, Callable[..., Any]] = _MAKERS | own

    def run(self, data: memoryview, at: int, resolve: Callable[[Any], Any] | None = None) -> tuple[Any, int]:
        """The value of the pickle at ``at`` and where it ends; ``resolve`` says what a persistent id stands for."""
        reader, stack, marks = _Reader(data, at), list[Any](), list[int]()
        memo: dict[int, Any] = {}

        def push(value: Any) -> None:
            self.charge(value)
            stack.append(value)

        def take(count: int | None = None) -> list[Any]:
            """The upper ``count`` values, or all above the last mark."""
            if count is None and not marks:
                raise ValueError("a mark is missing")
            start = marks.pop() if count is None else len(stack) - count
            if start < (marks[-1] if marks else 0):
                raise ValueError("it takes more from its stack than there is")
            values = stack[start:]
            del stack[start:]
            return values

        def top() -> Any:
            stack.extend(take(1))
            return stack[-1]

        for name, argument in _instructions(reader):
            self.opcodes -= 1
            if self.opcodes < 0:
                raise ValueError(f"it has more than {_OPCODES} instructions")
            match name:
                case "BINGET" | "LONG_BINGET" | "GET":
                    if argument not in memo:
                        raise ValueError("it reads what was never written")
                    stack.append(memo[argument])
                case "MEMOIZE" | "BINPUT" | "LONG_BINPUT" | "PUT":
                    index = len(memo) if name == "MEMOIZE" else argument
                    if not 0 <= index < _OPCODES:
                        raise ValueError("it has more to remember than instructions")
                    memo[index] = top()
                    self.charge(None)
                case "MARK":
                    marks.append(len(stack))
                    self.charge(None)
                case _ if name in _ATOMS:
                    push(_atom(argument))
                case _ if name in _FRESH:
                    push(_FRESH[name]())
                case _ if name in _GATHERED:
                    count, gather = _GATHERED[name]
                    push(gather(take(count)))
                case "APPEND" | "APPENDS":
                    values = take(1 if name == "APPEND" else None)
                    _given(list, top()).extend(values)
                case "SETITEM" | "SETITEMS":
                    pairs = _pairs(take(2 if name == "SETITEM" else None))
                    _given(dict, top()).update(pairs)
                case "ADDITEMS":
                    keys = _set(take())
                    _given(set, top()).update(keys)
                case "GLOBAL":
                    push(self.named(*argument.split(" ", 1)))
                case "STACK_GLOBAL":
                    push(self.named(*take(2)))
                case "REDUCE" | "NEWOBJ":
                    push(self.make(*take(2)))
                case "BUILD":
                    (state,) = take(1)
                    _build(top(), state)
                    self.charge(state)
                case "BINPERSID" if resolve:
                    push(resolve(*take(1)))
                case "STOP" if len(stack) == 1 and not marks:
                    return stack[0], reader.at
                case "PROTO" if argument <= 5:
                    pass
                case "FRAME":
                    pass
                case _:
                    raise ValueError(f"the instruction {name} has no place in it")
        raise ValueError("its end is missing")

    def charge(self, value: Any) -> None:
        self.room -= sys.getsizeof(value) + 64  # the value, and what it takes to remember it
        if self.room < 0:
            raise ValueError("it would take far more memory than its size")

    def named(self, module: Any, name: Any) -> Global:
        """The record of a name, if it is one that networks need."""
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        full = full.replace("numpy._core.", "numpy.core.", 1).replace("__builtin__.", "builtins.", 1)
        self.globals[full] += 1
        if full in self.makers or full in _NAMES:
            return Global(full)
        if full.startswith(("dnnlib.tflib.", "tfutil.")):
            why = "is a TensorFlow network; convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch"
        elif _HARM.match(full):
            why = "no checkpoint needs and which can do harm; nothing was run, and nothing else should open this file either"
        else:
            why = "is of no kind that is read here; if it is a network of your own, load it yourself and say generator=module"
        raise CheckpointError(f"{self.path} asks for {ascii(full[:120])[1:-1]}, which {why}")

    def make(self, function: Any, arguments: Any) -> Any:
        """What a call would give, as a record of ours."""
        maker = self.makers.get(function.name) if isinstance(function, Global) else None
        if maker is None or type(arguments) is not tuple or len(arguments) > 9:
            raise ValueError("it calls what cannot be called")
        try:
            return maker(*arguments)
        except TypeError:
            raise ValueError(f"{function.name} is called with arguments that do not fit") from None

    def persistent(self, meta: Any) -> Persistent:
        match meta:
            case {"type": "class", "class_name": str(name), "module_src": str(source), "state": dict() | None as state}:
                self.sources[name, len(source)] = None
                return Persistent(name, {} if state is None else state)
        raise ValueError("a persistent object lacks its class, source or state")

    def blob(self, data: Any) -> Storage:
        """A storage within a pickle: a file in torch's legacy format of its own."""
        if self.within_blob:
            raise ValueError("a storage holds a storage")  # which could hold a storage
        if id(data) not in self.blobs:
            self.within_blob = True
            self.blobs[id(data)] = data, _given(Storage, self.legacy(memoryview(data)))
            self.within_blob = False
        return self.blobs[id(data)][1]

    def whole(self, data: memoryview, resolve: Callable[[Any], Any] | None = None) -> Any:
        """The value of a pickle behind which nothing comes."""
        value, end = self.run(data, 0, resolve)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes follow its end")
        return value

    def legacy(self, data: memoryview) -> Any:
        """Five pickles (magic number, version, system, value, keys of the storages), then length and bytes of each storage."""
        storages: dict[str, Storage] = {}
        parts, at = list[Any](), 0
        for _ in range(5):
            part, at = self.run(data, at, partial(_storage, storages))
            parts.append(part)
        magic, version, _, root, keys = parts
        if magic != _MAGIC or version != 1001 or type(keys) is not list or not all(type(key) is str for key in keys):
            raise ValueError("it is not in torch's legacy format")
        if sorted(keys) != sorted(storages):
            raise ValueError("its storages are not those that its tensors need")
        for key in keys:
            count, storage = int.from_bytes(data[at : at + 8], "little"), storages[key]
            storage.data = data[at + 8 : at + 8 + storage.numel * storage.dtype.itemsize]
            at += 8 + len(storage.data)
            if count != storage.numel or len(storage.data) != count * storage.dtype.itemsize:
                raise ValueError(f"storage {key[:60]!a} is not as long as it should be")
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes follow its end")
        return root

    def zipped(self, data: memoryview) -> Any:
        """``*/data.pkl`` and the storages ``*/data/KEY``, all of them uncompressed."""
        with _Archive(self.path) as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
        parts = {info.filename.partition("/")[2] for info in infos}
        for what, sign, folder in (("TorchScript", "constants.pkl", "code/"), ("torch.export", "archive_format", "models/")):
            if sign in parts or any(part.startswith(folder) for part in parts):
                hint = "run it from code of your own and say generator=module"
                raise CheckpointError(f"{self.path} is a program of {what} and not a file of weights; {hint}")
        pickles = [info.filename for info in infos if info.filename.partition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"{self.path} is a zip archive but no checkpoint of torch; unpack it and take the file of weights in it")
        if len({info.filename for info in infos}) != len(infos) or any(info.compress_type or info.flag_bits & 1 for info in infos):
            raise ValueError("members of the archive are compressed, encrypted or there twice, which torch never does")
        if sum(info.file_size for info in infos) > len(data):
            raise ValueError("members of the archive are larger than the file")
        prefix, views = pickles[0].removesuffix("data.pkl"), {info.filename: _member(data, info) for info in infos}
        if bytes(views.get(f"{prefix}byteorder", _NOTHING)[:8]) not in (b"", b"little"):
            raise ValueError("it was written by a big-endian machine")
        storages: dict[str, Storage] = {}
        root = self.whole(views[pickles[0]], partial(_storage, storages))
        for key, storage in storages.items():
            storage.data = views.get(f"{prefix}data/{key}", _NOTHING)
            if len(storage.data) < storage.numel * storage.dtype.itemsize:
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
    start = info.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if not head.startswith(b"PK\x03\x04") or start + info.file_size > len(data):
        raise ValueError(f"member {info.filename[:60]!a} of the archive is not where it should be")
    return data[start : start + info.file_size]


def _prove(root: Any) -> None:
    """Refuse trees that recursion could not walk: with cycles, deep, or so often shared that they have no end."""
    known: dict[int, tuple[int, int] | None] = {}  # depth and size; None as long as it is being looked at
    todo = [(root, False)]
    while todo:
        value, done = todo.pop()
        if not isinstance(value, (list, tuple, dict, Persistent)):
            continue
        inside = value.state.values() if isinstance(value, Persistent) else value.values() if isinstance(value, dict) else value
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


def _atom(value: Any) -> Any:
    if type(value) is int and value.bit_length() > 1024:
        raise ValueError("a number is far too long")
    if type(value) is str and not value.isascii():
        value.encode()  # half a surrogate could not be printed
    return value


def _key(value: Any) -> Any:
    """A key of a dict: of a type whose hash takes no time, and no number that others could be made to collide with."""
    if type(value) not in (str, int, float, bool, bytes, type(None)) or (type(value) is int and abs(value) >= 2**61 - 1):
        raise ValueError(f"a {type(value).__name__} cannot be a key")
    return value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return _mapping(zip(values[::2], values[1::2], strict=True))


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}  # Python 2 wrote the pairs of an OrderedDict as its argument


def _set(values: Any) -> set[Any]:
    return {_key(value) for value in _given(list, values)}


def _given(type_: type, value: Any, *_: Any) -> Any:
    if type(value) is not type_:
        raise ValueError(f"there is a {type(value).__name__} where a {type_.__name__} was expected")
    return value


def _build(target: Any, state: Any) -> None:
    """What ``__setstate__`` would do."""
    match target, state:
        case Namespace(), dict():
            target.update(state)
        case dict(), dict() if type(target) is dict and set(state) <= {"_metadata"}:
            pass  # versions of modules, which state dicts carry along
        case np.dtype(), (_, "<" | "|" | "=", *_):
            pass
        case Array(), (_, shape, dtype, fortran, data):
            target.value = _array(data, dtype, shape, "F" if fortran else "C").value
        case _:
            raise ValueError(f"a {type(target).__name__} is given a state that it cannot have")


def _elements(shape: Any) -> int:
    """The product of a tuple of sizes that nobody needs to be afraid of."""
    if type(shape) is not tuple or len(shape) > 32 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError("a shape is not a tuple of sizes")
    if math.prod(max(n, 1) for n in shape) >= 2**48:
        raise ValueError("a shape is far too large")
    return math.prod(shape)


def _storage(storages: dict[str, Storage], id: Any) -> Storage:
    """The storage that a persistent id names; its bytes are found later."""
    match id:
        case ("storage", Global(name), str(key), str(), int(numel), *rest) if name in _STORAGES and rest in ([], [None]):
            storage = storages.setdefault(key, Storage(_STORAGES[name], numel))
            if 0 <= numel < 2**48 and (storage.dtype, storage.numel) == (_STORAGES[name], numel):
                return storage
    raise ValueError("a storage has an id that torch never writes")


def _stored(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Stored:
    _given(Storage, storage)
    _elements((offset,))
    count = _elements(shape)
    if type(stride) is not tuple or len(stride) != len(shape) or not all(type(step) is int and 0 <= step < 2**40 for step in stride):
        raise ValueError("a tensor has no strides")
    end = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) + 1 if count else 0
    if max(end, count) > storage.numel:
        raise ValueError(f"a tensor of shape {shape} does not fit into its storage of {storage.numel}")
    return Stored(storage, offset, shape, stride)


def _encode(text: Any, codec: Any) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise ValueError("bytes are written in an unknown way")
    return cast(str, _given(str, text)).encode("latin-1")


def _dtype(name: Any, *_: Any) -> np.dtype[Any]:
    if name not in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
        raise ValueError("it has arrays of something else than numbers")
    return cast("np.dtype[Any]", np.dtype(name))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    fits = isinstance(dtype, np.dtype) and isinstance(data, (bytes, bytearray, memoryview)) and order in ("C", "F")
    if not fits or _elements(shape) * dtype.itemsize != len(data):
        raise ValueError("an array does not fit its bytes")
    return Array(np.ndarray(shape, dtype, data, order=order) if len(data) else np.empty(shape, dtype))


_ATOMS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_ATOMS |= {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_FRESH: dict[str, Callable[[], Any]] = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": bool}
_FRESH |= {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_GATHERED: dict[str, tuple[int | None, Callable[[list[Any]], Any]]] = {f"TUPLE{n}": (n, tuple) for n in (1, 2, 3)}
_GATHERED |= {"TUPLE": (None, tuple), "LIST": (None, list), "DICT": (None, _pairs), "FROZENSET": (None, _set)}
_TYPES = {"Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Double": "float64", "Long": "int64", "Int": "int32"}
_TYPES |= {"Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
_STORAGES: dict[str, torch.dtype] = {f"torch.{name}Storage": getattr(torch, dtype) for name, dtype in _TYPES.items()}
_NAMES = {"numpy.ndarray", *_STORAGES, *(f"torch.{dtype}" for dtype in _TYPES.values())}
_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "dnnlib.util.EasyDict": _mapping,
    "argparse.Namespace": lambda: Namespace(),
    "builtins.set": _set,
    "builtins.bytes": lambda: b"",  # how protocol 2 says it
    "_codecs.encode": _encode,
    "torch._utils._rebuild_tensor": _stored,  # before torch 0.4
    "torch._utils._rebuild_tensor_v2": _stored,
    "torch._utils._rebuild_parameter": partial(_given, Stored),
    "torch.Size": partial(_given, tuple),
    "torch.device": partial(_given, str),
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: Array(),
    "numpy.core.multiarray.scalar": lambda dtype, data: _array(data, dtype, (), "C").value.item(),
    "numpy.core.numeric._frombuffer": _array,
}
