"""Noise modes."""

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Prune
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.latents import Seed
from forgetting.models.noise import AnimatedNoise, ConstantNoise, NoNoise
from forgetting.models.wrappers import WithMapping
from helpers import TINY, needs_openvino, randomised, render, sample_ws

NOISY = ["stylegan2", "stylegan2-orig", "mobile_stylegan"]


def noise_of(network, ws):
    """Return the noise that a picture is made with, by layer."""
    noise = {}

    def edit(x, layer):
        if layer.kind == "noise":
            noise[layer.name] = x.clone()
        return x

    network.bind(ws, edit)
    return noise


@pytest.mark.parametrize("name", NOISY)
def test_edits_see_all_noise(name):
    network = TINY[name]()
    noise = noise_of(network, sample_ws(network))
    assert list(noise) == [f"noise/{layer.name}" for layer in network.layers]
    assert [x.shape for x in noise.values()] == [(1, 1, *layer.size) for layer in network.layers]
    assert torch.equal(
        network.bind(sample_ws(network), lambda x, layer: x)(), network.bind(sample_ws(network))()
    )

    def silence(x, layer):
        return x * 0 if layer.kind == "noise" else x

    assert torch.equal(
        network.bind(sample_ws(network), silence)(),
        NoNoise().apply(TINY[name]()).bind(sample_ws(network))(),
    )
    assert not torch.equal(
        network.bind(sample_ws(network), silence)(), network.bind(sample_ws(network))()
    )


@pytest.mark.parametrize("name", NOISY)
def test_animated_noise_keeps_its_strength(name):
    network = TINY[name]()
    animated, frames = AnimatedNoise(turns=3).apply(network), 24
    ws = Seed(3).sample(animated)
    plain = Seed(3).sample(network)
    assert torch.equal(
        animated.bind(AnimatedNoise(3).animate(ws, 0, frames))(), network.bind(plain)()
    ), "the first frame is the network's own"
    still = noise_of(network, plain)
    moved = noise_of(animated, AnimatedNoise(3).animate(ws, 2, frames))  # a quarter of a turn
    for layer, x in still.items():
        torch.testing.assert_close(moved[layer].square().sum(), x.square().sum())
    if name == "mobile_stylegan":
        assert not torch.allclose(moved["noise/b16.conv1"], still["noise/b16.conv1"], atol=0.1)
    again = AnimatedNoise(3).animate(ws, 8, frames)
    torch.testing.assert_close(
        animated.bind(again)(), network.bind(plain)(), msg="a turn later it is the same"
    )


def test_animated_noise_is_equally_strong_at_every_angle():
    network = randomised(StyleGAN2((6, 6, 6, 6, 6, 6), z_dim=8, mapping=(8,)), 1)
    animated, strength = AnimatedNoise().apply(network), []
    for index in range(0, 60, 7):
        ws = AnimatedNoise(1).animate(Seed(1).sample(animated), index, 60)
        strength.append(float(noise_of(animated, ws)["noise/b128.conv1"].std()))
    assert max(strength) / min(strength) < 1.05


def test_without_noise_the_bias_only_output_has_none():
    network, other = TINY["stylegan2"](), NoNoise().apply(TINY["stylegan2"]())
    layer = network.layers[-1]
    assert network.bias_only_output(layer).std((2, 3)).max() > 0
    assert other.bias_only_output(layer).std((2, 3)).max() == 0


def test_networks_without_noise_cannot_animate_it():
    toy = TINY["toy"]()
    assert NoNoise().apply(toy) is toy
    assert ConstantNoise().apply(toy) is toy
    with pytest.raises(
        RequestError, match="this network has no noise to animate; use noise=constant"
    ):
        AnimatedNoise().apply(toy)
    with pytest.raises(RequestError, match="noise.turns must lie between 1"):
        AnimatedNoise(turns=0)


@pytest.mark.parametrize(
    ("name", "around"), [*((name, lambda x: x) for name in NOISY), ("stylegan2", WithMapping)]
)
def test_every_engine_animates_noise(name, around):
    network = AnimatedNoise().apply(around(TINY[name]()))
    task = AblationTask.of(network, Seed(5).sample(network), Prune())
    task = AblationTask(network, task.ws, task.targets, moving=True)
    rows = 0.5 * torch.rand(4, len(task), generator=torch.Generator().manual_seed(0))
    ws = [AnimatedNoise(3).animate(task.ws, index, 24) for index in range(4)]
    expected = render(REFERENCE.start(task), rows, ws)
    later = render(REFERENCE.start(task), rows[:1], ws[1:2])
    assert not np.array_equal(expected[0], later[0])
    batched = TorchGPU.start(task, "float32", "cpu", 3)
    assert psnr(render(batched, rows, ws), expected) >= 50
    assert network.bind(torch.cat(ws))().shape[0] == 4


@needs_openvino
@pytest.mark.parametrize("name", NOISY)
def test_openvino_animates_noise(name):
    network = AnimatedNoise().apply(TINY[name]())
    task = AblationTask(
        network,
        Seed(5).sample(network),
        AblationTask.of(network, Seed(5).sample(network), Prune()).targets,
        moving=True,
    )
    rows = 0.5 * torch.rand(4, len(task), generator=torch.Generator().manual_seed(0))
    ws = [AnimatedNoise(3).animate(task.ws, index, 24) for index in range(4)]
    engine, _ = OpenVINOConfig("float32").choose(task, rows)
    assert psnr(render(engine, rows, ws), render(REFERENCE.start(task), rows, ws)) >= 45
