"""A machine that runs pickles, which are programs, passively.

It calls only the small functions of :mod:`forgetting.models.checkpoints.pickle_values`, knows
only the names that are listed there, and takes no more memory than the file's size allows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from forgetting.models.checkpoints.pickle_names import (
    INSTRUCTIONS,
    Reader,
    full_name,
    harmful,
    instructions,
    refusal,
)
from forgetting.models.checkpoints.pickle_records import Foreign, Global, Persistent, Storage
from forgetting.models.checkpoints.pickle_values import (
    ATOMS,
    FRESH,
    GATHERED,
    MAKERS,
    NAMES,
    atom,
    build,
    expect_type,
    pairs,
    set_,
    storage,
)

_MEMORY = 64 << 20
"""Bytes that values may take besides 1.5 times the size of the file, which protocol 2 needs."""

OWN = ("torch_utils.persistence._reconstruct_persistent_obj", "torch.storage._load_from_bytes")
"""The calls that the machine itself answers."""

MAGIC = 0x1950A86A20F9469CFC6C
"""The number with which torch's legacy format begins."""


def is_known(name: str) -> bool:
    """Return whether networks need a name: it is not refused."""
    return name in MAKERS or name in NAMES or name in OWN


def is_harmful(name: str) -> bool:
    """Return whether a name is refused because calling it can do harm."""
    return not is_known(name) and harmful(name)


