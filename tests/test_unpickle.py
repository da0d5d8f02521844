import argparse
import collections
import contextlib
import faulthandler
import io
import os
import pickle
import pickletools
import random
import re
import struct
import subprocess
import sys
import time
import warnings
import zipfile

import numpy as np
import pytest
import torch
from persistent import Network, fake_modules, network, write_nvidia

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_reader, pickle_records

TYPES = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
]


@pytest.fixture(autouse=True)
def watchdog():
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def everything(path):
    """Open a file and read all that is in it."""
    kind = pickle_reader.file_kind(path)
    if kind == "safetensors":
        return None
    tree = pickle_reader.read_tree(path)
    parts = [tree.root, *(tree.root.values() if isinstance(tree.root, dict) else ())]
    for part in parts:
        repr(part), pickle_records.plain(part)
        if isinstance(part, pickle_records.Stored):
            part.read()
        for look in (pickle_records.shapes, pickle_records.tensors, pickle_records.settings):
            if isinstance(part, (pickle_records.Persistent, dict)):
                with contextlib.suppress(CheckpointError):
                    look(part, str(path))
    return tree


def refused(path, content=None, match="; "):
    """The one sentence with which a file is refused, soon."""
    if content is not None:
        path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=match) as caught:
        everything(path)
    assert time.perf_counter() - start < 15
    said = str(caught.value)
    assert said.startswith(str(path)), said
    assert "\n" not in said, said
    assert "; " in said, said
    assert len(said) < len(str(path)) + 420, said
    return said


def survives(path, content):
    """Whether a file that was damaged can be read; if not, it is refused as it should be."""
    path.write_bytes(content)
    try:
        return everything(path) is not None
    except CheckpointError as error:
        said = str(error)
    assert said.startswith(str(path)), said
    assert "\n" not in said, said
    return False


