"""The names that pickles ask for: which of them are refused and why, and a list of all.

The list is read off the instructions of a pickle, also where the machine of
:mod:`forgetting.models.checkpoints.pickle_machine` stops. Nothing is run.
"""

from __future__ import annotations

import pickletools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

INSTRUCTIONS = 1_000_000
"""The largest number of instructions in a file; StyleGAN's have a tenth of it."""

COMPUTED = "(a name that is computed when the file is opened)"
"""Stands for a name that is not in the file."""

_LINE, _SMALL = 4096, 4096
"""The longest line, and the longest bytes that are copied."""

_NESTED = 20
"""How deep pickles within pickles are listed."""

_HARMFUL = re.compile(
    r"(os|posix|nt|sys|subprocess|commands|builtins|importlib|runpy|shutil|socket|pty|ctypes"
    r"|pickle|_pickle|marshal|code|codeop|pdb|bdb|timeit|webbrowser|multiprocessing|asyncio"
    r"|threading|_thread|signal|tempfile|urllib|http|pip|torch\.hub|torch\.load"
    r"|torch\.serialization\.load)\b"
)

_OTHER_KINDS = {
    r"torch\.Q\w+Storage|torch\._utils\._rebuild_qtensor|torch\.(qint|quint)\w+|torch\.per_\w+": (
        "is of quantised tensors, which are not read here; "
        "save the network as it was before it was quantised"
    ),
    r"torch\.(storage\.)?_?(Untyped|Typed)Storage|torch\._utils\._rebuild_tensor_v3": (
        "is of tensors without a type of storage, such as floats of 8 bits; "
        "convert them to float32 with torch and save them again"
    ),
    r"torch\.Complex\w+Storage|torch\.complex\w+": (
        "is of complex numbers, which are not read here; take a network of real numbers"
    ),
    r"torch\._utils\._rebuild_\w+|torch\.serialization\._get_layout|torch\._tensor\.\w+": (
        "is of a kind of tensor that is not read here, such as sparse ones; "
        "convert them to dense float32 with torch and save them again"
    ),
    r"torch\.(nn|ao|jit|fx)\..*": (
        "is a module that was saved whole, with the names of its code; "
        "save its state_dict(), or use generator=module with the code that makes it"
    ),
    r"(dnnlib\.tflib|tfutil)\..*": (
        "is a TensorFlow network; convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch"
    ),
}
"""Names -> why they are refused."""


def harmful(name: str) -> bool:
    """Return whether a name belongs to a module whose functions can do harm when called."""
    return bool(_HARMFUL.match(name))


def refusal(name: str) -> str:
    """Return why a name is refused that no network needs, as the end of a sentence."""
    for pattern, why in _OTHER_KINDS.items():
        if re.fullmatch(pattern, name):
            return why
    if harmful(name):
        return (
            "no checkpoint needs and which can do harm; "
            "nothing was run, and no other program should open this file either"
        )
    return (
        "is of no kind that is read here; "
        "if it is a network of your own, load it yourself and use generator=module"
    )


def full_name(module: Any, name: Any) -> str:
    """Return a name as today's Python and numpy have it; empty if it is no pair of texts."""
    full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
    full = full.replace("numpy._core.", "numpy.core.", 1)
    return full.replace("__builtin__.", "builtins.", 1)


class Reader:
    """The file that ``pickletools`` reads. Long bytes are returned as views and never copied."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data, self.position = data, position

    def read(self, size: int) -> bytes | memoryview:
        """Return so many bytes."""
        part = self.data[self.position : self.position + size]
        self.position += len(part)
        return part if size > _SMALL else bytes(part)

    def readline(self) -> bytes | memoryview:
        """Return the bytes up to the end of the line."""
        line = bytes(self.data[self.position : self.position + _LINE])
        return self.read(line.find(b"\n") + 1)

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self.position


def instructions(reader: Reader) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Yield the instructions of a pickle and their arguments.

    Raises:
        ValueError: the pickle is damaged.
    """
    try:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], reader)):
            yield opcode, argument
    except (AttributeError, Warning):  # pickletools cannot decode views, and escapes may be odd
        raise ValueError("it holds strings of Python 2 that cannot be read") from None


