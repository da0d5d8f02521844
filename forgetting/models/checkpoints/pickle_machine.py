"""A pickle is a program; this machine runs it passively. It calls nothing but the small functions of ``values``, knows
only the names that are listed there, and takes no more memory than the file's size allows."""

from __future__ import annotations

import pickletools
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, cast

from forgetting.models.checkpoints.pickle_records import Foreign, Global, Persistent, Storage
from forgetting.models.checkpoints.pickle_values import (
    ATOMS,
    FRESH,
    GATHERED,
    MAKERS,
    NAMES,
    atom,
    build,
    given,
    pairs,
    set_,
    storage,
)

_OPCODES = 1_000_000  # instructions in a file; StyleGAN's have a tenth
_ROOM = (
    64 << 20
)  # bytes that values may take beyond one and a half times the size of the file, as much as protocol 2 needs
_LINE, _SMALL = 4096, 4096  # longest line, longest bytes that are copied
MAGIC = 0x1950A86A20F9469CFC6C
"""With which torch's legacy format begins."""

_HARM = re.compile(
    r"(os|posix|nt|sys|subprocess|commands|builtins|importlib|runpy|shutil|socket|pty|ctypes)\."
)


def harmful(name: str) -> bool:
    """Whether a name is of a module whose functions can do harm when they are called."""
    return bool(_HARM.match(name))


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
    except (
        AttributeError,
        Warning,
    ):  # raised within pickletools: views cannot be decoded, escapes may be odd
        raise ValueError("it holds strings of Python 2 that cannot be read") from None


class Machine:
    """Runs pickles passively, within one budget of instructions and memory for a file and all that is inside it."""

    def __init__(self, size: int) -> None:
        self.opcodes, self.room = _OPCODES, size * 3 // 2 + _ROOM
        self.globals: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        self.sources: dict[tuple[str, int], None] = {}
        self.blobs: dict[int, tuple[Any, Storage]] = {}
        self.within_blob = False
        own = {
            "torch_utils.persistence._reconstruct_persistent_obj": self.persistent,
            "torch.storage._load_from_bytes": self.blob,
        }
        self.makers: dict[str, Callable[..., Any]] = MAKERS | own

    def run(
        self, data: memoryview, at: int, resolve: Callable[[Any], Any] | None = None
    ) -> tuple[Any, int]:
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

        def into(type_: type) -> Any:
            """What is filled; for something that was never made, what is thrown away."""
            return type_() if isinstance(top(), Foreign) else given(type_, top())

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
                case _ if name in ATOMS:
                    push(atom(argument))
                case _ if name in FRESH:
                    push(FRESH[name]())
                case _ if name in GATHERED:
                    count, gather = GATHERED[name]
                    push(gather(take(count)))
                case "APPEND" | "APPENDS":
                    values = take(1 if name == "APPEND" else None)
                    into(list).extend(values)
                case "SETITEM" | "SETITEMS":
                    items = pairs(take(2 if name == "SETITEM" else None))
                    into(dict).update(items)
                case "ADDITEMS":
                    keys = set_(take())
                    into(set).update(keys)
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
        """The record of a name, and why it is refused if it is none that networks need."""
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        full = full.replace("numpy._core.", "numpy.core.", 1).replace(
            "__builtin__.", "builtins.", 1
        )
        self.charge(full)
        self.globals[full] += 1
        if full not in self.makers and full not in NAMES:
            if full.startswith(("dnnlib.tflib.", "tfutil.")):
                why = "is a TensorFlow network; convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch"
            elif harmful(full):
                why = "no checkpoint needs and which can do harm; nothing was run, and nothing else should open this file either"
            else:
                why = "is of no kind that is read here; if it is a network of your own, load it yourself and say generator=module"
            self.refused[full] = why
        return Global(full)

    def make(self, function: Any, arguments: Any) -> Any:
        """What a call would give, as a record of ours."""
        if isinstance(function, Global) and function.name in self.refused:
            return Foreign(function.name)
        maker = self.makers.get(function.name) if isinstance(function, Global) else None
        if maker is None or type(arguments) is not tuple or len(arguments) > 9:
            raise ValueError("it calls what cannot be called")
        try:
            return maker(*arguments)
        except TypeError:
            raise ValueError(f"{function.name} is called with arguments that do not fit") from None

    def persistent(self, meta: Any) -> Persistent:
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
        """A storage within a pickle: a file in torch's legacy format of its own."""
        if self.within_blob:
            raise ValueError("a storage holds a storage")  # which could hold a storage
        if id(data) not in self.blobs:
            self.within_blob = True
            self.blobs[id(data)] = data, given(Storage, self.legacy(memoryview(data)))
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
            part, at = self.run(data, at, partial(storage, storages))
            parts.append(part)
        magic, version, _, root, keys = parts
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
            count, one = int.from_bytes(data[at : at + 8], "little"), storages[key]
            one.data = data[at + 8 : at + 8 + one.numel * one.dtype.itemsize]
            at += 8 + len(one.data)
            if count != one.numel or len(one.data) != count * one.dtype.itemsize:
                raise ValueError(f"storage {key[:60]!a} is not as long as it should be")
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes follow its end")
        return root
