import argparse
import collections
import os
import pickle
import struct
import warnings

import numpy as np
import pytest
import torch

from forgetting.errors import CheckpointError
from forgetting.models.checkpoints import pickle_reader, pickle_records
from nvidia_pickles import PersistentNetwork, small_network, write_nvidia
from pickle_files import refused, same, torch_bytes

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


# What there is to read


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nvidia(tmp_path, protocol, dtype):
    made = small_network(dtype=dtype)
    more = {
        "D": None,
        "training_set_kwargs": {
            "path": "x.zip",
            "resolution": np.int64(4),
            "rates": np.arange(6.0).reshape(2, 3),
        },
    }
    path = write_nvidia(
        tmp_path / "n.pkl", {"G": small_network(2), "G_ema": made}, protocol, **more
    )
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
    assert pickle_reader.read_names(path).counts["torch._utils._rebuild_parameter"] >= 1
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
    path = write_nvidia(tmp_path / "n.pkl", {"G": PersistentNetwork("G", state, buffers=("taps",))})
    assert list(pickle_records.tensors(pickle_reader.read_tree(path).root["G"], "")) == list(state)


def test_tensors_are_read_lazily(tmp_path, monkeypatch):
    path = write_nvidia(tmp_path / "n.pkl", {"G": small_network()})
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
        {
            "G": small_network(),
            "E": PersistentNetwork("Empty", {}),
            "D": None,
            "n": {"a": 1},
            "e": {},
        },
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
        match="asks for .*test_pickle_reader._Small, which is of no kind that is read here; "
        ".*generator=module",
    )