@dataclass
class NameList:
    """The names that the pickles of a file ask for.

    Args:
        counts: how often it asks for each.
        complete: whether every instruction was read.
    """

    counts: Counter[str] = field(default_factory=Counter)
    complete: bool = True
    _left: int = INSTRUCTIONS

    def read(self, data: memoryview, pickles: int = 1, depth: int = 0) -> bool:
        """Add the names of pickles that follow each other.

        Args:
            data: begins with the first.
            pickles: how many there may be.
            depth: of pickles around these.

        Returns:
            Whether all of the instructions were read.
        """
        position = 0
        for _ in range(pickles):
            reader = Reader(data, position)
            try:
                self._read_one(reader, depth)
            except (ValueError, OverflowError):
                return False
            position = reader.position
            if bytes(data[position : position + 1]) != b"\x80":
                break
        return True

    def _read_one(self, reader: Reader, depth: int) -> None:
        """Follow texts from where they are written to where they are used as names.

        All other values are None, and a mark is a value of its own.
        """
        stack, memo, mark = list[Any](), dict[int, str](), object()
        written = bytearray(INSTRUCTIONS)  # which entries of the memo there are; it holds texts

        count = 0

        def pop() -> Any:
            return stack.pop() if stack else None

        for opcode, argument in instructions(reader):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it has too many instructions")
            match opcode.name:
                case "GLOBAL" | "INST":
                    self._add(*argument.split(" ", 1))
                case "STACK_GLOBAL":
                    name, module = pop(), pop()
                    self._add(module, name)
                    stack += [None, None]  # which are removed below
                case "EXT1" | "EXT2" | "EXT4":
                    self.counts[f"(the name with number {argument} of copyreg's registry)"] += 1
                case "GET" | "BINGET" | "LONG_BINGET":
                    stack.append(memo.get(argument))
                    continue
                case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                    index = count if opcode.name == "MEMOIZE" else argument
                    if 0 <= index < INSTRUCTIONS:
                        count, written[index] = count + 1 - written[index], 1
                    memo.pop(index, None)
                    if stack and isinstance(stack[-1], str):
                        memo[index] = stack[-1]
                    continue
                case "DUP":
                    stack.append(stack[-1] if stack else None)
                    continue
                case "MARK":
                    stack.append(mark)
                    continue
            before, after = opcode.stack_before, opcode.stack_after
            if pickletools.markobject in before:
                while stack and pop() is not mark:
                    pass
                before = before[: before.index(pickletools.markobject)]
            del stack[max(len(stack) - len(before), 0) :]
            self._look_into(argument, depth)
            is_text = after in ([pickletools.pyunicode], [pickletools.pybytes_or_str])
            is_text = is_text and len(argument) <= _SMALL  # longer ones are no names
            stack += [argument] if is_text else [None] * len(after)

    def _add(self, module: Any, name: Any) -> None:
        self.counts[full_name(module, name) or COMPUTED] += 1

    def _look_into(self, value: Any, depth: int) -> None:
        """Add the names of pickles within a pickle, which are bytes or, in Python 2, a text."""
        if isinstance(value, str) and value[:1] in ("\x80", "c", "("):
            if not all(char < "\u0100" for char in value):
                return
            value = value.encode("latin-1")
        if not isinstance(value, (bytes, bytearray, memoryview)) or len(value) < 3:
            return
        if bytes(value[:1]) not in (b"\x80", b"c", b"("):
            return
        if depth >= _NESTED:
            self.complete = False
            return
        inner = NameList(_left=self._left)
        whole = inner.read(memoryview(value), pickles=5, depth=depth + 1)
        self._left = inner._left
        # Other bytes and texts may begin as a pickle does.
        likely = bytes(value[:1]) == b"\x80" and (whole or inner.counts)
        if likely or any(map(harmful, inner.counts)):
            self.counts += inner.counts
