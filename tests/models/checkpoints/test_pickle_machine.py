import os
import pickle
import re
import struct
import subprocess
import sys

import pytest
import torch

from nvidia_pickles import fake_modules
from pickle_files import (
    SIX,
    Calls,
    call,
    dumped,
    named,
    opcodes,
    refused,
    tensor,
    torch_bytes,
    within_blob,
    zip_bytes,
)


def test_calls(tmp_path):
    canary = tmp_path / "canary"
    touch = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    evil = {
        "system": Calls(os.system, touch),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "popen": Calls(subprocess.Popen, ["touch", str(canary)]),
        "load": Calls(torch.load, str(canary)),
        "deep": {"a": [({"b": Calls(os.system, touch)},)]},
    }
    for name, value in evil.items():
        for protocol in range(6):
            content = pickle.dumps(value, protocol)
            message = refused(tmp_path / f"{name}.pkl", content, "asks for")
            assert "which no checkpoint needs" in message or name == "load", message
            refused(tmp_path / "blob.pkl", within_blob(content), "asks for")
            refused(tmp_path / "zip.pt", zip_bytes(content), "asks for")
        for zipped in (True, False):
            refused(tmp_path / f"{name}.pt", torch_bytes(value, zipped), "asks for")
        refused(tmp_path / "blob.pkl", within_blob(torch_bytes(value, zipped=False)), "asks for")
        with fake_modules() as easy:
            content = pickle.dumps({"G": easy(a=value)}, 4)
        refused(tmp_path / "easy.pkl", content, "asks for")
    assert not canary.exists()
    assert f"asks for {os.name}.system, which no checkpoint needs" in refused(
        tmp_path / "system.pkl"
    )
    assert "TensorFlow" in refused(
        tmp_path / "tf.pkl", b"\x80\x03cdnnlib.tflib.network\nNetwork\n."
    )
    refused(
        tmp_path / "long.pkl",
        b"\x80\x04\x8d" + struct.pack("<Q", 9000) + b"o" * 9000 + b"\x8c\x01s\x93.",
        "asks for oooo",
    )
    refused(tmp_path / "line.pkl", b"\x80\x02X\x05\0\0\0a\nb\ncX\x01\0\0\0d\x93.")


def array(shape, data=bytes(16), dtype="f8"):
    make = call("numpy.core.multiarray._reconstruct", None, (0,), b"b")
    return opcodes(
        make, b"(K\1", dumped(shape), call("numpy.dtype", dtype), b"\x89", dumped(data), b"tb"
    )


def doubled(times=60):
    """Return a tuple of two equal tuples of two equal tuples; to visit all of it takes for ever."""
    return b")" + b"q\x77h\x77\x86" * times


MANY = 200_000


