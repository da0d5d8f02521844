import collections
import contextlib
import fractions
import os
import warnings

import pytest
import torch

import nvidia_pickles
from forgetting.errors import CheckpointError
from forgetting.models.checkpoints.foreign import CheckpointFile, convert_file
from forgetting.models.checkpoints.inspect import inspect_file
from forgetting.models.checkpoints.pickle_reader import read_names, read_tree
from hostile_names import HOSTILE_NAMES, obeyed
from hostile_pickles import HOSTILE_PICKLES, SYSTEM
from pickle_files import Calls, named, opcodes, torch_bytes


def test_the_report_on_a_file(tmp_path):
    _, path = nvidia_pickles.write_tiny_network(tmp_path / "net.pkl", "stylegan2")
    report = dict(inspect_file(path))
    assert report["networks"] == "G, D, G_ema"
    assert report["network"] == "stylegan2, 16 x 20, 3 classes, z of 8, 38 units in 5 layers"
    assert "torch_utils.persistence._reconstruct_persistent_obj" in report["asks for"]
    assert "it is not run" in report["source code"]
    convert_file(path, tmp_path / "net.safetensors")
    report = dict(inspect_file(tmp_path / "net.safetensors"))
    assert report["network"].startswith("stylegan2, 16 x 20, 3 classes")
    assert report["provenance"].startswith("net.pkl sha256:")


def test_the_report_lists_everything_that_a_refused_file_asks_for(tmp_path):
    evil = {
        "a": Calls(os.system, "true"),
        "b": Calls(collections.Counter, "abc"),
        "c": Calls(fractions.Fraction, 1, 2),
    }
    _, path = nvidia_pickles.write_tiny_network(tmp_path / "net.pkl", "stylegan2", more=evil)
    with pytest.raises(
        CheckpointError, match=f"asks for {os.name}.system, which no checkpoint needs"
    ):
        CheckpointFile(str(path)).load()
    report = dict(inspect_file(path))
    assert report["network"].startswith("stylegan2, 16 x 20")
    assert report["refused"].startswith(f"{os.name}.system, which no checkpoint needs")
    assert all(
        name in report["refused"]
        for name in ("fractions", "collections.Counter, which is of no kind")
    )


@pytest.mark.parametrize("hidden", HOSTILE_PICKLES)
def test_every_hidden_name_is_listed(tmp_path, hidden):
    """Also where the file is refused or cannot be read; the sentence names what does harm."""
    path = tmp_path / "n.pkl"
    path.write_bytes(HOSTILE_PICKLES[hidden])
    assert SYSTEM in read_names(path).counts
    report = dict(yielded(path))
    assert f"{SYSTEM} (1x)" in report["asks for"]
    assert f"{SYSTEM}, which no checkpoint needs and which can do harm" in report["refused"]
    with pytest.raises(CheckpointError, match="can do harm; nothing was run"):
        read_tree(path)


def yielded(path):
    """Return what is reported before the report ends with an error."""
    report = inspect_file(path)
    with contextlib.suppress(CheckpointError):
        yield from report


def test_names_that_are_not_in_the_file_and_parts_that_cannot_be_read(tmp_path):
    path = tmp_path / "n.pkl"
    computed = opcodes(named("operator.concat"), b"\x8c\x01o\x8c\x01s\x86R\x8c\x06system\x93")
    path.write_bytes(computed)
    assert "(a name that is computed when the file is opened)" in dict(yielded(path))["asks for"]
    path.write_bytes(opcodes(named("a.b"), b"\xff"))
    text = dict(yielded(path))["asks for"]
    assert text == "a.b (1x)\nand perhaps more, in a part that cannot be read"
    path.write_bytes(opcodes(named("a.b") * 200 + b"0" * 199))
    assert dict(yielded(path))["asks for"] == "a.b (200x)"


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_reports_are_short_and_can_be_printed(tmp_path, name):
    path = tmp_path / "n.pt"
    path.write_bytes(
        torch_bytes(
            {
                f"{number} {name[:50]}": {str(k): torch.zeros(1) for k in range(3)}
                for number in range(300)
            }
        )
    )
    for title, text in yielded(path):
        assert not obeyed(text), title
        assert len(text) < 40_000
    if "\udc80" not in name:  # which is refused
        assert "and 260 more" in dict(yielded(path))["networks"]


KINDS_OF_TENSORS = {
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "without a type of storage": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "without a type": lambda: torch.ones(3).untyped_storage(),
    "complex numbers": lambda: torch.zeros(3, dtype=torch.complex64),
    "dense float32": lambda: torch.eye(3).to_sparse(),
    "saved whole": lambda: torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("why", KINDS_OF_TENSORS)
def test_tensors_that_are_not_read_get_a_true_reason(tmp_path, why, zipped):
    path = tmp_path / "n.pt"
    with warnings.catch_warnings(action="ignore"):
        path.write_bytes(torch_bytes({"a": KINDS_OF_TENSORS[why]()}, zipped))
    assert why in dict(yielded(path))["refused"]
    with pytest.raises(
        CheckpointError, match=rf"n.pt asks for torch\.\S+, which is .*{why}"
    ) as caught:
        read_tree(path)
    assert "fetch it again" not in str(caught.value)
