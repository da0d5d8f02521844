import contextlib
import hashlib

import pytest
import torch
from safetensors.torch import save_file

from forgetting.errors import CheckpointError
from forgetting.models.architectures.toy import Toy
from forgetting.models.checkpoints import native
from forgetting.models.checkpoints.inspect import inspect_file
from helpers import randomised, sample_ws

KINDS = {cls: name for name, cls in native.ARCHITECTURES.items()}


def write(generator, path):
    native.write_checkpoint(
        path, KINDS[type(generator)], generator.hyperparameters, generator.state_dict(), "a test"
    )
    return path


def test_round_trip(tiny, tmp_path):
    again = native.read_checkpoint(write(tiny, tmp_path / "net.safetensors"))
    assert native.fingerprint(again) == native.fingerprint(tiny)
    assert torch.equal(again.bind(sample_ws(again))(), tiny.bind(sample_ws(tiny))())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_while_weights_do_not_change_a_network_is_hashed_once(toy, monkeypatch):
    sha256, made = hashlib.sha256, []
    monkeypatch.setattr(hashlib, "sha256", lambda data: made.append(1) or sha256(data))
    expected = native.fingerprint(toy), native.fingerprint(other := randomised(Toy(), 1))
    made.clear()
    with native.unchanged_weights():
        for _ in range(3):
            with native.unchanged_weights():
                assert (native.fingerprint(toy), native.fingerprint(other)) == expected
        assert len(made) == 2
        for seed in range(8):  # networks that are gone, whose weights lay at the same addresses
            native.fingerprint(randomised(Toy(), seed))
        assert native.fingerprint(randomised(Toy(), 1)) == expected[1]
    made.clear()
    toy.state_dict()[next(iter(toy.state_dict()))].add_(1)
    assert native.fingerprint(toy) != expected[0]
    assert len(made) == 1


def test_a_fingerprint_depends_on_every_bit(tiny):
    before = native.fingerprint(tiny)
    parameter = next(tiny.parameters())
    parameter.view(-1)[0] = torch.nextafter(parameter.view(-1)[0], torch.tensor(9.0))
    assert native.fingerprint(tiny) != before


def test_files_that_are_not_ours(toy, tmp_path):
    good = write(toy, tmp_path / "good.safetensors").read_bytes()
    state, metadata = toy.state_dict(), {"architecture": "toy", "hyperparameters": "{}"}
    cases = {
        "empty": b"",
        "text": b"hello",
        "truncated": good[:-40],
        "petabytes": (1 << 60).to_bytes(8, "little") + good[8:],
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    save_file(state, tmp_path / "no-metadata")
    save_file(state, tmp_path / "unknown", metadata | {"architecture": "gpt"})
    save_file(state, tmp_path / "no-json", metadata | {"hyperparameters": "{"})
    strange = (
        "[]",
        "3",
        "[" * 9000,
        " " * 20_000 + "{}",
        '{"channels": []}',
        '{"channels": [1' + "0" * 30 + "]}",
        '{"channels": "ab"}',
    )
    for number, text in enumerate(strange):
        save_file(state, tmp_path / f"strange{number}", metadata | {"hyperparameters": text})
    save_file(
        {name: t * torch.nan if t.ndim else t for name, t in state.items()},
        tmp_path / "nan",
        metadata,
    )
    save_file(state, tmp_path / "wrong-setting", metadata | {"hyperparameters": '{"width": 3}'})
    save_file(
        state, tmp_path / "wrong-shape", metadata | {"hyperparameters": '{"channels": [8, 8]}'}
    )
    save_file(
        {name: t for name, t in state.items() if name != "const"},
        tmp_path / "missing-key",
        metadata,
    )
    (tmp_path / "good.safetensors").unlink()
    files = list(tmp_path.iterdir())
    assert len(files) == 18
    for path in files:
        with pytest.raises(CheckpointError, match=str(path)) as caught:
            native.read_checkpoint(path)
        assert "\n" not in str(caught.value)
        if path.name not in ("empty", "text"):
            with contextlib.suppress(CheckpointError):
                dict(inspect_file(path))


def test_weights_are_read_only_where_the_header_fits(toy, tmp_path, monkeypatch):
    """A file that names a small network could hold any amount of other weights."""
    path = write(toy, tmp_path / "net.safetensors")
    metadata = {"architecture": "toy", "hyperparameters": "{}"}
    state = dict(toy.state_dict())
    name = next(iter(state))
    for changed in (
        state | {"ballast": torch.zeros(1000)},
        state | {name: torch.zeros(1000)},
        {key: value for key, value in state.items() if key != name},
    ):
        save_file(changed, path, metadata)
        monkeypatch.setattr(native, "build", None)  # it would be called after reading
        with pytest.raises(CheckpointError, match=f"does not fit the network .*: (ballast|{name})"):
            native.read_checkpoint(path)
