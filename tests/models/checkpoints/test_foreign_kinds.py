"""Foreign networks of unusual kinds: read as their formulas say, or refused with the reason."""

import contextlib
import datetime
import math
import pathlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import foreign_layouts
import nvidia_pickles
import plain_networks
from forgetting.errors import CheckpointError, RequestError
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3
from forgetting.models.checkpoints import native, pickle_reader
from forgetting.models.checkpoints.foreign import CheckpointFile, convert_file
from forgetting.models.checkpoints.inspect import inspect_file
from forgetting.models.latents import Seed
from forgetting.models.wrappers import WithMapping
from helpers import TINY, randomised, sample_ws

PAPER = {"activation": "relu", "output": "tanh"}


def decibels(picture, expected):
    assert expected.std() > 1e-3, "a flat picture shows nothing"
    error = float((picture - expected).square().mean())
    return 10 * math.log10(float(expected.max() - expected.min()) ** 2 / max(error, 1e-30))


def nvidia_file(folder, state, made_with, **how):
    network = nvidia_pickles.PersistentNetwork("Generator", state, made_with, **how)
    return nvidia_pickles.write_nvidia(folder / "n.pkl", {"G_ema": network})


def torch_file(folder, content):
    torch.save(content, folder / "n.pt")
    return folder / "n.pt"


def load(path, **settings):
    return CheckpointFile(str(path), **settings).load()


def refusal(path, **settings):
    """The sentence with which a file is refused."""
    with pytest.raises((CheckpointError, RequestError)) as caught:
        load(path, **settings)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message, message
    assert "damaged" not in message, message
    with contextlib.suppress(CheckpointError):
        dict(inspect_file(path))
    return message


def assert_like_the_formula(path, state, made_with):
    network = load(path)
    ws = sample_ws(network, 2).clone()
    ws[:, ::2] *= 0.7  # every use of ``w`` differs
    stylegan3 = "synthesis.input.freqs" in state
    formula = plain_networks.nvidia_stylegan3 if stylegan3 else plain_networks.nvidia_stylegan2
    assert decibels(network.bind(ws)(), formula(state, made_with, ws)) >= 100
    z = torch.randn(1, network.z_dim, generator=torch.Generator().manual_seed(1))
    w = plain_networks.nvidia_mapping(state, made_with, z)
    torch.testing.assert_close(network.mapping(z)[:, 0], w, rtol=1e-4, atol=1e-5)


def stylegan2(**settings):
    settings = {"channels": (8, 6, 5), "z_dim": 8, "mapping": (8,), **settings}
    network = randomised(StyleGAN2(**settings), 3)
    network.taps.copy_(torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8)
    return network


# Number 11: activations and everything else that the arguments say


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("activation", plain_networks.ACTIVATIONS)
def test_activations_of_the_synthesis(tmp_path, activation, nested):
    network = stylegan2(activation=activation, clamp=2.0)
    state, made_with = foreign_layouts.nvidia_stylegan2(network, nested=nested)
    (made_with["synthesis_kwargs"] if nested else made_with)["activation"] = activation
    path = nvidia_file(tmp_path, state, made_with)
    assert_like_the_formula(path, state, made_with)
    convert_file(path, tmp_path / "n.safetensors")
    ws = sample_ws(network)
    assert torch.equal(load(tmp_path / "n.safetensors").bind(ws)(), load(path).bind(ws)())