class Machine:
    """Runs the pickles of a file passively, within a single budget of instructions and memory.

    Args:
        size: of the file in bytes.
    """

    def __init__(self, size: int) -> None:
        self.opcodes, self.memory = INSTRUCTIONS, size * 3 // 2 + _MEMORY
        self.refused: dict[str, str] = {}
        self.sources: dict[tuple[str, int], None] = {}
        self.blobs: dict[int, tuple[Any, Storage]] = {}
        self.within_blob = False
        own = dict(zip(OWN, (self.persistent, self.blob), strict=True))
        self.makers: dict[str, Callable[..., Any]] = MAKERS | own

    def run(
        self, data: memoryview, start: int, resolve: Callable[[Any], Any] | None = None
    ) -> tuple[Any, int]:
        """Return the value of the pickle that begins at ``start``, and the position of its end.

        Args:
            data: the bytes.
            start: position of its first byte.
            resolve: returns the value of a persistent id.

        Raises:
            ValueError: the pickle is damaged or does what no checkpoint needs.
        """
        reader, stack, marks = Reader(data, start), list[Any](), list[int]()
        memo: dict[int, Any] = {}

        def push(value: Any) -> None:
            self.charge(value)
            stack.append(value)

        def take(count: int | None = None) -> list[Any]:
            """Remove the upper ``count`` values, or all above the last mark, and return them."""
            if count is None and not marks:
                raise ValueError("a mark is missing")
            lowest = marks.pop() if count is None else len(stack) - count
            if lowest < (marks[-1] if marks else 0):
                raise ValueError("it takes more from its stack than there is")
            values = stack[lowest:]
            del stack[lowest:]
            return values

        def top() -> Any:
            stack.extend(take(1))
            return stack[-1]

        def to_fill(type_: type) -> Any:
            """Return the container on top; for a refused object, a new one, which is discarded."""
            return type_() if isinstance(top(), Foreign) else expect_type(type_, top())

        for opcode, argument in instructions(reader):
            name = opcode.name
            self.opcodes -= 1
            if self.opcodes < 0:
                raise ValueError(f"it has more than {INSTRUCTIONS} instructions")
            match name:
                case "BINGET" | "LONG_BINGET" | "GET":
                    if argument not in memo:
                        raise ValueError("it reads what was never written")
                    stack.append(memo[argument])
                case "MEMOIZE" | "BINPUT" | "LONG_BINPUT" | "PUT":
                    index = len(memo) if name == "MEMOIZE" else argument
                    if not 0 <= index < INSTRUCTIONS:
                        raise ValueError("its memo is larger than its number of instructions")
                    memo[index] = top()
                    self.charge(None)
                case "MARK":
                    marks.append(len(stack))
                    self.charge(None)
                case _ if name in ATOMS:
                    push(atom(argument))
                case _ if name in FRESH:
                    push(FRESH[name]())
                case _ if name in GATHERED:
                    count, gather = GATHERED[name]
                    push(gather(take(count)))
                case "APPEND" | "APPENDS":
                    values = take(1 if name == "APPEND" else None)
                    to_fill(list).extend(values)
                case "SETITEM" | "SETITEMS":
                    items = pairs(take(2 if name == "SETITEM" else None))
                    to_fill(dict).update(items)
                case "ADDITEMS":
                    keys = set_(take())
                    to_fill(set).update(keys)
                case "GLOBAL":
                    push(self.named(*argument.split(" ", 1)))
                case "STACK_GLOBAL":
                    push(self.named(*take(2)))
                case "REDUCE" | "NEWOBJ":
                    push(self.make(*take(2)))
                case "BUILD":
                    (state,) = take(1)
                    build(top(), state)
                    self.charge(state)
                case "BINPERSID" if resolve:
                    push(resolve(*take(1)))
                case "STOP" if len(stack) == 1 and not marks:
                    return stack[0], reader.position
                case "PROTO" if argument <= 5:
                    pass
                case "FRAME":
                    pass
                case _:
                    raise ValueError(f"no checkpoint needs its instruction {name}")
        raise ValueError("its end is missing")

    def charge(self, value: Any) -> None:
        """Subtract the size of a value, and of its entry in the memo, from the budget."""
        self.memory -= sys.getsizeof(value) + 64
        if self.memory < 0:
            raise ValueError("it would take far more memory than its size")

    def named(self, module: Any, name: Any) -> Global:
        """Return the record of a name, and note why it is refused if no network needs it."""
        full = full_name(module, name)
        self.charge(full)
        if not is_known(full):
            self.refused[full] = refusal(full)
        return Global(full)

    def make(self, function: Any, arguments: Any) -> Any:
        """Return the record of what a call would return."""
        if isinstance(function, Global) and function.name in self.refused:
            return Foreign(function.name)
        if type(arguments) is tuple and any(isinstance(value, Foreign) for value in arguments):
            return next(value for value in arguments if isinstance(value, Foreign))
        maker = self.makers.get(function.name) if isinstance(function, Global) else None
        if maker is None or type(arguments) is not tuple or len(arguments) > 9:
            raise ValueError("it calls a value that is no known function")
        try:
            return maker(*arguments)
        except TypeError:
            raise ValueError(f"{function.name} is called with arguments that do not fit") from None

    def persistent(self, meta: Any) -> Persistent:
        """Return the record of an object of NVIDIA's persistence layer."""
        match meta:
            case {
                "type": "class",
                "class_name": str(name),
                "module_src": str(source),
                "state": dict() | None as state,
            }:
                self.sources[name, len(source)] = None
                return Persistent(name, {} if state is None else state)
        raise ValueError("a persistent object lacks its class, source or state")

    def blob(self, data: Any) -> Storage:
        """Return a storage within a pickle, which is a file in torch's legacy format."""
        if self.within_blob:
            raise ValueError("a storage holds a storage")  # nesting would have no limit
        if id(data) not in self.blobs:
            self.within_blob = True
            self.blobs[id(data)] = data, expect_type(Storage, self.legacy(memoryview(data)))
            self.within_blob = False
        return self.blobs[id(data)][1]

    def whole(self, data: memoryview, resolve: Callable[[Any], Any] | None = None) -> Any:
        """Return the value of a pickle that ends with the data.

        Raises:
            ValueError: the pickle is damaged, or something follows it.
        """
        value, end = self.run(data, 0, resolve)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes follow its end")
        return value

    def legacy(self, data: memoryview) -> Any:
        """Return the value in a file of torch's legacy format.

        It is five pickles (magic number, version, system, value, keys of the storages), and then
        the length and the bytes of each storage.

        Raises:
            ValueError: the file is damaged.
        """
        storages: dict[str, Storage] = {}
        values, position = list[Any](), 0
        for _ in range(5):
            value, position = self.run(data, position, partial(storage, storages))
            values.append(value)
        magic, version, _, root, keys = values
        if (
            magic != MAGIC
            or version != 1001
            or type(keys) is not list
            or not all(type(key) is str for key in keys)
        ):
            raise ValueError("it is not in torch's legacy format")
        if sorted(keys) != sorted(storages):
            raise ValueError("its storages are not those that its tensors need")
        for key in keys:
            count = int.from_bytes(data[position : position + 8], "little")
            read, position = storages[key], position + 8
            read.data = data[position : position + read.numel * read.dtype.itemsize]
            position += len(read.data)
            if count != read.numel or len(read.data) != count * read.dtype.itemsize:
                raise ValueError(f"storage {key[:60]!a} does not have the length that it names")
        if position != len(data):
            raise ValueError(f"{len(data) - position} bytes follow its end")
        return root
