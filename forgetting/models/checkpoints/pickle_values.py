"""The values of a pickle's instructions, and the known calls: plain values and records.

Everything is checked here, because a pickle may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from forgetting.models.checkpoints.pickle_records import (
    Array,
    Foreign,
    Global,
    Namespace,
    Storage,
    Stored,
)


def atom(value: Any) -> Any:
    """Return a number or a string.

    Raises:
        ValueError: a number that takes long to compute with, or a string that cannot be printed.
    """
    if type(value) is int and value.bit_length() > 1024:
        raise ValueError("a number is far too long")
    if type(value) is str and not value.isascii():
        value.encode()  # half a surrogate could not be printed
    return value


def _key(value: Any) -> Any:
    """Return a key of a dict, whose hash is fast to compute and cannot be made to collide.

    Raises:
        ValueError: it has another type, or is too large a number.
    """
    if type(value) not in (str, int, float, bool, bytes, type(None)) or (
        type(value) is int and abs(value) >= 2**61 - 1
    ):
        raise ValueError(f"a {type(value).__name__} cannot be a key")
    return value


def pairs(values: list[Any]) -> dict[Any, Any]:
    """Return the dict of alternating keys and values."""
    return _mapping(zip(values[::2], values[1::2], strict=True))


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    # Python 2 wrote the pairs of an OrderedDict as its argument.
    return {_key(key): value for key, value in pairs}


def set_(values: Any) -> set[Any]:
    """Return the set of the values of a list."""
    return {_key(value) for value in expect_type(list, values)}


def expect_type(type_: type, value: Any, *_: Any) -> Any:
    """Return ``value``.

    Raises:
        ValueError: it is not exactly of that type.
    """
    if type(value) is not type_:
        raise ValueError(f"there is a {type(value).__name__} where a {type_.__name__} was expected")
    return value


def build(target: Any, state: Any) -> None:
    """Set the state of a record, as ``__setstate__`` does for an object.

    Raises:
        ValueError: the record cannot have that state.
    """
    match target, state:
        case Foreign(), _:
            pass
        case Namespace(), dict():
            target.update(state)
        case dict(), dict() if type(target) is dict and set(state) <= {"_metadata"}:
            pass  # versions of modules, which state dicts carry along
        case np.dtype(), (_, "<" | "|" | "=", *_):
            pass
        case Array(), (_, shape, dtype, fortran, data):
            target.value = _array(data, dtype, shape, "F" if fortran else "C").value
        case _:
            raise ValueError(f"a {type(target).__name__} gets a state that it cannot have")


def _elements(shape: Any) -> int:
    """Return the product of a tuple of sizes.

    Raises:
        ValueError: it is no tuple of sizes, or the sizes are far too large.
    """
    if (
        type(shape) is not tuple
        or len(shape) > 32
        or not all(type(n) is int and 0 <= n < 2**40 for n in shape)
    ):
        raise ValueError("a shape is not a tuple of sizes")
    if math.prod(max(n, 1) for n in shape) >= 2**48:
        raise ValueError("a shape is far too large")
    return math.prod(shape)


def storage(storages: dict[str, Storage], id: Any) -> Storage | Foreign:
    """Return the storage that a persistent id names; its bytes are set later.

    A record stands for what is refused: storages of other types, and modules that are saved whole.

    Raises:
        ValueError: torch never writes such an id.
    """
    match id:
        case ("storage", Global(name), str(key), str(), int(numel), *rest) if (
            name in _STORAGES and rest in ([], [None])
        ):
            storage = storages.setdefault(key, Storage(_STORAGES[name], numel))
            if 0 <= numel < 2**48 and (storage.dtype, storage.numel) == (_STORAGES[name], numel):
                return storage
        case ("storage", Global(name), str(), str(), int(), *_) | ("module", Global(name), *_) if (
            name not in NAMES and name not in MAKERS
        ):
            return Foreign(name)
    raise ValueError("a storage has an id that torch never writes")


def _stored(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Stored:
    expect_type(Storage, storage)
    _elements((offset,))
    count = _elements(shape)
    if (
        type(stride) is not tuple
        or len(stride) != len(shape)
        or not all(type(step) is int and 0 <= step < 2**40 for step in stride)
    ):
        raise ValueError("a tensor has no strides")
    end = (
        offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) + 1
        if count
        else 0
    )
    if max(end, count) > storage.numel:
        raise ValueError(
            f"a tensor of shape {shape} does not fit into its storage of {storage.numel}"
        )
    return Stored(storage, offset, shape, stride)


def _encode(text: Any, codec: Any) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise ValueError("bytes have an unknown encoding")
    return cast(str, expect_type(str, text)).encode("latin-1")


def _unused(name: str, *_: Any) -> Foreign:
    return Foreign(name)


def _dtype(name: Any, *_: Any) -> np.dtype[Any]:
    if name not in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
        raise ValueError("it has arrays whose elements are no numbers")
    return cast("np.dtype[Any]", np.dtype(name))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    fits = (
        isinstance(dtype, np.dtype)
        and isinstance(data, (bytes, bytearray, memoryview))
        and order in ("C", "F")
    )
    if not fits or _elements(shape) * dtype.itemsize != len(data):
        raise ValueError("an array does not fit its bytes")
    return Array(
        np.ndarray(shape, dtype, data, order=order) if len(data) else np.empty(shape, dtype)
    )


ATOMS = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
}
ATOMS |= {
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}
FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": bool,
}
FRESH |= {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
GATHERED: dict[str, tuple[int | None, Callable[[list[Any]], Any]]] = {
    f"TUPLE{n}": (n, tuple) for n in (1, 2, 3)
}
GATHERED |= {
    "TUPLE": (None, tuple),
    "LIST": (None, list),
    "DICT": (None, pairs),
    "FROZENSET": (None, set_),
}
_TYPES = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Double": "float64",
    "Long": "int64",
    "Int": "int32",
}
_TYPES |= {"Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
_STORAGES: dict[str, torch.dtype] = {
    f"torch.{name}Storage": getattr(torch, dtype) for name, dtype in _TYPES.items()
}
NAMES = {"numpy.ndarray", *_STORAGES, *(f"torch.{dtype}" for dtype in _TYPES.values())}
_UNUSED = (
    *(f"pathlib.{name}" for name in ("PosixPath", "PurePosixPath", "WindowsPath")),
    "pathlib.PureWindowsPath",
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
)
"""Notes about a training run: paths and dates, which no network needs."""

MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "dnnlib.util.EasyDict": _mapping,
    "argparse.Namespace": lambda: Namespace(),
    "builtins.set": set_,
    "builtins.bytes": lambda: b"",  # as protocol 2 writes it
    "_codecs.encode": _encode,
    "torch._utils._rebuild_tensor": _stored,  # before torch 0.4
    "torch._utils._rebuild_tensor_v2": _stored,
    "torch._utils._rebuild_parameter": partial(expect_type, Stored),
    "torch.Size": partial(expect_type, tuple),
    "torch.device": partial(expect_type, str),
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: Array(),
    "numpy.core.multiarray.scalar": lambda dtype, data: _array(data, dtype, (), "C").value.item(),
    "numpy.core.numeric._frombuffer": _array,
    **{name: partial(_unused, name) for name in _UNUSED},
}