def test_activations_that_only_the_layers_say(tmp_path):
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2(activation="elu"))
    del made_with["synthesis_kwargs"]["activation"]
    convs = [f"synthesis.b{size}.conv{k}" for size in (4, 8, 16) for k in (0, 1)][1:]
    held = {conv: {"activation": "elu", "act_gain": 1.0} for conv in convs}
    path = nvidia_file(tmp_path, state, made_with, attributes=held)
    made_with["synthesis_kwargs"]["activation"] = "elu"
    assert_like_the_formula(path, state, made_with)
    held[convs[2]] = {"activation": "relu"}
    path = nvidia_file(tmp_path, state, made_with, attributes=held)
    assert "its layers differ in activation" in refusal(path)
    held = {conv: {"activation": "elu", "act_gain": 2.0} for conv in convs}
    path = nvidia_file(tmp_path, state, made_with, attributes=held)
    assert "the gain of its elu is 2.0" in refusal(path)


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-t"])
def test_arguments_that_are_not_known(tmp_path, name):
    network = TINY[name]()
    write = foreign_layouts.nvidia_stylegan2 if name == "stylegan2" else (
        foreign_layouts.nvidia_stylegan3
    )  # fmt: skip
    state, made_with = write(network)
    nested = made_with.get("synthesis_kwargs", {})
    for settings, argument in (
        ({"attention": True}, "attention=True"),
        ({"synthesis_kwargs": {**nested, "block": "novel"}}, "block='novel'"),
        ({"mapping_kwargs": {**made_with["mapping_kwargs"], "depth": 3}}, "depth=3"),
        ({"mapping_kwargs": {"activation": "relu"}}, "'relu'; we read lrelu"),
        *(
            [({"synthesis_kwargs": {**nested, "activation": "mish"}}, "'mish'; we read lrelu")]
            if name == "stylegan2"
            else []
        ),
    ):
        path = nvidia_file(tmp_path, state, made_with | settings)
        message = refusal(path)
        assert argument in message, message
        assert "of network that we do not read" in message, message


def test_positional_arguments(tmp_path):
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2())
    held = {"": {"_init_args": (9, 0, 8, 16, 3)}}
    rest = {"mapping_kwargs": made_with["mapping_kwargs"]}
    for arguments, expected in (((8, 0, 8, 16, 3), None), ((9, 0), "its z_dim is 9")):
        held = {"": {"_init_args": arguments}}
        path = nvidia_file(tmp_path, state, rest, attributes=held)
        if expected is None:
            assert_like_the_formula(path, state, rest)
        else:
            assert expected in refusal(path)


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_architectures(tmp_path, architecture):
    network = stylegan2(
        skip=architecture == "skip", residual=architecture == "resnet", clamp=1.0, image_channels=1
    )
    state, made_with = foreign_layouts.nvidia_stylegan2(network)
    made_with["synthesis_kwargs"]["architecture"] = architecture
    path = nvidia_file(tmp_path, state, made_with)
    assert_like_the_formula(path, state, made_with)
    other = "orig" if architecture != "orig" else "skip"
    made_with["synthesis_kwargs"]["architecture"] = other
    path = nvidia_file(tmp_path, state, made_with)
    assert f"its weights are those of {architecture}" in refusal(path)


def test_noise_that_is_not_used(tmp_path):
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2())
    quiet = {name: tensor for name, tensor in state.items() if ".noise_" not in name}
    made_with["synthesis_kwargs"]["use_noise"] = False
    for tensors in (quiet, state):
        path = nvidia_file(tmp_path, tensors, made_with)
        assert_like_the_formula(path, quiet, made_with)


# Number 12: half precision


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3-t"])
def test_half_precision(tmp_path, name):
    network = randomised(StyleGAN3(16, (8, 6, 5), 8, (8,), margin=2), 5)
    write = foreign_layouts.nvidia_stylegan3
    if name == "stylegan2":
        network, write = stylegan2(), foreign_layouts.nvidia_stylegan2
    state, made_with = write(network)
    half = {key: tensor.half() for key, tensor in state.items()}
    path = nvidia_file(tmp_path, half, made_with)
    state = {key: tensor.float() for key, tensor in half.items()}
    assert_like_the_formula(path, state, made_with)


def test_half_precision_of_the_port(tmp_path):
    network = stylegan2()
    half = {key: one.half() for key, one in foreign_layouts.rosinality(network).items()}
    read = load(torch_file(tmp_path, {"g_ema": half, "latent_avg": network.style.w_avg.half()}))
    ws = sample_ws(read)
    full = {key: tensor.float() for key, tensor in half.items()}
    assert decibels(read.bind(ws)(), plain_networks.port_stylegan2(full, ws)) >= 100


# Number 13: low-passes, wavelets, and what a state dict does not say

KERNELS = [(1, 1), (1, 2, 1), (1, 3, 2, 1), (1, 4, 6, 4, 1), (1, 5, 10, 10, 5, 1)]


