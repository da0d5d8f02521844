"""What the noise does meanwhile."""

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Prune
from forgetting.engines.engine import psnr
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.latents import Seed
from forgetting.models.noise import AnimatedNoise, ConstantNoise, NoNoise
from forgetting.models.wrappers import WithMapping
from helpers import TINY, needs_openvino, randomised, sample_ws

NOISY = ["stylegan2", "stylegan2-orig", "mobile_stylegan"]


def heard(network, ws):
    """The noise that a picture is made of, by layer."""
    found = {}

    def edit(x, layer):
        if layer.kind == "noise":
            found[layer.name] = x.clone()
        return x

    network.bind(ws, edit)
    return found


@pytest.mark.parametrize("name", NOISY)
def test_edits_are_shown_all_noise(name):
    network = TINY[name]()
    found = heard(network, sample_ws(network))
    assert list(found) == [f"noise/{layer.name}" for layer in network.layers]
    assert [x.shape for x in found.values()] == [(1, 1, *layer.size) for layer in network.layers]
    assert torch.equal(
        network.bind(sample_ws(network), lambda x, layer: x)(), network.bind(sample_ws(network))()
    )
    silent = lambda x, layer: x * 0 if layer.kind == "noise" else x  # noqa: E731
    assert torch.equal(
        network.bind(sample_ws(network), silent)(),
        NoNoise()(TINY[name]()).bind(sample_ws(network))(),
    )
    assert not torch.equal(
        network.bind(sample_ws(network), silent)(), network.bind(sample_ws(network))()
    )


@pytest.mark.parametrize("name", NOISY)
def test_noise_simmers_as_strong_as_ever(name):
    network = TINY[name]()
    grained, frames = AnimatedNoise(turns=3)(network), 24
    ws = Seed(3)(grained)
    plain = Seed(3)(network)
    assert torch.equal(grained.bind(AnimatedNoise(3).at(ws, 0, frames))(), network.bind(plain)()), (
        "the first frame is the network's own"
    )
    still, moved = (
        heard(network, plain),
        heard(grained, AnimatedNoise(3).at(ws, 2, frames)),
    )  # a quarter of a turn
    for layer, x in still.items():
        torch.testing.assert_close(moved[layer].square().sum(), x.square().sum())
    if name == "mobile_stylegan":
        assert not torch.allclose(moved["noise/b16.conv1"], still["noise/b16.conv1"], atol=0.1)
    again = AnimatedNoise(3).at(ws, 8, frames)
    torch.testing.assert_close(
        grained.bind(again)(), network.bind(plain)(), msg="a turn later it is the same"
    )


def test_its_strength_is_that_of_noise_at_every_angle():
    network = randomised(StyleGAN2((6, 6, 6, 6, 6, 6), z_dim=8, mapping=(8,)), 1)
    grained, strength = AnimatedNoise()(network), []
    for index in range(0, 60, 7):
        noise = heard(grained, AnimatedNoise(1).at(Seed(1)(grained), index, 60))["noise/b128.conv1"]
        strength.append(float(noise.std()))
    assert max(strength) / min(strength) < 1.05


def test_without_noise_what_is_pruned_has_none_either():
    network, other = TINY["stylegan2"](), NoNoise()(TINY["stylegan2"]())
    layer = network.layers[-1]
    assert network.rest(layer).std((2, 3)).max() > 0
    assert other.rest(layer).std((2, 3)).max() == 0


def test_networks_without_noise():
    toy = TINY["toy"]()
    assert NoNoise()(toy) is toy
    assert ConstantNoise()(toy) is toy
    with pytest.raises(
        RequestError, match="this network has no noise that could be animated; take noise=constant"
    ):
        AnimatedNoise()(toy)
    with pytest.raises(RequestError, match="noise.turns must lie between 1"):
        AnimatedNoise(turns=0)


@pytest.mark.parametrize(
    ("name", "around"), [*((name, lambda x: x) for name in NOISY), ("stylegan2", WithMapping)]
)
def test_every_engine_animates_it(name, around):
    network = AnimatedNoise()(around(TINY[name]()))
    scene = AblationTask.of(network, Seed(5)(network), Prune())
    scene = AblationTask(network, scene.ws, scene.targets, moving=True)
    rows = 0.5 * torch.rand(4, len(scene), generator=torch.Generator().manual_seed(0))
    ws = [AnimatedNoise(3).at(scene.ws, index, 24) for index in range(4)]
    expected = list(TorchConfig().start(scene)(rows, ws))
    assert not np.array_equal(expected[0], next(TorchConfig().start(scene)(rows[:1], ws[1:2])))
    assert psnr(TorchGPU.of(scene, "float32", "cpu", 3)(rows, ws), expected) >= 50
    assert network.bind(torch.cat(ws))().shape[0] == 4


@needs_openvino
@pytest.mark.parametrize("name", NOISY)
def test_the_compiled_engine_too(name):
    network = AnimatedNoise()(TINY[name]())
    scene = AblationTask(
        network,
        Seed(5)(network),
        AblationTask.of(network, Seed(5)(network), Prune()).targets,
        moving=True,
    )
    rows = 0.5 * torch.rand(4, len(scene), generator=torch.Generator().manual_seed(0))
    ws = [AnimatedNoise(3).at(scene.ws, index, 24) for index in range(4)]
    engine, _ = OpenVINOConfig("float32")(scene, rows)
    assert psnr(engine(rows, ws), list(TorchConfig().start(scene)(rows, ws))) >= 45
