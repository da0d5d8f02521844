import argparse
import collections
import contextlib
import json
import os
import re
from pathlib import Path

import foreign
import numpy as np
import persistent
import pytest
import torch
from conftest import TINY, faces, randomised
from safetensors.torch import save_file

from forgetting.errors import CheckpointError, RequestError
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.checkpoints import native, nvidia, rosinality
from forgetting.models.checkpoints.foreign import CheckpointFile, convert_file
from forgetting.models.checkpoints.inspect import inspect_file
from forgetting.models.checkpoints.openvino_ir import Graph

KINDS = {cls: name for name, cls in native.ARCHITECTURES.items()}


def write(generator, path):
    native.write_checkpoint(
        path, KINDS[type(generator)], generator.hyperparameters, generator.state_dict(), "a test"
    )
    return path


def test_round_trip(tiny, tmp_path):
    again = native.read_checkpoint(write(tiny, tmp_path / "net.safetensors"))
    assert native.fingerprint(again) == native.fingerprint(tiny)
    assert torch.equal(again.bind(faces(again))(), tiny.bind(faces(tiny))())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_a_fingerprint_notices_every_bit(tiny):
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


DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.npz")), ids=lambda path: path.stem)
def test_images_of_the_original_implementations(path):
    """Relative error of ``ws`` and of the image; measured are 6e-7 and 1e-6 at most."""
    arrays = np.load(path, allow_pickle=False)
    made_with = json.loads(str(arrays["__init_kwargs__"]))
    state = {
        name: torch.from_numpy(arrays[name]) for name in arrays.files if not name.startswith("__")
    }
    if "__latent_avg__" in arrays:
        found = rosinality.convert(state, torch.from_numpy(arrays["__latent_avg__"]))
    else:
        found = nvidia.convert(state, made_with)
    generator = native.build(*found, str(path))
    label = torch.eye(made_with["c_dim"])[:2] if made_with.get("c_dim") else None
    ws, image = torch.from_numpy(arrays["__ws__"]), torch.from_numpy(arrays["__img__"])
    ours = generator.mapping(torch.from_numpy(arrays["__z__"]).float(), 0.7, label)
    for found, expected in (
        (ours, ws),
        (generator.bind(ws)(), image),
        (generator.bind(ws[:1])(), image[:1]),
    ):
        error = float((found - expected).norm() / expected.norm())
        print(f"{path.stem}: {error:.1e}")
        assert error <= 1e-4


def same(one, other):
    """Whether two networks paint the same, up to rounding; the scaling by fan-in is not always a power of two."""
    torch.testing.assert_close(
        one.bind(faces(one))(), other.bind(faces(other))(), rtol=1e-4, atol=1e-5
    )


def test_what_the_file_does_not_say_stands_in_its_objects(tmp_path):
    network = randomised(StyleGAN2((10, 8), (4, 4), 8, (8, 12), clamp=0.5), 3)
    state, made_with = foreign.nvidia_stylegan2(network)
    del made_with["synthesis_kwargs"]["conv_clamp"]
    whole = persistent.Network(
        "Generator", state, made_with, attributes={"synthesis.b4": {"conv_clamp": 0.5}}
    )
    same(
        CheckpointFile(str(persistent.write_nvidia(tmp_path / "n.pkl", {"G_ema": whole})))(),
        network,
    )


def only_sentences(path):
    """The one sentence with which a network is refused, when it is opened and when it is looked at."""
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        CheckpointFile(str(path))()
    said = str(caught.value)
    assert "\n" not in said, said
    assert len(said) < len(str(path)) + 500, said
    with contextlib.suppress(CheckpointError):
        dict(inspect_file(path))
    return said