@pytest.mark.parametrize("picture", [(1, 3, 3, 1), (1, 2, 1)])
@pytest.mark.parametrize("maps", KERNELS)
def test_low_passes_of_the_port(tmp_path, maps, picture):
    state = foreign_layouts.rosinality(stylegan2(channels=(8, 6, 5, 4)))
    for name in state:
        if name.endswith(".kernel"):
            row = torch.tensor(picture if "upsample" in name else maps).float()
            state[name] = torch.outer(row, row) / row.sum() ** 2 * 4
    read = load(torch_file(tmp_path, {"g_ema": state, "latent_avg": torch.zeros(8)}))
    ws = sample_ws(read)
    assert decibels(read.bind(ws)(), plain_networks.port_stylegan2(state, ws)) >= 100


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
@pytest.mark.parametrize("maps", [*KERNELS, tuple(range(1, 13))])
def test_low_passes_of_nvidia(tmp_path, maps, architecture):
    network = stylegan2(skip=architecture == "skip", residual=architecture == "resnet")
    state, made_with = foreign_layouts.nvidia_stylegan2(network)
    for name in state:
        if name.endswith("resample_filter"):
            row = torch.tensor(maps).float() / sum(maps)
            state[name] = row if len(row) >= 8 else torch.outer(row, row)
    made_with["synthesis_kwargs"] |= {"resample_filter": list(maps), "architecture": architecture}
    assert_like_the_formula(nvidia_file(tmp_path, state, made_with), state, made_with)


def test_low_passes_that_are_not_read(tmp_path):
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2())
    for kernel, match in (
        (torch.ones(4, 4) + torch.eye(4), "we read at most 32 taps, the same in both directions"),
        (torch.ones(40) / 40, "at most 32 taps"),
        (torch.zeros(4, 4), "at most 32 taps"),
        (torch.ones(2, 2, 2), "at most 32 taps"),
        (torch.ones(4, 4) / 16, "different low-passes"),
    ):
        only = "synthesis.b8.conv0" if match == "different low-passes" else "synthesis"
        changed = {
            name: kernel if name.endswith("resample_filter") and name.startswith(only) else tensor
            for name, tensor in state.items()
        }
        assert match in refusal(nvidia_file(tmp_path, changed, made_with))


def test_wavelets(tmp_path):
    """A SWAGAN has twelve channels at a half of its resolution, and buffers of wavelets."""
    state = foreign_layouts.rosinality(stylegan2(image_channels=12))
    haar = {f"{name}.{band}": torch.ones(2, 2) / 2 for name in ("iwt", "to_rgbs.0.dwt")
            for band in ("ll", "lh", "hl", "hh")}  # fmt: skip
    path = torch_file(tmp_path, {"g_ema": state | haar})
    assert "it is a SWAGAN" in refusal(path)
    path = torch_file(tmp_path, {"g_ema": state})
    assert "12 channels" in refusal(path)


def sequential(activation, output, strides=(2, 2, 2), kernels=(4, 4, 4, 4)):
    """A DCGAN as people write it."""
    torch.manual_seed(0)
    widths, layers = (10, 8, 6, 5, 3), []
    for k, kernel in enumerate(kernels):
        stride = strides[k - 1] if k else 1
        padding = (kernel - stride + 1) // 2 if k else 0
        extra = (kernel - stride) % 2 if k else 0
        layers.append(
            nn.ConvTranspose2d(widths[k], widths[k + 1], kernel, stride, padding, extra, bias=False)
        )
        nn.init.normal_(layers[-1].weight, std=0.3)
        layers += [output] if k == 3 else [nn.BatchNorm2d(widths[k + 1]), activation]
    network = nn.Sequential(*layers).eval()
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
    return network


