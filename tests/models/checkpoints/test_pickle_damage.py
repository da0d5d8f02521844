import argparse
import pickletools
import random

import numpy as np
import pytest

from nvidia_pickles import small_network, write_nvidia
from pickle_files import opcodes, survives, tensor, torch_bytes, zip_bytes

# What is damaged


def samples(tmp_path):
    state = {"g": dict(small_network(2).state), "args": argparse.Namespace(a=1)}
    return {
        "n.pkl": write_nvidia(
            tmp_path / "n", {"G_ema": small_network(2)}, x={"a": np.float64(1), "b": np.arange(3)}
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
