import pytest
import torch
from conftest import faces
from safetensors.torch import save_file

from forgetting import checkpoints
from forgetting.checkpoints.openvino_ir import Graph
from forgetting.errors import CheckpointError

KINDS = {cls: name for name, cls in checkpoints.ARCHITECTURES.items()}


def write(generator, path):
    checkpoints.write(path, KINDS[type(generator)], generator.hyperparameters, generator.state_dict(), "a test")
    return path


def test_round_trip(tiny, tmp_path):
    again = checkpoints.read(write(tiny, tmp_path / "net.safetensors"))
    assert checkpoints.fingerprint(again) == checkpoints.fingerprint(tiny)
    assert torch.equal(again.bind(faces(again))(), tiny.bind(faces(tiny))())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_a_fingerprint_notices_every_bit(tiny):
    before = checkpoints.fingerprint(tiny)
    parameter = next(tiny.parameters())
    parameter.view(-1)[0] = torch.nextafter(parameter.view(-1)[0], torch.tensor(9.0))
    assert checkpoints.fingerprint(tiny) != before


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
    save_file(state, tmp_path / "wrong-setting", metadata | {"hyperparameters": '{"width": 3}'})
    save_file(state, tmp_path / "wrong-shape", metadata | {"hyperparameters": '{"channels": [8, 8]}'})
    save_file({name: t for name, t in state.items() if name != "const"}, tmp_path / "missing-key", metadata)
    (tmp_path / "good.safetensors").unlink()
    files = list(tmp_path.iterdir())
    assert len(files) == 10
    for path in files:
        with pytest.raises(CheckpointError, match=str(path)) as caught:
            checkpoints.read(path)
        assert "\n" not in str(caught.value)


def test_a_graph_that_is_none():
    with pytest.raises(CheckpointError, match="not an OpenVINO IR"):
        Graph(b"<net", b"", "net.xml")
    xml = b"""<net><layers><layer id="0" type="Const" name="w"><data element_type="f32" shape="2" offset="0" size="8"/></layer>
    </layers><edges/></net>"""
    assert Graph(xml, bytes(8), "net.xml").named("w").tolist() == [0, 0]
    with pytest.raises(CheckpointError, match="constant 'w' cannot be read"):
        Graph(xml, bytes(4), "net.xml").named("w")
    with pytest.raises(CheckpointError, match="has no constant 'v'"):
        Graph(xml, bytes(8), "net.xml").named("v")