@pytest.mark.parametrize(
    ("activation", "settings"),
    [
        (nn.ReLU(), {"activation": "relu"}),
        (nn.LeakyReLU(0.2), {"activation": "lrelu", "slope": 0.2}),
        (nn.LeakyReLU(0.01), {"activation": "lrelu", "slope": 0.01}),
        (nn.ELU(), {"activation": "elu"}),
        (nn.SiLU(), {"activation": "swish"}),
    ],
)
@pytest.mark.parametrize(
    ("output", "name"), [(nn.Tanh(), "tanh"), (nn.Sigmoid(), "sigmoid"), (nn.Identity(), "linear")]
)
def test_what_the_state_dict_of_a_dcgan_does_not_say(tmp_path, activation, settings, output, name):
    network = sequential(activation, output)
    path = torch_file(tmp_path, network.state_dict())
    read = load(path, output=name, **settings)
    z = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    expected = network(z[:, :, None, None]).detach()
    expected = expected * 2 - 1 if name == "sigmoid" else expected
    assert decibels(read.bind(read.mapping(z))(), expected) >= 100
    convert_file(
        path,
        tmp_path / "n.safetensors",
        None,
        CheckpointFile("x", output=name, **settings).settings(),
    )
    assert torch.equal(load(tmp_path / "n.safetensors").bind(z[:, None])(), read.bind(z[:, None])())
    layer = read.layers[0]
    assert torch.allclose(
        read.bias_only_output(layer)[0, :, 0, 0],
        activation(network[1](torch.zeros(1, 8, 1, 1)))[0, :, 0, 0],
        atol=1e-5,
    )


def test_strides_of_a_dcgan(tmp_path):
    network = sequential(nn.ReLU(), nn.Tanh(), strides=(2, 1, 2), kernels=(4, 5, 3, 4))
    path = torch_file(tmp_path, network.state_dict())
    message = refusal(path)
    assert (
        "add generator.activation=relu generator.output=tanh generator.strides=[2,2,2]" in message
    )
    read = load(path, **PAPER, strides=[2, 1, 2])
    z = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    picture = read.bind(read.mapping(z))()
    assert picture.shape == (2, 3, 16, 16)
    assert decibels(picture, network(z[:, :, None, None]).detach()) >= 100
    assert [layer.name for layer in read.layers] == ["b4.conv", "b8.conv", "b8.conv1"]
    assert "32 x 32" in dict(inspect_file(path))["network"]
    for strides, match in (
        ((2, 2), "4 convolutions needs"),
        ((2, 1, 1), "cannot multiply"),
        ((2, 1, 5), "cannot multiply"),
    ):
        assert match in refusal(path, **PAPER, strides=strides)


def test_settings_are_asked_for_and_refused(tmp_path):
    path = torch_file(tmp_path, foreign_layouts.dcgan(TINY["dcgan"]()))
    message = refusal(path)
    assert "add generator.activation=relu generator.output=tanh if" in message
    assert "strides" not in message
    report = dict(inspect_file(path))
    assert report["network"].startswith("dcgan, 32 x 32")
    assert "add generator.activation=relu generator.output=tanh" in report["does not say"]
    assert "add generator.slope=0.2 if" in refusal(path, activation="lrelu", output="tanh")
    for settings, match in (
        ({"activation": "sine"}, "no activation 'sine'"),
        ({"output": "relu"}, "no output 'relu'"),
        ({"activation": "relu", "slope": 0.2}, "leave out the slope"),
        ({"slope": 0.2}, "belongs to the activation lrelu"),
        ({"activation": "lrelu", "slope": 2.0}, "between 0 and 1"),
        ({"strides": (0,)}, "between 1 and 8"),
    ):
        with pytest.raises(RequestError, match=match):
            CheckpointFile(str(path), **settings)
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2())
    path = nvidia_file(tmp_path, state, made_with)
    assert "leave out generator.activation=relu" in refusal(path, activation="relu")
    convert_file(path, tmp_path / "n.safetensors")
    message = refusal(tmp_path / "n.safetensors", output="tanh")
    assert "leave out generator.output=tanh" in message


def test_settings_of_the_verb_that_converts(command_line, tmp_path):
    path = torch_file(tmp_path, foreign_layouts.dcgan(TINY["dcgan"]()))
    into = str(tmp_path / "n.safetensors")
    result = command_line("models", "convert", str(path), into)
    assert result.exit_code == 2
    assert "add --activation relu --output tanh if" in " ".join(result.output.split())
    options = ("--activation", "lrelu", "--slope", "0.3", "--output", "sigmoid")
    result = command_line("models", "convert", str(path), into, *options, "--strides", "2,2,2")
    assert result.exit_code == 0, result.output
    described = dict(inspect_file(tmp_path / "n.safetensors"))["network"]
    assert described.endswith("activation lrelu, slope 0.3, output sigmoid")
    result = command_line("models", "convert", str(path), into, "--strides", "two")
    assert result.exit_code == 2
    assert "whole numbers such as 2,2,1,2" in " ".join(result.output.split())