DEEPER = b"".join(
    b"]r%ba" % index + b"j" + index for index in (struct.pack("<I", n) for n in range(1, MANY // 2))
)


PERSISTENT = named("torch_utils.persistence._reconstruct_persistent_obj")


META = (
    b"("
    + dumped("type")
    + dumped("class")
    + dumped("class_name")
    + dumped("G")
    + dumped("module_src")
    + dumped("")
    + dumped("state")
)


LATIN = named("_codecs.encode") + b"h\1" + dumped("latin1") + b"\x86R"


# One such character makes Python store four bytes for every other one.
FACES = b"a" * 39_996 + "\U0001f600".encode()


# Why they are refused: pickles that would hang, crash, fill the memory, or make nonsense.
HOSTILE = {
    "memo index": (
        "its memo is larger than its number of instructions",
        opcodes(b"Nr" + struct.pack("<I", 2**31)),
    ),
    "memo in words": (
        "its memo is larger than its number of instructions",
        b"Np" + b"9" * 4000 + b"\n.",
    ),
    "memo negative": ("its memo is larger than its number of instructions", b"Np-1\n."),
    "memo never written": ("never written", opcodes(b"j" + struct.pack("<I", 2**31))),
    "bytes of petabytes": ("only 1 remain", opcodes(b"\x8e" + struct.pack("<Q", 2**52))),
    "bytes beyond all": ("> sys.maxsize", opcodes(b"\x8e" + struct.pack("<Q", 2**64 - 1))),
    "bytearray of petabytes": ("only 1 remain", opcodes(b"\x96" + struct.pack("<Q", 2**52))),
    "bytes of gigabytes": ("only 1 remain", opcodes(b"B" + struct.pack("<I", 2**32 - 1))),
    "text of gigabytes": ("only 1 remain", opcodes(b"X" + struct.pack("<I", 2**32 - 1))),
    "string of minus one": ("byte count < 0", opcodes(b"T" + struct.pack("<i", -1))),
    "string of Python 2": ("Python 2", opcodes(b"T" + struct.pack("<i", 9000) + b"x" * 9000)),
    "odd escapes": ("Python 2", b"S'\\q'\n."),
    "long of gigabytes": ("not enough data", opcodes(b"\x8b" + struct.pack("<i", 2**31 - 1))),
    "long negative": ("byte count < 0", opcodes(b"\x8b" + struct.pack("<i", -5))),
    "long": ("far too long", opcodes(b"\x8b" + struct.pack("<i", 2**20) + b"\x7f" * 2**20)),
    "long in words": ("no newline", b"L" + b"9" * 10**6 + b"L\n."),
    "int in words": ("far too long", b"I" + b"9" * 4000 + b"\n."),
    "line": ("no newline", b"V" + b"a" * 10**6 + b"\n."),
    "tuples": ("nested", opcodes(b")" + b"\x85" * MANY)),
    "lists": ("nested", opcodes(b"]" * MANY + b"a" * (MANY - 1))),
    "lists from the top": ("nested", opcodes(b"(]r\0\0\0\0" + DEEPER + b"t")),
    "dicts": ("nested", opcodes(b"}N" * MANY + b"}" + b"s" * MANY)),
    "marks and tuples": ("nested", opcodes(b"(" * MANY + b"t" * MANY)),
    "networks": (
        "nested",
        opcodes((PERSISTENT + b"}" + META + b"}N") * 500 + b"N" + b"su\x85R" * 500),
    ),
    "a million tuples": ("more memory", opcodes(b")" + b"\x85" * 10**6)),
    "marks": ("more memory", opcodes(b"(" * 10**6)),
    "dicts in a list": ("more memory", opcodes(b"](" + b"}" * 10**6 + b"e")),
    "sets in a list": ("more memory", opcodes(b"](" + b"\x8f" * 10**6 + b"e")),
    "memoize": ("more memory", opcodes(b"N" + b"\x94" * 2 * 10**6)),
    "encode again and again": (
        "more memory",
        opcodes(b"(" + dumped("x" * 10**6), b"q\1" + LATIN * 5000, b"t"),
    ),
    "sets again and again": (
        "more memory",
        opcodes(
            b"((" + b"".join(map(dumped, range(9999))) + b"lq\1",
            (b"cbuiltins\nset\nh\1\x85R") * 999,
            b"t",
        ),
    ),
    "faces": (
        "more memory",
        opcodes(b"(", *[b"X" + struct.pack("<I", 40_000) + FACES] * 2000, b"t"),
    ),
    "reads": (
        "more than 1000000 instructions",
        opcodes(b"Nq\1(" + b"h\1" * (2 * 10**6) + b"t\x86"),
    ),
    "blobs": ("more memory|instructions", opcodes(b"(", SIX * 20_000, b"t")),
    "shared tuples": ("repeated", opcodes(doubled())),
    "shared tuples as a key": ("tuple cannot be a key", opcodes(b"}", doubled(), b"Ns")),
    "shared tuples in a set": ("tuple cannot be a key", opcodes(b"\x8f(", doubled(), b"\x90")),
    "shared tuples in a frozen set": ("tuple cannot be a key", opcodes(b"(", doubled(), b"\x91")),
    "shared tuples as a type": (
        "arrays whose elements are no numbers",
        opcodes(named("numpy.dtype"), doubled(), b"\x85R"),
    ),
    "shared tuples as a codec": (
        "unknown encoding",
        opcodes(named("_codecs.encode"), doubled(), b"h\x77\x86R"),
    ),
    "colliding keys": (
        "int cannot be a key",
        opcodes(b"}(" + b"".join(dumped(k * (2**61 - 1)) + b"N" for k in range(1, 9)) + b"u"),
    ),
    "list in itself": ("contains itself", opcodes(b"]q\1h\1a")),
    "dict in itself": ("contains itself", opcodes(b"}q\1Nh\1s")),
    "dict in itself, deeper": ("contains itself", opcodes(b"}q\1N](h\1es")),
    "network in itself": (
        "contains itself",
        opcodes(b"}q\1N" + PERSISTENT + b"}" + META + b"h\1u\x85Rs"),
    ),
    "many arguments": (
        "calls a value that is no known function",
        opcodes(b"((" + b"N" * MANY + b"tq\1", (b"cnumpy\nndarray\nh\1R") * 9, b"t"),
    ),
    "many strides": (
        "no strides",
        opcodes(
            b"((" + b"K\1" * MANY + b"tq\1",
            tensor(shape=(1,)).replace(dumped((3, 1)), b"h\1"),
            b"t",
        ),
    ),
    "underflow": ("stack", opcodes(b"\x86")),
    "underflow in a mark": ("stack", opcodes(b"NN(\x86t")),
    "memo of nothing": ("stack", opcodes(b"\x94")),
    "no mark": ("mark is missing", opcodes(b"Nt")),
    "odd items": ("shorter than", opcodes(b"}(Nu")),
    "nothing": ("no checkpoint needs its instruction STOP", opcodes()),
    "two values": ("no checkpoint needs its instruction STOP", opcodes(b"NN")),
    "open mark": ("no checkpoint needs its instruction STOP", opcodes(b"N(")),
    "no end": ("exhausted before seeing STOP", b"\x80\x04N"),
    "something behind": ("1 bytes follow", opcodes(b"N") + b"N"),
    "protocol": ("no checkpoint needs its instruction PROTO", b"\x80\x09N."),
    "extension": ("no checkpoint needs its instruction EXT1", opcodes(b"\x82\x01")),
    "inst": (
        "asks for os.system, which no checkpoint needs and which can do harm",
        b"\x80\x02(ios\nsystem\n.",
    ),
    "obj": (
        "no checkpoint needs its instruction OBJ",
        opcodes(b"(" + named("collections.OrderedDict") + b"o"),
    ),
    "newobj_ex": (
        "no checkpoint needs its instruction NEWOBJ_EX",
        opcodes(named("collections.OrderedDict"), b")}\x92"),
    ),
    "buffer": ("no checkpoint needs its instruction NEXT_BUFFER", b"\x80\x05\x97."),
    "unknown": ("unknown", opcodes(b"\xf0")),
    "append to a dict": ("a dict where a list", opcodes(b"}Na")),
    "item into a list": ("a list where a dict", opcodes(b"]NNs")),
    "item into a namespace": (
        "a Namespace where a dict",
        opcodes(call("argparse.Namespace"), b"NNs"),
    ),
    "call of a list": ("calls a value that is no known function", opcodes(b"])R")),
    "call of a result": (
        "calls a value that is no known function",
        opcodes(call("collections.OrderedDict"), b")R"),
    ),
    "call of a type": (
        "calls a value that is no known function",
        opcodes(named("torch.FloatStorage"), b")R"),
    ),
    "call without a tuple": (
        "calls a value that is no known function",
        opcodes(named("collections.OrderedDict"), b"]R"),
    ),
    "nameless": ("is of no kind", opcodes(b"NN\x93")),
    "ordered dict of a number": ("do not fit", opcodes(call("collections.OrderedDict", 5))),
    "ordered dict of two": ("do not fit", opcodes(call("collections.OrderedDict", [], []))),
    "ordered dict of tuples": (
        "tuple cannot be a key",
        opcodes(call("collections.OrderedDict", [((1,), 2)])),
    ),
    "ordered dict with a class": (
        "cannot have",
        opcodes(call("collections.OrderedDict", state={"__class__": 1})),
    ),
    "easy dict with a class": (
        "cannot have",
        opcodes(named("dnnlib.util.EasyDict"), b")\x81", dumped({"__class__": 1}), b"b"),
    ),
    "easy dict with tuples": (
        "tuple cannot be a key",
        opcodes(named("dnnlib.util.EasyDict"), dumped(([((1,), 2)],)), b"\x81"),
    ),
    "slots": ("cannot have", opcodes(call("argparse.Namespace", state=(None, {"a": 1})))),
    "namespace of keywords": ("do not fit", opcodes(call("argparse.Namespace", {"a": 1}))),
    "state of a list": ("cannot have", opcodes(b"]}b")),
    "set of bytes": ("bytes where a list", opcodes(call("builtins.set", b"abc"))),
    "set of lists": ("list cannot be a key", opcodes(call("builtins.set", [[]]))),
    "encode": ("unknown encoding", opcodes(call("_codecs.encode", "a", "rot13"))),
    "encode a number": ("int where a str", opcodes(call("_codecs.encode", 1, "latin1"))),
    "encode what is not latin": (
        "codec can't encode",
        opcodes(call("_codecs.encode", "\u1234", "latin1")),
    ),
    "half a surrogate": ("surrogates", opcodes(b"X\3\0\0\0\xed\xa0\x80")),
    "not utf-8": ("codec can't decode", opcodes(b"X\1\0\0\0\xff")),
    "size": ("bytes where a tuple", opcodes(call("torch.Size", b"abc"))),
    "device": ("int where a str", opcodes(call("torch.device", 1))),
    "dtype of objects": (
        "arrays whose elements are no numbers",
        opcodes(call("numpy.dtype", "O", False, True)),
    ),
    "dtype of odd names": (
        "arrays whose elements are no numbers",
        opcodes(call("numpy.dtype", "i4,(1000000,1000000)f8", False, True)),
    ),
    "dtype of a dict": (
        "arrays whose elements are no numbers",
        opcodes(call("numpy.dtype", {"names": []})),
    ),
    "dtype of big ends": (
        "cannot have",
        opcodes(call("numpy.dtype", "f8", state=(3, ">", None, None, None, -1, -1, 0))),
    ),
    "dtype of nothing": ("cannot have", opcodes(call("numpy.dtype", "f8", state=()))),
    "scalar too short": (
        "fit its bytes",
        opcodes(
            named("numpy.core.multiarray.scalar"),
            call("numpy.dtype", "f8"),
            dumped(b"123"),
            b"\x86R",
        ),
    ),
    "scalar of no type": (
        "fit its bytes",
        opcodes(call("numpy.core.multiarray.scalar", None, b"1")),
    ),
    "array too large": ("fit its bytes", array((10**6, 10**6))),
    "array too small": ("fit its bytes", array((1,))),
    "array of negative shape": ("not a tuple of sizes", array((-1, -2))),
    "array of lists": ("not a tuple of sizes", array([2])),
    "array with a pickle": ("fit its bytes", array((2,), data=[1, 2])),
    "array of objects": ("arrays whose elements are no numbers", array((2,), dtype="O")),
    "persistent of nothing": ("lacks its class", opcodes(PERSISTENT, dumped(({},)), b"R")),
    "persistent of none": ("lacks its class", opcodes(PERSISTENT, dumped((None,)), b"R")),
    "persistent of two": ("do not fit", opcodes(PERSISTENT, dumped(({}, {})), b"R")),
    "persistent of a function": (
        "lacks its class",
        opcodes(PERSISTENT, b"}" + META.replace(b"class", b"other", 1) + b"}u\x85R"),
    ),
}


LARGE = [name for name, (_, content) in HOSTILE.items() if len(content) > 10**5]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in LARGE])
def test_hostile(tmp_path, name):
    reason, content = HOSTILE[name]
    refused(tmp_path / "n.pkl", content, reason)
    refused(tmp_path / "n.pt", zip_bytes(content), reason)
    refused(tmp_path / "n.pkl", within_blob(content))


