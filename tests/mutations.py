"""Random damage to values and bytes, from a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    7,
    2**31,
    2**63,
    -(2**63),
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "x",
    "null",
    "9" * 60,
    "a" * 3000,
    "\x1b[31m\n\u202e",
    "../../etc/passwd",
    "/dev/zero",
    "~nobody/x",
    "a\0b",
    "${oc.env:HOME}",
    "${film.fps}",
    "b4.conv:0-9999999999",
    "*",
    "[",
    "1x1",
    "99x99",
    "ordering/random",
    "operator/zero",
    "generator/file",
    "os.system",
    "package.part",
    [],
    {},
    [[]],
    [1, 2],
    [None, {}],
    {"": None},
    {"a": {"b": [1]}},
    {"_target_": "operator/zero"},
    {"_target_": "schedule/schedule"},
    {"_target_": "os.system"},
    {"_target_": ["x"]},
    {"_target_": None, "x": 1},
)
"""Values that a stranger may put anywhere."""

Place = tuple[Any, Any]
"""A list or a dictionary, and the index or key of a value in it."""


class Mutations:
    """Random damage.

    Args:
        seed: decides about all of it.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def tree(self, tree: Any) -> Any:
        """Return a copy of plain values in which one to four values are others."""
        tree = copy.deepcopy(tree)
        for _ in range(self.random.choice((1, 1, 2, 4))):
            places = list(_places(tree))
            if not places:
                return self.value()
            node, key = self.random.choice(places)
            match self.random.randrange(6):
                case 0:
                    del node[key]
                case 1 if isinstance(node, dict):
                    node[str(self.value())[:30]] = node.pop(key)
                case 2:
                    other, name = self.random.choice(places)
                    node[key] = copy.deepcopy(_get(other, name))
                case 3 if isinstance(node, dict):
                    node[self.random.choice(("_target_", "name", "path", "layers", "0"))] = (
                        self.value()
                    )
                case _:
                    node[key] = self.value()
        return tree

    def value(self) -> Any:
        """Return a value of any kind."""
        return copy.deepcopy(self.random.choice(VALUES))

    def data(self, data: bytes) -> bytes:
        """Return bytes of which some are others, missing, or repeated."""
        changed = bytearray(data)
        for _ in range(self.random.choice((1, 1, 3, 9))):
            at = self.random.randrange(len(changed) + 1)
            size = self.random.choice((1, 1, 2, 8, 60))
            match self.random.randrange(5):
                case 0:
                    changed[at : at + 1] = bytes([self.random.randrange(256)])
                case 1:
                    del changed[at : at + size]
                case 2:
                    changed[at:at] = changed[at : at + size]
                case 3:
                    changed[at:at] = self.random.randbytes(size)
                case 4:
                    word = self.random.choice((b"inf", b"nan", b"-1", b"1e999", b",", b'"', b"\0"))
                    changed[at : at + len(word)] = word
        return bytes(changed[: self.random.randrange(len(changed) + 1)] if at == 0 else changed)

    def array(self, array: np.ndarray) -> np.ndarray:
        """Return an array of another shape, type or content."""
        match self.random.randrange(8):
            case 0:
                return array[: self.random.randrange(len(array) + 1)] if array.ndim else array
            case 1:
                return array[None]
            case 2:
                return np.array(self.random.choice((0, -1, 2**40, 0.5, np.inf, np.nan, "x", "")))
            case 3 if array.dtype.kind != "U":
                kind = self.random.choice(("<i1", "<u8", "<f2", "<f8", ">f4", "?"))
                with np.errstate(all="ignore"):
                    return array.astype(kind)
            case 4 if array.dtype.kind != "U":
                with np.errstate(all="ignore"):
                    return array * self.random.choice((-1, 0, 1000, np.nan, np.inf))
            case 5:
                return array.astype(str)
            case 6 if array.ndim:
                return np.repeat(array, self.random.choice((2, 3, 100)), 0)
            case _:
                return array[::-1] if array.ndim else array.reshape(1)


def _places(tree: Any) -> Iterator[Place]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield tree, key
            yield from _places(value)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield tree, index
            yield from _places(value)


def _get(node: Any, key: Any) -> Any:
    try:
        return node[key]
    except (KeyError, IndexError):
        return None