def test_a_fingerprint_depends_on_what_the_weights_do_not_say():
    prints = {
        native.fingerprint(randomised(DCGAN((8, 6), 10, **settings), 1))
        for settings in (
            {},
            {"activation": "relu", "strides": (2, 2)},
            {"activation": "elu"},
            {"output": "sigmoid"},
            {"activation": "lrelu", "slope": 0.1},
            {"activation": "lrelu", "slope": 0.2},
        )
    }
    assert len(prints) == 5
    assert native.fingerprint(stylegan2()) != native.fingerprint(stylegan2(activation="relu"))


# Number 14: no tensor is left out in silence


def attentive(state, name):
    """The state dict with a tensor that no reader knows."""
    return state | {name: torch.ones(3, 3)}


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("stylegan2", "synthesis.b8.attention"),
        ("stylegan2", "synthesis.b8.conv1.gate.weight"),
        ("stylegan2", "mapping.style_bank"),
        ("stylegan2", "synthesis.b4.conv1.resample_filter2"),
        ("stylegan3-t", "synthesis.L1_20_6.attention"),
        ("stylegan3-t", "mapping.fc7.bias"),
    ],
)
def test_tensors_that_no_reader_knows(tmp_path, name, extra):
    write = foreign_layouts.nvidia_stylegan2 if name == "stylegan2" else (
        foreign_layouts.nvidia_stylegan3
    )  # fmt: skip
    state, made_with = write(TINY[name]())
    load(nvidia_file(tmp_path, state, made_with))
    path = nvidia_file(tmp_path, attentive(state, extra), made_with)
    assert f"it has {extra}, which no network that we read has" in refusal(path)


@pytest.mark.parametrize("extra", ["convs.1.attention.weight", "convs.9.conv.weight", "film"])
def test_tensors_that_the_ports_reader_does_not_know(tmp_path, extra):
    state = attentive(foreign_layouts.rosinality(stylegan2()), extra)
    path = torch_file(tmp_path, {"g_ema": state, "latent_avg": torch.zeros(8)})
    assert f"it has {extra}, which no network that we read has" in refusal(path)


def test_tensors_that_the_reader_of_dcgans_does_not_know(tmp_path):
    state = foreign_layouts.dcgan(TINY["dcgan"]())
    load(torch_file(tmp_path, state | {"main.1.num_batches_tracked": torch.tensor(3)}), **PAPER)
    path = torch_file(tmp_path, attentive(state, "main.3.attention"))
    assert "it has main.3.attention, which no" in refusal(path, **PAPER)


# Number 15: refused for small reasons


@pytest.mark.parametrize("name", ["stylegan2", "stylegan3"])
def test_networks_without_a_centre_of_truncation(tmp_path, name):
    if name == "stylegan2":
        network = stylegan2(centre=False)
        state, made_with = foreign_layouts.nvidia_stylegan2(network)
    else:
        network = randomised(StyleGAN3(16, (8, 6, 5), 8, (8,), margin=2, centre=False), 5)
        state, made_with = foreign_layouts.nvidia_stylegan3(network)
    made_with["mapping_kwargs"]["w_avg_beta"] = None
    path = nvidia_file(tmp_path, state, made_with)
    assert_like_the_formula(path, state, made_with)
    convert_file(path, tmp_path / "n.safetensors")
    for read in (load(path), load(tmp_path / "n.safetensors")):
        for generator in (read, WithMapping(read)):
            Seed(psi=1.0).sample(generator)
            with pytest.raises(RequestError, match=r"no centre.*set latent.psi=1, got 0.7"):
                Seed(psi=0.7).sample(generator)