@pytest.mark.slow
def test_memory_and_time(tmp_path):
    """Refusing a file takes little of both: of a new process, the peak of its memory."""
    pytest.importorskip("resource")
    large = {
        name: HOSTILE[name]
        for name in (*LARGE, "bytes of petabytes", "long of gigabytes", "shared tuples")
    }
    giant = (b"PK\1\2" + bytes(42)) * 40_000
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 40_000, 40_000, len(giant), 4, 0)
    large["zip"] = "no checkpoint|duplicates", b"PK\3\4" + giant + end
    for name, (_, content) in large.items():
        (tmp_path / name).with_suffix(".pkl").write_bytes(content)
    script = """
import resource, sys, time
from pathlib import Path
from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_reader
def peak_memory():  # on Linux getrusage also counts the memory of the parent process
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    before, start = peak_memory(), time.process_time()
    try:
        pickle_reader.read_tree(path)
    except CheckpointError as error:
        grown, seconds = peak_memory() - before, time.process_time() - start
        print(path.stem, grown, seconds, path.stat().st_size, error, sep=" | ")
"""
    out = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
    reports = {name: rest for name, *rest in (line.split(" | ") for line in out.splitlines())}
    assert reports.keys() == large.keys()
    for name, (grown, seconds, size, error) in reports.items():
        assert re.search(large[name][0], error), (name, error)
        assert float(grown) < 2 * float(size) + 100 * 2**20, (name, grown)
        assert float(seconds) < 15, (name, seconds)
