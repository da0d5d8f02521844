import argparse
import contextlib
import re

import pytest
import torch

import foreign_layouts
import nvidia_pickles
from forgetting.errors import CheckpointError, RequestError
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.checkpoints.foreign import CheckpointFile, convert_file
from forgetting.models.checkpoints.inspect import inspect_file
from helpers import TINY, randomised, sample_ws

pytestmark = pytest.mark.slow


def assert_same_pictures(one, other):
    """Assert equal pictures up to rounding; the scaling by fan-in is not always a power of two."""
    torch.testing.assert_close(
        one.bind(sample_ws(one))(), other.bind(sample_ws(other))(), rtol=1e-4, atol=1e-5
    )


def test_settings_are_read_from_objects_where_arguments_lack_them(tmp_path):
    network = randomised(StyleGAN2((10, 8), (4, 4), 8, (8, 12), clamp=0.5), 3)
    state, made_with = foreign_layouts.nvidia_stylegan2(network)
    del made_with["synthesis_kwargs"]["conv_clamp"]
    whole = nvidia_pickles.PersistentNetwork(
        "Generator", state, made_with, attributes={"synthesis.b4": {"conv_clamp": 0.5}}
    )
    path = nvidia_pickles.write_nvidia(tmp_path / "n.pkl", {"G_ema": whole})
    assert_same_pictures(CheckpointFile(str(path)).load(), network)


def refusal(path, **settings):
    """Return the sentence with which a network is refused; inspecting the file does not crash."""
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        CheckpointFile(str(path), **settings).load()
    message = str(caught.value)
    assert "\n" not in message, message
    assert len(message) < len(str(path)) + 500, message
    with contextlib.suppress(CheckpointError):
        dict(inspect_file(path))
    return message


@pytest.mark.parametrize("name", ["stylegan2-orig", "stylegan3-t"])
def test_networks_with_a_part_missing_or_of_another_shape(tmp_path, name):
    network, write = (
        TINY[name](),
        foreign_layouts.nvidia_stylegan2
        if name == "stylegan2-orig"
        else foreign_layouts.nvidia_stylegan3,
    )
    state, made_with = write(network)
    # A network works without these, or has several of them.
    optional = ("noise_const", "noise_strength", "resample_filter", "w_avg")
    for key in state:
        bad = [{k: v for k, v in state.items() if k != key}] if not key.endswith(optional) else []
        if state[key].ndim:
            bad += [state | {key: state[key][..., :-1]}, state | {key: state[key][None]}]
        bad.append(state | {key: torch.full_like(state[key], torch.nan)})
        for broken in bad:
            path = nvidia_pickles.write_nvidia(
                tmp_path / "n.pkl",
                {"G_ema": nvidia_pickles.PersistentNetwork("Generator", broken, made_with)},
            )
            message = None
            try:
                CheckpointFile(str(path)).load()
            except CheckpointError:
                message = refusal(path)
            assert message or key.endswith("resample_filter"), key  # some are not used


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-t"])
def test_networks_with_strange_settings(tmp_path, name):
    network, write = (
        TINY[name](),
        foreign_layouts.nvidia_stylegan2
        if name == "stylegan2"
        else foreign_layouts.nvidia_stylegan3,
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
    for settings in strange:
        whole = nvidia_pickles.PersistentNetwork("Generator", state, made_with | settings)
        try:
            path = nvidia_pickles.write_nvidia(tmp_path / "n.pkl", {"G_ema": whole})
            network = CheckpointFile(str(path)).load()
        except CheckpointError:
            refusal(tmp_path / "n.pkl")
        else:  # some are only odd: they make pictures
            network.bind(sample_ws(network))()


def test_sizes_that_no_weights_prove(tmp_path):
    """Names in a file say how often a size doubles; what they claim is not allocated."""
    one = {
        "input.input": torch.zeros(1, 1, 4, 4),
        "style.1.weight": torch.ones(2, 2),
    }
    one |= {"style.1.bias": torch.zeros(2)}
    fields = {"conv.modulation.weight": torch.ones(1, 2), "conv.modulation.bias": torch.ones(1)}
    conv = {
        "conv.weight": torch.ones(1, 1, 1, 3, 3),
        "activate.bias": torch.zeros(1),
        "noise.weight": torch.ones(1),
    }
    to_image = {"conv.weight": torch.ones(1, 3, 1, 1, 1), "bias": torch.zeros(1, 3, 1, 1)}
    for name in ("conv1", *(f"convs.{k}" for k in range(40))):
        one |= {f"{name}.{field}": value.clone() for field, value in (fields | conv).items()}
    for name in ("to_rgb1", *(f"to_rgbs.{k}" for k in range(20))):
        one |= {f"{name}.{field}": value.clone() for field, value in (fields | to_image).items()}
    kernels = [*(f"convs.{2 * k}.conv.blur" for k in range(20))]
    kernels += [f"to_rgbs.{k}.upsample" for k in range(20)]
    one |= {f"{name}.kernel": torch.ones(4, 4) / 4 for name in kernels}
    torch.save({"g_ema": one, "latent_avg": torch.zeros(2)}, tmp_path / "n.pt")
    assert "larger than 8192" in refusal(tmp_path / "n.pt")
    wide = {
        f"style.1.{field}": torch.zeros(shape)
        for field, shape in (("weight", (2, 10**5)), ("bias", (2,)))
    }
    torch.save({"g_ema": one | wide}, tmp_path / "n.pt")
    assert "wider" in refusal(tmp_path / "n.pt")
    chain = {f"main.{k}.weight": torch.ones(1, 1, 4, 4) for k in range(20)}
    torch.save(chain, tmp_path / "n.pt")
    assert "larger than 8192" in refusal(tmp_path / "n.pt", activation="relu", output="tanh")
    state, made_with = foreign_layouts.nvidia_stylegan3(TINY["stylegan3-t"]())
    renamed = {
        re.sub(r"L(\d+)_16_3", rf"L\1_{2**40}_3", key): value for key, value in state.items()
    }
    assert renamed.keys() != state.keys()
    nvidia_pickles.write_nvidia(
        tmp_path / "n.pkl",
        {"G_ema": nvidia_pickles.PersistentNetwork("Generator", renamed, made_with)},
    )
    assert "larger than 8192" in refusal(tmp_path / "n.pkl")


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", [name for name in TINY if name.startswith("stylegan")])
def test_round_trips_through_nvidias_layouts(tmp_path, name, protocol):
    for number, how in enumerate(
        [{}, {"rate": 1.0}, *([{"nested": False}] if name.startswith("stylegan2") else [])]
    ):
        network, path = nvidia_pickles.write_tiny_network(
            tmp_path / f"{number}.pkl", name, protocol, **how
        )
        assert_same_pictures(CheckpointFile(str(path)).load(), network)


@pytest.mark.parametrize("old", [False, True])
def test_round_trips_through_the_ports_layout(tmp_path, old):
    network = randomised(StyleGAN2((10, 8, 6), (4, 5), 8, (8, 12)), 3)
    whole = {
        "g": {},
        "g_ema": foreign_layouts.rosinality(network),
        "latent_avg": network.style.w_avg,
    }
    for name, content in (
        ("args", whole | {"args": argparse.Namespace(size=16)}),
        ("plain", whole),
        ("bare", whole["g_ema"]),
    ):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not old)
        read = CheckpointFile(str(tmp_path / name)).load()
        if (
            name == "bare"
        ):  # its w_avg is a mean over many faces; without truncation it has no effect
            read.style.w_avg.copy_(network.style.w_avg)
        assert_same_pictures(read, network)


