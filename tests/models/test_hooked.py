"""Modules of others: their layers, and hooks that edit and are removed afterwards."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.ablation.orderings.scores import Contribution, Magnitude
from forgetting.engines.auto import AutoConfig
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.hooked import Hooked
from forgetting.models.units import Units
from helpers import needs_openvino, random_rows, rank, render, sample_ws


class Residual(nn.Module):
    """A linear layer, a shared activation, a skip, a layer called twice, shuffling and noise."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 4 * 16)
        self.act = nn.LeakyReLU(0.2)
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 12, 4, 2, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.paint = nn.Conv2d(3, 3, 1)

    def forward(self, z):
        x = self.act(self.first(z)).view(-1, 4, 4, 4)
        x = self.act(self.norm(self.conv(x)))
        x = x + self.twice(F.relu(self.twice(x)))
        x = self.act(self.up(x))
        x = x + 0.1 * torch.randn(x.shape[2:])
        return torch.tanh(self.paint(self.shuffle(x)))


@pytest.fixture
def hooked():
    return Hooked(Residual())


def test_layers(hooked):
    assert [(layer.name, layer.channels, layer.size) for layer in hooked.layers] == [
        ("first", 64, (1, 1)),
        ("conv", 8, (4, 4)),
        ("twice", 8, (4, 4)),
        ("twice@2", 8, (4, 4)),
        ("up", 12, (8, 8)),
    ]
    assert hooked.size == (16, 16)
    assert hooked.z_dim == 6
    total = sum(layer.parameters for layer in hooked.layers) + hooked.image_parameters
    assert total == sum(
        t.numel() for t in (*hooked.network.parameters(), *hooked.network.buffers())
    )


def test_units_are_cut_behind_bias_normalisation_and_activation(hooked):
    """The activations of a layer are those after the modules that follow it."""
    ws = sample_ws(hooked)
    recorded = {}
    hooked.bind(ws)(lambda x, layer: recorded.setdefault(layer.name, x.clone()))
    network = hooked.network
    with torch.inference_mode():
        first = network.act(network.first(ws[:, 0]))
        conv = network.act(network.norm(network.conv(first.view(1, 4, 4, 4))))
    torch.testing.assert_close(recorded["first"], first[:, :, None, None])
    torch.testing.assert_close(recorded["conv"], conv)


def test_no_hook_stays(hooked):
    def left():
        return sum(len(module._forward_hooks) for module in hooked.modules())

    synthesis = hooked.bind(sample_ws(hooked))
    synthesis()
    assert left() == 0
    with pytest.raises(ZeroDivisionError):
        synthesis(lambda x, layer: 1 / 0)
    assert left() == 0


def test_the_same_network_by_hooks_and_by_steps():
    """A DCGAN of ours, once as it is and once as the module that others would write."""
    ours = DCGAN((8, 6), 10)
    torch.manual_seed(0)
    modules = []
    for block in ours.blocks:
        nn.init.normal_(block.conv.weight)
        nn.init.normal_(block.norm.weight)
        nn.init.normal_(block.norm.bias)
        modules += [copy.deepcopy(block.conv), copy.deepcopy(block.norm), nn.ReLU(True)]
    ours.eval().requires_grad_(False)
    theirs = Hooked(nn.Sequential(*modules, copy.deepcopy(ours.to_image), nn.Tanh()))
    assert theirs.shape == (10, 1, 1)
    assert [layer.channels for layer in theirs.layers] == [layer.channels for layer in ours.layers]
    ws, sample = sample_ws(ours), random_rows(ours)
    for operator in (Zero(), Prune(), Mean(), Average()):
        expected, frames = (
            render(REFERENCE.start(AblationTask.of(network, ws, operator)), sample)
            for network in (ours, theirs)
        )
        assert psnr(frames, expected) >= 50
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        expected = ours.bias_only_output(mine).expand(1, -1, *mine.size)
        torch.testing.assert_close(expected, theirs.bias_only_output(other))
    # Our incoming weights are folded with the normalisation, the outgoing ones are not.
    torch.testing.assert_close(ours.outgoing(ours.layers[-1]), theirs.outgoing(theirs.layers[-1]))


