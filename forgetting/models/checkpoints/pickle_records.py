"""Records of what a pickle holds: names and positions instead of objects and tensors."""

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
    """A name in the file, such as ``torch.float32``; never the object itself."""

    name: str


@dataclass(frozen=True, eq=False)
class Foreign:
    """What a call would return that is refused, or that no network needs; it cannot be used."""

    name: str


@dataclass(eq=False)
class Storage:
    """``numel`` numbers in a row, and the bytes of the file that hold them."""

    dtype: torch.dtype
    numel: int
    data: memoryview = _NOTHING


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that is still in the file; it has been checked that it fits into its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The type of its elements."""
        return self.storage.dtype

    @property
    def nbytes(self) -> int:
        """The number of bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """Return a contiguous copy of the tensor."""
        tensor, size = torch.empty(self.shape, dtype=self.dtype, device="cpu"), self.dtype.itemsize
        if self.nbytes:
            # Copied as integers of that width, because numpy has no bfloat16; it checks the
            # bounds too.
            steps, data = [n * size for n in self.stride], cast(Any, self.storage.data)
            source: Any = np.ndarray(self.shape, f"<i{size}", data, self.offset * size, steps)
            tensor.view(
                {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]
            ).numpy()[...] = source
        return tensor


@dataclass(frozen=True, eq=False)
class Persistent:
    """An object of NVIDIA's persistence layer: the name of its class and its ``__dict__``.

    Its source code is discarded.
    """

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
    """The values in a file, without cycles and shallow enough for recursion.

    The file stays mapped as long as any of them is in use.

    Args:
        path: of the file.
        root: the outermost value.
        refused: the names that the file asks for and no network needs, and why.
        sources: every class of persistent objects, and the length of its source code.
    """

    path: Path
    root: Any
    refused: Mapping[str, str]
    sources: tuple[tuple[str, int], ...]


def stored(value: Any, origin: str) -> dict[str, Stored]:
    """Return the tensors of a network or of a state dict by name, still in the file.

    The names are those of ``state_dict()``; buffers that are not persistent are included.

    Args:
        value: a ``Persistent``, or a dict of ``Stored``.
        origin: the file, for messages.

    Raises:
        CheckpointError: it is neither, or it has no tensors.
    """
    if isinstance(value, Persistent):
        weights = dict(_leaves(value, "", origin))
    elif isinstance(value, dict) and all(
        type(name) is str and isinstance(tensor, Stored) for name, tensor in value.items()
    ):
        weights = dict(value)
    else:
        names = (
            f"; it holds {', '.join(ascii(str(name)[:60]) for name in [*value][:12])}"
            if isinstance(value, dict)
            else ""
        )
        raise CheckpointError(
            f"{origin} is neither a network nor a state dict, which maps names to tensors{names}"
        )
    if not weights:
        raise CheckpointError(
            f"{origin} has no weights; take another part of the file, or another file"
        )
    return weights


def shapes(value: Any, origin: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shapes and types of what :func:`tensors` would read."""
    return {name: (tensor.shape, tensor.dtype) for name, tensor in stored(value, origin).items()}


def tensors(value: Any, origin: str) -> dict[str, Tensor]:
    """Return the state dict of a ``Persistent`` or of a dict of ``Stored``, all tensors copied.

    Raises:
        CheckpointError: it has no tensors, or they would take far more memory than the file.
    """
    weights = stored(value, origin)
    in_file = {id(tensor.storage): len(tensor.storage.data) for tensor in weights.values()}
    if sum(tensor.nbytes for tensor in weights.values()) > 2 * sum(in_file.values()):
        raise CheckpointError(
            f"{origin} repeats its weights until they take far more memory than the file; "
            "fetch it again"
        )
    return {name: tensor.read() for name, tensor in weights.items()}


def settings(value: Any, origin: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return class, arguments and keyword arguments of a ``Persistent``'s constructor.

    Raises:
        CheckpointError: the file does not hold them.
    """
    state = value.state if isinstance(value, Persistent) else {}
    arguments, keywords = state.get("_init_args"), state.get("_init_kwargs")
    if (
        not isinstance(arguments, (list, tuple))
        or not isinstance(keywords, dict)
        or not all(type(name) is str for name in keywords)
    ):
        raise CheckpointError(
            f"{origin} does not record how it was made; name a network of NVIDIA's, such as G_ema"
        )
    return value.class_name, tuple(plain(arguments)), plain(keywords)


def plain(value: Any) -> Any:
    """Return ``value`` with arrays and names instead of their records.

    Tensors and networks stay records.
    """
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(child) for child in value)
    if isinstance(value, Array):
        return value.value
    return value.name if isinstance(value, Global) else value


def _leaves(module: Persistent, prefix: str, origin: str) -> Iterator[tuple[str, Stored]]:
    for part in ("_parameters", "_buffers", "_modules"):
        values = module.state.get(part, {})
        for name, value in values.items() if isinstance(values, dict) else ((part, values),):
            if value is None:
                continue
            path = f"{prefix}{name}"
            if part == "_modules" and isinstance(value, Persistent) and len(path) < 1000:
                yield from _leaves(value, f"{path}.", origin)
            elif part != "_modules" and isinstance(value, Stored) and len(path) < 1000:
                yield path, value
            else:
                raise CheckpointError(
                    f"{origin}: {path[:120]!a} is neither a tensor nor a network; "
                    "fetch the file again"
                )
