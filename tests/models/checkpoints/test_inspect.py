import collections
import os
from pathlib import Path

import pytest

import nvidia_pickles
from forgetting.errors import CheckpointError
from forgetting.models.checkpoints.foreign import CheckpointFile, convert_file
from forgetting.models.checkpoints.inspect import inspect_file


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
    class Calls:
        def __init__(self, function, *arguments):
            self.function, self.arguments = function, arguments

        def __reduce__(self):
            return self.function, self.arguments

    evil = {
        "a": Calls(os.system, "true"),
        "b": Calls(collections.Counter, "abc"),
        "c": Calls(Path, "x"),
    }
    _, path = nvidia_pickles.write_tiny_network(tmp_path / "net.pkl", "stylegan2", more=evil)
    with pytest.raises(
        CheckpointError, match=f"asks for {os.name}.system, which no checkpoint needs"
    ):
        CheckpointFile(str(path)).load()
    report = dict(inspect_file(path))
    assert report["network"].startswith("stylegan2, 16 x 20")
    assert report["refused"].startswith("collections.Counter, which is of no kind")
    assert all(
        name in report["refused"]
        for name in ("pathlib", f"{os.name}.system, which no checkpoint needs")
    )