@pytest.mark.parametrize("old", [False, True])
def test_round_trips_of_dcgans(tmp_path, old):
    for name in ("dcgan", "dcgan-conditional"):
        network = TINY[name]()
        for number, content in enumerate(
            [
                foreign_layouts.dcgan(network),
                {"netG": foreign_layouts.dcgan(network, "module.main."), "epoch": 3},
            ]
        ):
            torch.save(
                content, tmp_path / f"{name}{number}", _use_new_zipfile_serialization=not old
            )
            path = tmp_path / f"{name}{number}"
            strides = [2, 2, 2] if name == "dcgan-conditional" else None
            read = CheckpointFile(
                str(path), activation="relu", output="tanh", strides=strides
            ).load()
            w = sample_ws(network)
            torch.testing.assert_close(read.bind(w)(), network.bind(w)())


def test_a_foreign_file_becomes_ours(tmp_path):
    network, path = nvidia_pickles.write_tiny_network(tmp_path / "net.pkl", "stylegan2")
    convert_file(path, tmp_path / "net.safetensors")
    assert_same_pictures(CheckpointFile(str(tmp_path / "net.safetensors")).load(), network)
    with pytest.raises(RequestError, match=r"name it .*net2.safetensors"):
        convert_file(path, tmp_path / "net2.pt")
    with pytest.raises(CheckpointError, match="is a safetensors file already"):
        convert_file(tmp_path / "net.safetensors", tmp_path / "again.safetensors")


def test_other_networks_of_a_file(tmp_path):
    _, path = nvidia_pickles.write_tiny_network(tmp_path / "net.pkl", "stylegan2")
    with pytest.raises(CheckpointError, match="holds no network 'H'; it holds G, D, G_ema"):
        CheckpointFile(str(path), "H").load()
    with pytest.raises(CheckpointError, match="net.pkl: G "):
        CheckpointFile(str(path), "G").load()  # it is incomplete
    with pytest.raises(RequestError, match="set generator.path="):
        CheckpointFile("")