@pytest.mark.parametrize("name", ["stylegan2-orig", "stylegan3-t"])
def test_networks_with_a_part_missing_or_of_another_shape(tmp_path, name):
    network, write = (
        TINY[name](),
        foreign.nvidia_stylegan2 if name == "stylegan2-orig" else foreign.nvidia_stylegan3,
    )
    state, made_with = write(network)
    without = (
        "noise_const",
        "noise_strength",
        "resample_filter",
    )  # what a network can do without, or has several of
    for key in state:
        bad = [{k: v for k, v in state.items() if k != key}] if not key.endswith(without) else []
        if state[key].ndim:
            bad += [state | {key: state[key][..., :-1]}, state | {key: state[key][None]}]
        bad.append(state | {key: torch.full_like(state[key], torch.nan)})
        for one in bad:
            path = persistent.write_nvidia(
                tmp_path / "n.pkl", {"G_ema": persistent.Network("Generator", one, made_with)}
            )
            said = None
            try:
                CheckpointFile(str(path))()
            except CheckpointError:
                said = only_sentences(path)
            assert said or key.endswith("resample_filter"), key


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-t"])
def test_networks_with_strange_settings(tmp_path, name):
    network, write = (
        TINY[name](),
        foreign.nvidia_stylegan2 if name == "stylegan2" else foreign.nvidia_stylegan3,
    )
    state, made_with = write(network)
    more = made_with.get("synthesis_kwargs", {})
    strange = [{"synthesis_kwargs": value} for value in (3, "a", [1])] + [
        {"mapping_kwargs": value} for value in (3, "a", [1])
    ]
    strange += [
        {"mapping_kwargs": {"lr_multiplier": value}} for value in ("a", None, float("nan"), [1.0])
    ]
    strange += [{"mapping_kwargs": {"activation": value}} for value in ("relu", 3)]
    numbers = [
        key
        for key in made_with | more
        if key.startswith(("num_critical", "first", "last", "margin", "filter", "lrelu"))
    ]
    strange += [
        {key: value} for key in numbers for value in ("a", None, -1, 0.5, 10**9, float("inf"))
    ]
    strange += [
        {"synthesis_kwargs": more | {"conv_clamp": value}} for value in ("a", float("nan"), [256])
    ]
    for one in strange:
        whole = persistent.Network("Generator", state, made_with | one)
        try:
            network = CheckpointFile(
                str(persistent.write_nvidia(tmp_path / "n.pkl", {"G_ema": whole}))
            )()
        except CheckpointError:
            only_sentences(tmp_path / "n.pkl")
        else:  # some are only odd: they paint
            network.bind(faces(network))()


def test_sizes_that_no_weights_prove(tmp_path):
    """Only names in a file say how often a size doubles; nobody allocates what they claim."""
    one = {
        "input.input": torch.zeros(1, 1, 4, 4),
        "convs.0.conv.blur.kernel": torch.ones(4, 4) / 4,
        "style.1.weight": torch.ones(2, 2),
    }
    one |= {"style.1.bias": torch.zeros(2)}
    fields = {"conv.modulation.weight": torch.ones(1, 2), "conv.modulation.bias": torch.ones(1)}
    conv = {
        "conv.weight": torch.ones(1, 1, 1, 3, 3),
        "activate.bias": torch.zeros(1),
        "noise.weight": torch.ones(1),
    }
    paint = {"conv.weight": torch.ones(1, 3, 1, 1, 1), "bias": torch.zeros(1, 3, 1, 1)}
    for name in ("conv1", *(f"convs.{k}" for k in range(40))):
        one |= {f"{name}.{field}": value.clone() for field, value in (fields | conv).items()}
    for name in ("to_rgb1", *(f"to_rgbs.{k}" for k in range(20))):
        one |= {f"{name}.{field}": value.clone() for field, value in (fields | paint).items()}
    torch.save({"g_ema": one, "latent_avg": torch.zeros(2)}, tmp_path / "n.pt")
    assert "larger than 8192" in only_sentences(tmp_path / "n.pt")
    wide = {
        f"style.1.{field}": torch.zeros(shape)
        for field, shape in (("weight", (2, 10**5)), ("bias", (2,)))
    }
    torch.save({"g_ema": one | wide}, tmp_path / "n.pt")
    assert "wider" in only_sentences(tmp_path / "n.pt")
    chain = {f"main.{k}.weight": torch.ones(1, 1, 4, 4) for k in range(20)}
    torch.save(chain, tmp_path / "n.pt")
    assert "larger than 8192" in only_sentences(tmp_path / "n.pt")
    state, made_with = foreign.nvidia_stylegan3(TINY["stylegan3-t"]())
    renamed = {
        re.sub(r"L(\d+)_16_3", rf"L\1_{2**40}_3", key): value for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    persistent.write_nvidia(
        tmp_path / "n.pkl", {"G_ema": persistent.Network("Generator", renamed, made_with)}
    )
    assert "larger than 8192" in only_sentences(tmp_path / "n.pkl")


def nvidia_file(path, name, protocol=4, more=(), **how):
    network = TINY[name]()
    write = foreign.nvidia_stylegan2 if name.startswith("stylegan2") else foreign.nvidia_stylegan3
    state, made_with = write(network, **how)
    networks = {
        "G": persistent.network(),
        "D": persistent.network(),
        "G_ema": persistent.Network("Generator", state, made_with),
    }
    return network, persistent.write_nvidia(path, networks | dict(more), protocol)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", [name for name in TINY if name.startswith("stylegan")])
def test_round_trips_through_nvidias_layouts(tmp_path, name, protocol):
    for number, how in enumerate(
        [{}, {"rate": 1.0}, *([{"nested": False}] if name.startswith("stylegan2") else [])]
    ):
        network, path = nvidia_file(tmp_path / f"{number}.pkl", name, protocol, **how)
        same(CheckpointFile(str(path))(), network)


@pytest.mark.parametrize("old", [False, True])
def test_round_trips_through_the_ports_layout(tmp_path, old):
    network = randomised(StyleGAN2((10, 8, 6), (4, 5), 8, (8, 12)), 3)
    whole = {"g": {}, "g_ema": foreign.rosinality(network), "latent_avg": network.style.w_avg}
    for name, content in (
        ("args", whole | {"args": argparse.Namespace(size=16)}),
        ("plain", whole),
        ("bare", whole["g_ema"]),
    ):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not old)
        found = CheckpointFile(str(tmp_path / name))()
        if (
            name == "bare"
        ):  # its centre is a mean over many faces, which changes nothing without truncation
            found.style.w_avg.copy_(network.style.w_avg)
        same(found, network)