def test_notes_of_a_training_run(tmp_path):
    notes = {
        "outdir": pathlib.PurePosixPath("/results/00001"),
        "windows": pathlib.PureWindowsPath("C:/results"),
        "began": datetime.datetime(2022, 3, 1, 12, tzinfo=datetime.UTC),
        "day": datetime.date(2022, 3, 1),
        "took": datetime.timedelta(hours=40),
    }
    for protocol in (2, 4, 5):
        _, path = nvidia_pickles.write_tiny_network(
            tmp_path / "n.pkl", "stylegan2", protocol, more={"notes": notes, **notes}
        )
        load(path)
    assert "datetime.datetime" in dict(inspect_file(path))["asks for"]
    for zipped in (True, False):
        state = foreign_layouts.rosinality(stylegan2())
        content = {"g_ema": state, "latent_avg": torch.zeros(8), "args": notes}
        torch.save(content, tmp_path / "n.pt", _use_new_zipfile_serialization=zipped)
        load(tmp_path / "n.pt")


def test_networks_within_an_encoders_file(tmp_path):
    network = stylegan2()
    path = torch_file(tmp_path, foreign_layouts.encoder(network))
    read = load(path)
    assert torch.equal(read.style.w_avg, network.style.w_avg)
    ws = sample_ws(read)
    state = foreign_layouts.rosinality(network)
    assert decibels(read.bind(ws)(), plain_networks.port_stylegan2(state, ws)) >= 100
    report = dict(inspect_file(path))
    assert report["networks"] == "state_dict.encoder, state_dict.decoder"
    assert report["taken"].startswith("state_dict.decoder")
    uneven = foreign_layouts.encoder(network)
    uneven["latent_avg"][1] += 1
    assert "differs from layer to layer" in refusal(torch_file(tmp_path, uneven))


def test_networks_of_one_state_dict(tmp_path):
    """As frameworks for training write them: all networks of a run, with prefixes."""
    generator = {
        f"generator.{name}": tensor
        for name, tensor in foreign_layouts.dcgan(TINY["dcgan"]()).items()
    }
    discriminator = {f"discriminator.{k}.weight": torch.ones(7, 5, 4, 4) for k in range(4)}
    path = torch_file(tmp_path, {"state_dict": generator | discriminator, "epoch": 3})
    w = sample_ws(TINY["dcgan"]())
    torch.testing.assert_close(load(path, **PAPER).bind(w)(), TINY["dcgan"]().bind(w)())


def test_a_network_beside_loose_tensors(tmp_path):
    state = foreign_layouts.dcgan(TINY["dcgan"]())
    content = {f"loss{k}": torch.ones(3) for k in range(4)} | {"netG": state}
    load(torch_file(tmp_path, content), network="netG", **PAPER)


@pytest.mark.parametrize(("oversampling", "kernel"), [(1, 3), (1, 1), (2, 3), (4, 3)])
def test_oversampling_of_stylegan3(tmp_path, oversampling, kernel):
    network = StyleGAN3(
        32, (8, 6, 5, 4), 8, (8,), kernel=kernel, margin=2, oversampling=oversampling
    )
    state, made_with = foreign_layouts.nvidia_stylegan3(randomised(network, 5))
    assert_like_the_formula(nvidia_file(tmp_path, state, made_with), state, made_with)


def test_the_number_of_layers_of_stylegan3_is_not_that_of_its_mapping(tmp_path):
    network = randomised(StyleGAN3(16, (8, 6, 5), 8, (8,), margin=2), 5)
    state, made_with = foreign_layouts.nvidia_stylegan3(network)
    made_with["num_layers"] = 3
    del made_with["mapping_kwargs"]["num_layers"]
    assert_like_the_formula(nvidia_file(tmp_path, state, made_with), state, made_with)
    made_with["num_layers"] = 5
    assert "its num_layers is not" in refusal(nvidia_file(tmp_path, state, made_with))


def test_resolutions_with_a_gap(tmp_path):
    state, made_with = foreign_layouts.nvidia_stylegan2(stylegan2())
    gap = {name: tensor for name, tensor in state.items() if ".b8." not in name}
    assert "its resolutions are [4, 16]" in refusal(nvidia_file(tmp_path, gap, made_with))


def test_safetensors_whose_length_begins_like_a_pickle(tmp_path):
    """One in 32 such files does."""
    for size in range(64):
        path = tmp_path / f"{size}.safetensors"
        save_file({"a": torch.zeros(2)}, path, {"note": "x" * 4 * size})
        assert pickle_reader.file_kind(path) == "safetensors"