def test_incoming_weights_of_grouped_and_transposed_convolutions():
    for conv in (nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)):
        network = nn.Sequential(
            nn.Linear(5, 64), nn.Unflatten(1, (4, 4, 4)), conv, nn.Conv2d(6, 3, 1)
        )
        hooked = Hooked(network)
        layer = hooked.layers[1]
        assert hooked.incoming(layer).shape == (6, 2 * 9)
        assert hooked.outgoing(hooked.layers[0]).shape == (64, 3 * 9)
        with torch.no_grad():
            conv.weight.zero_()[2:4, 0] = 1  # inputs 2 and 3 are the second group
        incoming = hooked.incoming(layer).abs().sum(1) > 0
        outgoing = hooked.outgoing(hooked.layers[0]).view(4, 16, -1)[:, 0].abs().sum(1) > 0
        if isinstance(conv, nn.Conv2d):
            assert incoming.tolist() == [False, False, True, True, False, False]
            assert outgoing.tolist() == [True, False, True, False]
        else:
            assert incoming.tolist() == [False, False, False, True, False, False]
            assert outgoing.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "operator", [Zero(), Prune(), Mean(), Average()], ids=lambda o: type(o).__name__
)
def test_films(hooked, operator):
    task, sample = AblationTask.of(hooked, sample_ws(hooked), operator), random_rows(hooked)
    reference = REFERENCE.start(task)
    expected = render(reference, sample)
    assert (expected[0] == render(reference, sample[:1])[0]).all(), (
        "noise that a module draws does not flicker"
    )
    assert (expected[0] != expected[1]).any()
    batched = TorchGPU.start(task, "float32", "cpu", 3)
    assert psnr(render(batched, sample), expected) >= 50
    for order in (Contribution(), Magnitude(weights="incoming")):
        assert len(rank(order, hooked)) == len(Units(hooked.layers))


@needs_openvino
def test_auto_takes_a_compiler_where_it_makes_the_same_picture(hooked):
    task = AblationTask.of(hooked, sample_ws(hooked), Zero())
    engine, why = AutoConfig("float32").choose(task, random_rows(hooked))
    assert engine.name in ("torch", "openvino"), why
    without_noise = Hooked(
        nn.Sequential(
            nn.Linear(6, 48),
            nn.ReLU(),
            nn.Unflatten(1, (3, 4, 4)),
            nn.Conv2d(3, 5, 3),
            nn.Tanh(),
            nn.Conv2d(5, 1, 1),
        )
    )
    task = AblationTask.of(without_noise, sample_ws(without_noise), Zero())
    rows = random_rows(without_noise)
    engine, _ = AutoConfig().choose(task, rows)
    assert engine.name == "openvino"
    assert psnr(render(engine, rows), render(REFERENCE.start(task), rows)) >= 45


def test_a_module_that_is_a_layer_itself_has_nothing_to_ablate():
    """Its only layer, whose name is empty, makes the picture."""
    with pytest.raises(RequestError, match="Conv2d calls no convolution or linear layer"):
        Hooked(nn.Conv2d(3, 3, 1), (3, 4, 4))


def test_what_cannot_be_hooked():
    with pytest.raises(
        RequestError, match=r"Linear does not take a latent of shape \[1, 7\] .*set generator.shape"
    ):
        Hooked(nn.Linear(5, 3), (7,))
    with pytest.raises(
        RequestError,
        match=r"images as floating-point \[B, C, H, W\], "
        r"this module returned torch.float32 \[1, 3\]",
    ):
        Hooked(nn.Linear(5, 3))
    with pytest.raises(
        RequestError, match="Tanh has no layer that shows the latent's shape; set generator.shape="
    ):
        Hooked(nn.Tanh())
    picture = nn.Sequential(nn.Linear(5, 12), nn.Unflatten(1, (3, 2, 2)))
    with pytest.warns(FutureWarning, match="deprecated"):
        traced = torch.jit.trace(picture, torch.zeros(1, 5))
    with pytest.raises(
        RequestError, match="hooks do not reach the layers of a scripted or exported program"
    ):
        Hooked(traced)
    exported = torch.export.export(picture, (torch.zeros(1, 5),)).module()
    with pytest.raises(
        RequestError, match="hooks do not reach the layers of a scripted or exported program"
    ):
        Hooked(exported, (5,))


def test_black_and_white_of_its_own():
    network = nn.Sequential(
        nn.Linear(4, 8), nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 3, 1), nn.Sigmoid()
    )
    ws = sample_ws(Hooked(network))
    torch.testing.assert_close(
        Hooked(network, low=0, high=1).bind(ws)(), Hooked(network).bind(ws)() * 2 - 1
    )