@pytest.mark.parametrize("old", [False, True])
def test_round_trips_of_dcgans(tmp_path, old):
    for name in ("dcgan", "dcgan-conditional"):
        network = TINY[name]()
        for number, content in enumerate(
            [foreign.dcgan(network), {"netG": foreign.dcgan(network, "module.main."), "epoch": 3}]
        ):
            torch.save(
                content, tmp_path / f"{name}{number}", _use_new_zipfile_serialization=not old
            )
            found = CheckpointFile(str(tmp_path / f"{name}{number}"))()
            w = faces(network)
            torch.testing.assert_close(found.bind(w)(), network.bind(w)())


def test_a_foreign_file_becomes_ours(tmp_path):
    network, path = nvidia_file(tmp_path / "net.pkl", "stylegan2")
    convert_file(path, tmp_path / "net.safetensors")
    same(CheckpointFile(str(tmp_path / "net.safetensors"))(), network)
    with pytest.raises(RequestError, match=r"name it .*net2.safetensors"):
        convert_file(path, tmp_path / "net2.pt")
    with pytest.raises(CheckpointError, match="is a safetensors file already"):
        convert_file(tmp_path / "net.safetensors", tmp_path / "again.safetensors")


def test_what_is_told_of_a_file(tmp_path):
    _, path = nvidia_file(tmp_path / "net.pkl", "stylegan2")
    told = dict(inspect_file(path))
    assert told["networks"] == "G, D, G_ema"
    assert told["network"] == "stylegan2, 16 x 20, 3 classes, z of 8, 38 units in 5 layers"
    assert "torch_utils.persistence._reconstruct_persistent_obj" in told["asks for"]
    assert "it is not run" in told["source code"]
    convert_file(path, tmp_path / "net.safetensors")
    told = dict(inspect_file(tmp_path / "net.safetensors"))
    assert told["network"].startswith("stylegan2, 16 x 20, 3 classes")
    assert told["provenance"].startswith("net.pkl sha256:")


def test_everything_that_a_refused_file_asks_for_is_told(tmp_path):
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
    _, path = nvidia_file(tmp_path / "net.pkl", "stylegan2", more=evil)
    with pytest.raises(
        CheckpointError, match=f"asks for {os.name}.system, which no checkpoint needs"
    ):
        CheckpointFile(str(path))()
    told = dict(inspect_file(path))
    assert told["network"].startswith("stylegan2, 16 x 20")
    assert told["refused"].startswith("collections.Counter, which is of no kind")
    assert all(
        name in told["refused"]
        for name in ("pathlib", f"{os.name}.system, which no checkpoint needs")
    )


def test_other_networks_of_a_file(tmp_path):
    _, path = nvidia_file(tmp_path / "net.pkl", "stylegan2")
    with pytest.raises(CheckpointError, match="holds no network 'H'; it holds G, D, G_ema"):
        CheckpointFile(str(path), "H")()
    with pytest.raises(CheckpointError, match="net.pkl: G "):
        CheckpointFile(str(path), "G")()  # a stump
    with pytest.raises(RequestError, match="say generator.path="):
        CheckpointFile("")
