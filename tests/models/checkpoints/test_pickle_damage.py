"""Files damaged by chance are read or refused in one sentence; nothing else happens."""

import argparse
import pickletools
import random

import numpy as np
import pytest

from nvidia_pickles import small_network, write_nvidia
from pickle_files import opcodes, survives, tensor, torch_bytes, zip_bytes

pytestmark = pytest.mark.slow

FILES = ["n.pkl", "zip.pt", "legacy.pt"]


def samples(tmp_path):
    state = {"g": dict(small_network(2).state), "args": argparse.Namespace(a=1)}
    return {
        "n.pkl": write_nvidia(
            tmp_path / "n", {"G_ema": small_network(2)}, x={"a": np.float64(1), "b": np.arange(3)}
        ).read_bytes(),
        "zip.pt": torch_bytes(state),
        "legacy.pt": torch_bytes(state, zipped=False),
    }


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_truncated(tmp_path, name, step):
    whole = samples(tmp_path)[name]
    assert survives(tmp_path / name, whole)
    lengths = {
        *range(0, len(whole), 1024 if step > 1 else 1),
        *range(0, min(2500, len(whole)), step),
        *range(len(whole) - 100, len(whole)),
    }
    for length in sorted(lengths):
        assert not survives(tmp_path / name, whole[:length]), length
    small = opcodes(tensor())
    for length in range(len(small)):
        assert not survives(tmp_path / "small.pkl", small[:length]), length


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("rounds", [600, pytest.param(100_000, marks=pytest.mark.soak)])
def test_flipped(tmp_path, name, rounds):
    whole = samples(tmp_path)[name]
    draw = random.Random(name)
    read = 0
    for _ in range(rounds):
        broken = bytearray(whole)
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        read += survives(tmp_path / name, broken)
    assert 0 < read < rounds


@pytest.mark.parametrize("rounds", [3000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_random(tmp_path, rounds):
    draw, read = random.Random(5), 0
    codes = [ord(op.code) for op in pickletools.opcodes if op.name != "STOP"]
    for number in range(rounds):
        if number % 3:
            body = bytes(
                draw.choice(codes) if draw.random() < 0.7 else draw.randrange(20)
                for _ in range(draw.randrange(60))
            )
        else:
            body = draw.randbytes(draw.randrange(200))
        read += survives(tmp_path / "n.pkl", opcodes(body))
        if number % 5 == 0:
            survives(tmp_path / "n.pt", zip_bytes(opcodes(body)))
    assert 0 < read < rounds
