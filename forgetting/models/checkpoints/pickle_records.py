"""What a pickle says, as records: a name instead of the thing, a place in the file instead of a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import CheckpointError

_NOTHING = memoryview(b"")


@dataclass(frozen=True)
class Global:
    """A name that the file mentions, such as ``torch.float32``; never the thing itself."""

    name: str


@dataclass(frozen=True, eq=False)
class Foreign:
    """What something would have made that is refused; nothing can be done with it."""

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
            tensor.view(
                {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]
            ).numpy()[...] = source
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
    refused: Mapping[str, str]  # the names among them that are not on the list, and why
    sources: tuple[
        tuple[str, int], ...
    ]  # every class of persistent objects, and the length of the source code it brings


def stored(value: Any, where: str) -> dict[str, Stored]:
    """The tensors of a state dict, or of a ``Persistent`` named as its ``state_dict()`` would, non-persistent buffers too."""
    if isinstance(value, Persistent):
        found = dict(_leaves(value, "", where))
    elif isinstance(value, dict) and all(
        type(name) is str and isinstance(one, Stored) for name, one in value.items()
    ):
        found = dict(value)
    else:
        names = (
            f"; it holds {', '.join(ascii(str(name)[:60]) for name in [*value][:12])}"
            if isinstance(value, dict)
            else ""
        )
        raise CheckpointError(
            f"{where} is neither a network nor a state dict, which maps names to tensors{names}"
        )
    if not found:
        raise CheckpointError(
            f"{where} has no weights; take another part of the file, or another file"
        )
    return found


def shapes(value: Any, where: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of what ``tensors`` would read."""
    return {name: (one.shape, one.dtype) for name, one in stored(value, where).items()}


def tensors(value: Any, where: str) -> dict[str, Tensor]:
    """The state dict of a ``Persistent`` or of a dict of ``Stored``, every tensor in memory of its own."""
    found = stored(value, where)
    held = {id(one.storage): len(one.storage.data) for one in found.values()}
    if sum(one.nbytes for one in found.values()) > 2 * sum(held.values()):
        raise CheckpointError(
            f"{where} repeats its weights until they take far more memory than the file; fetch it again"
        )
    return {name: one.read() for name, one in found.items()}


def settings(value: Any, where: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Class, arguments and keyword arguments with which a ``Persistent`` was made, as plain values."""
    state = value.state if isinstance(value, Persistent) else {}
    arguments, keywords = state.get("_init_args"), state.get("_init_kwargs")
    if (
        not isinstance(arguments, (list, tuple))
        or not isinstance(keywords, dict)
        or not all(type(name) is str for name in keywords)
    ):
        raise CheckpointError(
            f"{where} does not say how it was made; name a network of NVIDIA's, such as G_ema"
        )
    return value.class_name, tuple(plain(arguments)), plain(keywords)


def plain(value: Any) -> Any:
    """``value`` with arrays and names instead of their records; tensors and networks stay as they are."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(one) for one in value)
    return (
        value.value
        if isinstance(value, Array)
        else value.name
        if isinstance(value, Global)
        else value
    )


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
                raise CheckpointError(
                    f"{where}: {path[:120]!a} is neither a tensor nor a network; fetch the file again"
                )