def torch_bytes(value, zipped=True):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def opcodes(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


def named(name):
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def dumped(value):
    """The instructions that make a value, without memo, beginning and end."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 3)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()[2:-1]


def call(name, *arguments, state=None):
    return (
        named(name)
        + dumped(arguments)
        + b"R"
        + (dumped(state) + b"b" if state is not None else b"")
    )


def zip_bytes(data_pkl, *members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in (("a/data.pkl", data_pkl), *members):
            archive.writestr(name, content)
    return file.getvalue()


def same(mine, theirs):
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    assert torch.equal(mine, theirs)
    assert mine.is_contiguous()
    assert mine.untyped_storage().nbytes() == mine.numel() * mine.element_size()


# What there is to read


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nvidia(tmp_path, protocol, dtype):
    made = network(dtype=dtype)
    more = {
        "D": None,
        "training_set_kwargs": {
            "path": "x.zip",
            "resolution": np.int64(4),
            "rates": np.arange(6.0).reshape(2, 3),
        },
    }
    path = write_nvidia(tmp_path / "n.pkl", {"G": network(2), "G_ema": made}, protocol, **more)
    assert pickle_reader.file_kind(path) == "pickle"
    tree = pickle_reader.read_tree(path)
    assert list(tree.root) == ["G", "G_ema", "D", "training_set_kwargs"]
    read = pickle_records.tensors(tree.root["G_ema"], "G_ema")
    assert read.keys() == made.state.keys()
    assert pickle_records.shapes(tree.root["G_ema"], "") == {
        name: (tuple(t.shape), t.dtype) for name, t in read.items()
    }
    assert pickle_records.settings(tree.root["G_ema"], "") == ("Generator", (), made.kwargs)
    assert {name for name, _ in tree.sources} == {
        "Generator",
        "SynthesisNetwork",
        "SynthesisBlock",
        "Part",
    }
    assert {length for _, length in tree.sources} == {len(made.source)}
    assert tree.globals["torch._utils._rebuild_parameter"] >= 1
    kwargs = pickle_records.plain(tree.root["training_set_kwargs"])
    assert kwargs["resolution"] == 4
    assert np.array_equal(kwargs["rates"], np.arange(6.0).reshape(2, 3))
    del tree, kwargs
    path.unlink()
    for name, tensor in read.items():
        same(tensor, made.state[name])


def test_the_order_is_that_of_torch(tmp_path):
    class Both(torch.nn.Module):
        def __init__(self, inner=None):
            super().__init__()
            if inner:
                self.inner = inner
            self.register_buffer("taps", torch.ones(2))
            self.weight, self.bias = torch.nn.Parameter(torch.zeros(1)), None

    state = Both(Both()).state_dict()
    path = write_nvidia(tmp_path / "n.pkl", {"G": Network("G", state, buffers=("taps",))})
    assert list(pickle_records.tensors(pickle_reader.read_tree(path).root["G"], "")) == list(state)


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    path = write_nvidia(tmp_path / "n.pkl", {"G": network()})
    monkeypatch.setattr(pickle_records.Stored, "read", None)
    assert pickle_records.shapes(pickle_reader.read_tree(path).root["G"], "")[
        "synthesis.b4.const"
    ] == ((4, 4, 4), torch.float32)


@pytest.mark.parametrize("protocol", [2, 4])
def test_numpy_of_old(tmp_path, protocol):
    values = {
        "a": np.float32(1.5),
        "b": np.arange(3),
        "c": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "d": np.bool_(True),
    }
    new = pickle.dumps(values, protocol)
    old = new.replace(b"cnumpy._core.", b"cnumpy.core.").replace(
        b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray"
    )
    assert old != new
    old = old[:3] + struct.pack("<Q", len(old) - 11) + old[11:] if protocol == 4 else old
    for content in (new, old):
        (tmp_path / "n.pkl").write_bytes(content)
        read = pickle_records.plain(pickle_reader.read_tree(tmp_path / "n.pkl").root)
        assert (read["a"], read["b"].tolist(), read["c"].tolist(), read["d"]) == (
            1.5,
            [0, 1, 2],
            [[0, 1, 2], [3, 4, 5]],
            True,
        )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch(tmp_path, zipped):
    base = torch.arange(60.0).reshape(3, 4, 5)
    state = {f"{dtype}": torch.arange(12).reshape(3, 4).to(dtype) for dtype in TYPES} | {
        "bool": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "view": base[1:, ::2],
        "turned": base.permute(2, 0, 1),
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }
    state = collections.OrderedDict(state)
    state._metadata = {"": {"version": 1}}
    args = argparse.Namespace(size=256, ckpt=None, path="é", scale=1e-3)
    value = {
        "g_ema": state,
        "args": args,
        "latent_avg": torch.randn(8),
        "iter": 5,
        "set": {1, 2},
        "type": torch.float32,
        "size": base.shape,
    }
    path = tmp_path / "n.pt"
    path.write_bytes(torch_bytes(value, zipped))
    assert pickle_reader.file_kind(path) == ("torch zip" if zipped else "torch legacy")
    tree = pickle_reader.read_tree(path)
    assert {
        key: pickle_records.plain(tree.root[key]) for key in ("args", "iter", "set", "type", "size")
    } == {
        "args": vars(args),
        "iter": 5,
        "set": {1, 2},
        "type": "torch.float32",
        "size": (3, 4, 5),
    }
    with torch.serialization.safe_globals([argparse.Namespace]):
        theirs = torch.load(path, weights_only=True)
    mine = pickle_records.tensors(tree.root["g_ema"], "g_ema")
    average = tree.root["latent_avg"].read()
    del tree
    path.unlink()
    assert list(mine) == list(theirs["g_ema"])
    for name, tensor in theirs["g_ema"].items():
        same(mine[name], tensor.detach())
    same(average, theirs["latent_avg"])


def test_python_2_and_other_protocols(tmp_path):
    path = tmp_path / "n.pkl"
    path.write_bytes(b"\x80\x02ccollections\nOrderedDict\n]](U\x01aK\x01ea\x85R.")
    assert pickle_reader.read_tree(path).root == {"a": 1}
    for protocol in range(6):
        value = {
            "a": [1, -2, 10**30, 2.5, None, True, "é\n", (1, 2, 3, 4), ()],
            3: {1: {}},
            None: [],
            "x" * 300: [list(range(1500))],
        }
        path.write_bytes(pickle.dumps(value, protocol))
        assert pickle_reader.read_tree(path).root == value


def test_what_has_no_weights(tmp_path):
    path = write_nvidia(
        tmp_path / "n.pkl",
        {"G": network(), "E": Network("Empty", {}), "D": None, "n": {"a": 1}, "e": {}},
    )
    root = pickle_reader.read_tree(path).root
    for key, match in {
        "D": "D is neither",
        "n": "it holds 'a'",
        "e": "no weights",
        "E": "no weights",
    }.items():
        with pytest.raises(CheckpointError, match=match):
            pickle_records.tensors(root[key], key)
    for value in (
        None,
        {},
        pickle_records.Persistent("G", {}),
        pickle_records.Persistent("G", {"_init_args": (), "_init_kwargs": {1: 2}}),
    ):
        with pytest.raises(CheckpointError, match="how it was made"):
            pickle_records.settings(value, "G")
    for state in (
        {"_parameters": 3},
        {"_modules": {"a": {}}},
        {"_buffers": {"a": "b"}},
        {"_parameters": {"x" * 1000: root["G"]}},
    ):
        with pytest.raises(CheckpointError, match="neither a tensor nor a network"):
            pickle_records.tensors(pickle_records.Persistent("G", state), "G")


# What it is not


def test_kinds(tmp_path):
    looks = {
        b"": "empty",
        b"\x1f\x8b\x08": "compressed archive",
        b"\x89HDF\r\n\x1a\n": "Keras",
        b"\x89PNG\r\n\x1a\n": "picture",
        b"\xff\xd8\xff\xe0": "picture",
        b"\n<!DOCTYPE html><html>": "web page",
        b"<html>": "web page",
        b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
        b"\x08\x07\x12\x07pytorch": "ONNX",
        b"\x93NUMPY": "numpy",
        bytes(257) + b"ustar\x0000": "tar",
        b"hello": "of no kind",
        b"\x80\x04N.": "pickle",
        b"12345678{not so much}": "of no kind",
    }
    for number, (content, match) in enumerate(looks.items()):
        path = tmp_path / f"{number}.bin"
        if match == "pickle":
            path.write_bytes(content)
            assert pickle_reader.file_kind(path) == "pickle"
        else:
            refused(path, content, match)
    (tmp_path / "s").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert pickle_reader.file_kind(tmp_path / "s") == "safetensors"
    assert "folder" in refused(tmp_path)
    assert "No such file" in refused(tmp_path / "missing")
    assert "cannot be opened" in refused(tmp_path / ("x" * 300))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in refused(tmp_path / "pipe")
    refused(tmp_path / "text.pkl", b"hello", "cannot be read")


class _Small(torch.nn.Module):
    def forward(self, x):
        return x + 1


def test_programs(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(_Small()), tmp_path / "script.pt")
        torch.export.save(torch.export.export(_Small(), (torch.zeros(1),)), tmp_path / "export.pt2")
    assert "program of TorchScript" in refused(tmp_path / "script.pt", match="generator=module")
    assert "program of torch.export" in refused(tmp_path / "export.pt2", match="generator=module")
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    refused(tmp_path / "a.npz", match="no checkpoint of torch")
    torch.save(_Small(), tmp_path / "module.pt")
    refused(
        tmp_path / "module.pt",
        match="asks for test_unpickle._Small, which is of no kind that is read here; .*generator=module",
    )


# What is meant to harm


class Calls:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def within_blob(content):
    return opcodes(call("torch.storage._load_from_bytes", content))


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
            said = refused(tmp_path / f"{name}.pkl", content, "asks for")
            assert "which no checkpoint needs" in said or name == "load", said
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


(BLOB,) = (
    one
    for _, one, _ in pickletools.genops(pickle.dumps(torch.zeros(6), 3))
    if isinstance(one, bytes)
)
SIX = call("torch.storage._load_from_bytes", BLOB)


def tensor(offset=0, shape=(2, 3), stride=(3, 1), storage=SIX):
    """Instructions for a view of a storage of six floats."""
    more = dumped(offset) + dumped(shape) + dumped(stride) + dumped(False) + dumped({})
    return named("torch._utils._rebuild_tensor_v2") + b"(" + storage + more + b"tR"


def test_tensors_that_do_not_fit(tmp_path):
    path = tmp_path / "n.pkl"
    path.write_bytes(opcodes(tensor(1, (2, 2), (3, 1))))
    assert pickle_reader.read_tree(path).root.read().tolist() == [[0, 0], [0, 0]]
    for offset, shape, stride in [
        (0, (7,), (1,)),
        (1, (6,), (1,)),
        (-1, (2,), (1,)),
        (0, (-2, -3), (3, 1)),
        (0, (2,), (-1,)),
        (0, (2, 3), (1,)),
        (0, (2,), (6,)),
        (0, (10**15,), (0,)),
        (0, (100, 100), (0, 0)),
        (0, (3, 3), (1, 1)),
        (0, (0, 2**39, 2**39), (1, 1, 1)),
        (0, (1,) * 33, (1,) * 33),
        (0, (2**62, 4, 0), (1, 1, 1)),
        (0, (1,), (2**63,)),
        (2**63, (0,), (1,)),
        (0, [2, 3], (3, 1)),
        (0, (2.0, 3), (3, 1)),
        (0, (True, 3), (3, 1)),
        (None, (2,), (1,)),
        (0, None, None),
    ]:
        refused(path, opcodes(tensor(offset, shape, stride)))
    for storage in (
        dumped(None),
        dumped(b"123456"),
        tensor(),
        dumped({}),
        named("torch.FloatStorage"),
    ):
        refused(path, opcodes(tensor(storage=storage)))
    refused(path, opcodes(call("torch._utils._rebuild_tensor_v2", 1)), "arguments that do not fit")
    refused(path, opcodes(call("torch._utils._rebuild_parameter", 1, True, {})))
    many = b"".join(
        dumped(str(n)) + b"h\1" for n in range(1000)
    )  # a few numbers, taken so often that they are far more than the file
    path.write_bytes(opcodes(tensor(0, (6,), (1,)), b"q\1}(", many, b"u\x86"))
    tree = pickle_reader.read_tree(path)
    with pytest.raises(CheckpointError, match="repeats its weights"):
        pickle_records.tensors(tree.root[1], "a")


def test_storages_that_lie(tmp_path):
    path = tmp_path / "n.pkl"
    number = struct.pack("<q", 6)
    assert BLOB.count(number) == 1
    content = torch_bytes({"a": torch.zeros(6)}, zipped=False)
    assert content.count(b"K\x06N") == content.count(number) == 1
    lies = {
        "longer": lambda blob: blob.replace(number, struct.pack("<q", 7)),
        "petabytes": lambda blob: blob.replace(number, struct.pack("<q", 2**50)),
        "negative": lambda blob: blob.replace(number, struct.pack("<q", -1)),
        "both longer": lambda blob: blob.replace(number, struct.pack("<q", 7)).replace(
            b"K\x06N", b"K\x07N"
        ),
        "id petabytes": lambda blob: blob.replace(b"K\x06N", b"\x8a\x07\0\0\0\0\0\0\x04N"),
        "id negative": lambda blob: blob.replace(b"K\x06N", b"J\xff\xff\xff\xffN"),
        "id is a name": lambda blob: blob.replace(b"K\x06N", b"ctorch\nfloat32\nN"),
        "a view": lambda blob: blob.replace(b"K\x06N", b"K\x06)"),
        "another type": lambda blob: blob.replace(b"FloatStorage", b"DoubleStorage"),
        "no type": lambda blob: blob.replace(b"ctorch\nFloatStorage", b"ctorch\nfloat32"),
        "more behind": lambda blob: blob + b"x",
        "less": lambda blob: blob[:-1],
        "other magic": lambda blob: blob.replace(b"\x8a\x0a\x6c", b"\x8a\x0a\x6d"),
        "other version": lambda blob: blob.replace(b"M\xe9\x03.", b"M\xea\x03."),
        "nothing": lambda blob: b"",
        "a value": lambda blob: torch_bytes([1], zipped=False),
        "a blob": lambda blob: within_blob(blob),
    }
    for lie, tell in lies.items():
        assert tell(BLOB) != BLOB
        refused(path, opcodes(call("torch.storage._load_from_bytes", tell(BLOB))))
        if lie not in ("other magic", "nothing", "a value", "a blob"):
            refused(tmp_path / "n.pt", tell(content))
    refused(path, opcodes(call("torch.storage._load_from_bytes", "abc")), "do not fit")
    refused(path, opcodes(dumped(("storage", "0")), b"Q"), "instruction BINPERSID has no place")


def persistent(numel=b"K\x06", key=b"X\x01\0\0\x000", kind=b"ctorch\nFloatStorage\n", more=b""):
    return b"(X\x07\0\0\0storage" + kind + key + b"X\x03\0\0\0cpu" + numel + more + b"tQ"


def test_zips_that_lie(tmp_path):
    path = tmp_path / "n.pt"
    good, data = (
        opcodes(b"}", dumped("a"), tensor(storage=persistent()), b"s"),
        ("a/data/0", bytes(24)),
    )
    path.write_bytes(zip_bytes(good, data))
    assert pickle_records.tensors(pickle_reader.read_tree(path).root, "")["a"].tolist() == [
        [0, 0, 0],
        [0, 0, 0],
    ]
    for lie in (
        persistent(b"K\x07"),
        persistent(b"\x8a\x08\0\0\0\0\0\0\0\x10"),
        persistent(b"J\xff\xff\xff\xff"),
        persistent(b"G\x40\x18\0\0\0\0\0\0"),
        persistent(key=b"X\x0b\0\0\0../data.pkl"),
        persistent(key=b"K\x00"),
        persistent(kind=b"ctorch\nDoubleStorage\n"),
        persistent(kind=b"ctorch\nfloat32\n"),
        persistent(more=b"K\x01"),
        persistent() + persistent(b"K\x05") + b"\x86",
        dumped(("module", "a")) + b"Q",
        dumped("storage") + b"Q",
        dumped(("storage",)) + b"Q",
    ):
        refused(path, zip_bytes(opcodes(lie), data), "cannot be read")
    refused(path, zip_bytes(good), "missing or too short")
    refused(path, zip_bytes(good + b"N", data), "1 bytes follow")
    refused(path, zip_bytes(good, data, ("a/byteorder", b"big")), "big-endian")
    refused(path, zip_bytes(good, data, ("b/data.pkl", good)), "no checkpoint")
    refused(path, zip_bytes(good, data, compression=zipfile.ZIP_DEFLATED), "compressed")
    refused(
        path,
        zip_bytes(good, ("a/data/0", bytes(10**8)), compression=zipfile.ZIP_DEFLATED),
        "compressed",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(path, zip_bytes(good, data, data), "there twice")
    whole = zip_bytes(good, data)
    central, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    second = whole.index(b"PK\1\2", central + 1)
    for at, value in {
        central + 20: b"\xff\xff\xff\x7f\xff\xff\xff\x7f",  # sizes
        second + 20: b"\xff\xff\xff\x7f\xff\xff\xff\x7f",
        central + 42: b"\xff\xff\xff\x7f",  # where it is
        second + 42: b"\5\0\0\0",
        central + 28: b"\xff\xff",  # length of the name
        central + 8: b"\1",  # encrypted
        26: b"\xff\xff",  # length of the name, again
        end + 12: b"\xff\xff\xff\x7f",  # length of the list
        end + 16: b"\xff\xff\xff\x7f",  # where the list is
        0: b"PK\3\4\0\0",
    }.items():
        broken = whole[:at] + value + whole[at + len(value) :]
        if broken != whole and at:
            refused(path, broken)
    refused(path, b"PK\3\4" + bytes(100), "not a zip file")
    refused(path, whole[:-30])
    giant = b"PK\1\2" + bytes(42)  # a list of many members without a name
    giant = b"PK\3\4" + giant * 60_000
    refused(
        path,
        giant
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 60_000 % 2**16, 60_000 % 2**16, len(giant) - 4, 4, 0),
        "far too long",
    )


def array(shape, data=bytes(16), dtype="f8"):
    make = call("numpy.core.multiarray._reconstruct", None, (0,), b"b")
    return opcodes(
        make, b"(K\1", dumped(shape), call("numpy.dtype", dtype), b"\x89", dumped(data), b"tb"
    )


def doubled(times=60):
    """A tuple of two tuples of two tuples: small, but whoever looks at all of it never comes back."""
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
FACES = (
    b"a" * 39_996 + "\U0001f600".encode()
)  # one such character makes Python keep four bytes for every other

# Why they are refused: pickles that would hang, crash, fill the memory of those who believe them, or make nonsense.
HOSTILE = {
    "memo index": ("more to remember", opcodes(b"Nr" + struct.pack("<I", 2**31))),
    "memo in words": ("more to remember", b"Np" + b"9" * 4000 + b"\n."),
    "memo negative": ("more to remember", b"Np-1\n."),
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
        "something else than numbers",
        opcodes(named("numpy.dtype"), doubled(), b"\x85R"),
    ),
    "shared tuples as a codec": (
        "unknown way",
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
        "cannot be called",
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
    "nothing": ("STOP has no place", opcodes()),
    "two values": ("STOP has no place", opcodes(b"NN")),
    "open mark": ("STOP has no place", opcodes(b"N(")),
    "no end": ("exhausted before seeing STOP", b"\x80\x04N"),
    "something behind": ("1 bytes follow", opcodes(b"N") + b"N"),
    "protocol": ("PROTO has no place", b"\x80\x09N."),
    "extension": ("EXT1 has no place", opcodes(b"\x82\x01")),
    "inst": ("INST has no place", b"\x80\x02(ios\nsystem\n."),
    "obj": ("OBJ has no place", opcodes(b"(" + named("collections.OrderedDict") + b"o")),
    "newobj_ex": ("NEWOBJ_EX has no place", opcodes(named("collections.OrderedDict"), b")}\x92")),
    "buffer": ("NEXT_BUFFER has no place", b"\x80\x05\x97."),
    "unknown": ("unknown", opcodes(b"\xf0")),
    "append to a dict": ("a dict where a list", opcodes(b"}Na")),
    "item into a list": ("a list where a dict", opcodes(b"]NNs")),
    "item into a namespace": (
        "a Namespace where a dict",
        opcodes(call("argparse.Namespace"), b"NNs"),
    ),
    "call of a list": ("cannot be called", opcodes(b"])R")),
    "call of a result": ("cannot be called", opcodes(call("collections.OrderedDict"), b")R")),
    "call of a type": ("cannot be called", opcodes(named("torch.FloatStorage"), b")R")),
    "call without a tuple": ("cannot be called", opcodes(named("collections.OrderedDict"), b"]R")),
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
    "encode": ("unknown way", opcodes(call("_codecs.encode", "a", "rot13"))),
    "encode a number": ("int where a str", opcodes(call("_codecs.encode", 1, "latin1"))),
    "encode what is not latin": (
        "codec can't encode",
        opcodes(call("_codecs.encode", "\u1234", "latin1")),
    ),
    "half a surrogate": ("surrogates", opcodes(b"X\3\0\0\0\xed\xa0\x80")),
    "not utf-8": ("codec can't decode", opcodes(b"X\1\0\0\0\xff")),
    "size": ("bytes where a tuple", opcodes(call("torch.Size", b"abc"))),
    "device": ("int where a str", opcodes(call("torch.device", 1))),
    "dtype of objects": ("else than numbers", opcodes(call("numpy.dtype", "O", False, True))),
    "dtype of odd names": (
        "else than numbers",
        opcodes(call("numpy.dtype", "i4,(1000000,1000000)f8", False, True)),
    ),
    "dtype of a dict": ("else than numbers", opcodes(call("numpy.dtype", {"names": []}))),
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
    "array of objects": ("else than numbers", array((2,), dtype="O")),
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


def test_memory_and_time(tmp_path):
    """What is refused takes little of both: of a process of its own, the most memory it ever had."""
    pytest.importorskip("resource")
    large = {
        name: HOSTILE[name]
        for name in (*LARGE, "bytes of petabytes", "long of gigabytes", "shared tuples")
    }
    giant = (b"PK\1\2" + bytes(42)) * 40_000
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 40_000, 40_000, len(giant), 4, 0)
    large["zip"] = "no checkpoint|there twice", b"PK\3\4" + giant + end
    for name, (_, content) in large.items():
        (tmp_path / name).with_suffix(".pkl").write_bytes(content)
    script = """
import resource, sys, time
from pathlib import Path
from forgetting.checkpoints import records, unpickle
from forgetting.errors import CheckpointError
def most():  # what getrusage says on Linux counts what the parent had
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    before, start = most(), time.perf_counter()
    try:
        unpickle.opened(path)
    except CheckpointError as error:
        print(path.stem, most() - before, time.perf_counter() - start, path.stat().st_size, error, sep=" | ")
"""
    out = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    ).stdout
    told = {name: rest for name, *rest in (line.split(" | ") for line in out.splitlines())}
    assert told.keys() == large.keys()
    for name, (grown, seconds, size, error) in told.items():
        assert re.search(large[name][0], error), (name, error)
        assert float(grown) < 2 * float(size) + 100 * 2**20, (name, grown)
        assert float(seconds) < 15, (name, seconds)


# What is damaged


def samples(tmp_path):
    state = {"g": dict(network(2).state), "args": argparse.Namespace(a=1)}
    return {
        "n.pkl": write_nvidia(
            tmp_path / "n", {"G_ema": network(2)}, x={"a": np.float64(1), "b": np.arange(3)}
        ).read_bytes(),
        "zip.pt": torch_bytes(state),
        "legacy.pt": torch_bytes(state, zipped=False),
    }


@pytest.mark.parametrize("name", ["n.pkl", "zip.pt", "legacy.pt"])
def test_truncated(tmp_path, name):
    whole = samples(tmp_path)[name]
    assert survives(tmp_path / name, whole)
    for length in (
        *range(0, len(whole), 1024),
        *range(0, min(2500, len(whole)), 7),
        *range(len(whole) - 100, len(whole)),
    ):
        assert not survives(tmp_path / name, whole[:length]), length
    small = opcodes(tensor())
    for length in range(len(small)):
        assert not survives(tmp_path / "small.pkl", small[:length]), length


@pytest.mark.parametrize("name", ["n.pkl", "zip.pt", "legacy.pt"])
def test_flipped(tmp_path, name):
    whole = samples(tmp_path)[name]
    draw = random.Random(name)
    read = 0
    for _ in range(600):
        broken = bytearray(whole)
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        read += survives(tmp_path / name, broken)
    assert 0 < read < 600


def test_random(tmp_path):
    draw = random.Random(5)
    codes = [ord(op.code) for op in pickletools.opcodes if op.name != "STOP"]
    for number in range(3000):
        if number % 3:
            body = bytes(
                draw.choice(codes) if draw.random() < 0.7 else draw.randrange(20)
                for _ in range(draw.randrange(60))
            )
        else:
            body = draw.randbytes(draw.randrange(200))
        survives(tmp_path / "n.pkl", opcodes(body))
        if number % 5 == 0:
            survives(tmp_path / "n.pt", zip_bytes(opcodes(body)))
