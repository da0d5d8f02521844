"""Pickles of strangers that ask for what does harm, and hide it."""

import collections
import functools
import os
import pickle

from pickle_files import Calls, named, opcodes, torch_bytes

SYSTEM = f"{os.name}.system"
EVIL = Calls(os.system, "touch MARKER")
PARTIAL = functools.partial(os.system, "touch MARKER")
MODULE = pickle.SHORT_BINUNICODE + bytes([len(os.name)]) + os.name.encode()
TEXTS = MODULE + b"\x8c\x06system"
"""Instructions that put the texts of the name on the stack."""


class Buried:
    """A call in the state of an object."""

    def __reduce__(self):
        return collections.Counter, (), {"a": [PARTIAL]}


def within(value, layers):
    """Return calls of pickle.loads around a pickle of a value."""
    for _ in range(layers):
        value = Calls(pickle.loads, pickle.dumps(value))
    return value


HOSTILE_PICKLES = {
    **{f"a partial, protocol {k}": pickle.dumps({"a": PARTIAL}, k) for k in range(6)},
    **{f"a call, protocol {k}": pickle.dumps([EVIL], k) for k in range(6)},
    "a state": pickle.dumps(Buried()),
    "a nested pickle": pickle.dumps(within(PARTIAL, 3)),
    "a nested pickle as text": pickle.dumps(within(PARTIAL, 1), 2),
    "a nested pickle of protocol 0": pickle.dumps(Calls(pickle.loads, pickle.dumps(EVIL, 0))),
    "names from the memo": opcodes(b"\x8c\x06system\x94", MODULE, b"h\0\x93"),
    "doubled names": opcodes(MODULE, b"2\x8c\x06system\x93"),
    "removed values between": opcodes(MODULE, b"(N1N0\x8c\x06system\x93"),
    "names in a tuple that is removed": opcodes(b"(" + named(SYSTEM) + b"N1N"),
    "an instance": opcodes(b"(\x8c\x01xi" + f"{os.name}\nsystem\n".encode()),
    "an object": opcodes(b"(" + named(SYSTEM) + b"\x8c\x01xo"),
    "keywords": opcodes(named(SYSTEM), b")}\x92"),
    "a persistent id": opcodes(named(SYSTEM), b"Q"),
    "behind an extension": opcodes(b"\x82\x01", TEXTS, b"\x93"),
    "behind a call of a number": opcodes(b"K\x01)R0", TEXTS, b"\x93"),
    "behind an unknown function": opcodes(named("a.b"), b")R)R0", TEXTS, b"\x93"),
    "behind its end": opcodes(b"N") + opcodes(TEXTS, b"\x93"),
    "a key": opcodes(b"}(", TEXTS, b"\x93K\x01u"),
    "of Python 2": opcodes(b"c__builtin__\neval\n0", TEXTS, b"\x93"),
    "torch's own format": torch_bytes({"a": PARTIAL}, zipped=False),
    "torch's archive": torch_bytes({"a": PARTIAL}),
}
"""How a file hides that it asks for os.system."""
