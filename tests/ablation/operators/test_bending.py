"""Bends against slow and plain references, map by map."""

import itertools
import math

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators import bending, spatial
from forgetting.ablation.operators.removal import Average, Mean, Zero
from forgetting.engines.engine import psnr
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.latents import Seed
from forgetting.models.units import UNIT_KINDS, Layer, Units
from helpers import TINY, needs_openvino, sample_ws, with_mapping_units

LAYER = Layer("b8.conv", 6, (8, 12))


BENDS = [
    bending.NoiseMap(amount=0.5, seed=3),
    bending.Freeze(),
    bending.Freeze(seed=5),
    bending.Swap(seed=2),
    bending.Invert(),
    bending.Invert(about="zero"),
    bending.Amplify(factor=-2.5),
    bending.Saturate(),
    bending.Quantise(levels=3),
    bending.Binarise(),
    spatial.Blur(radius=0.2),
    spatial.Spectral(keep="low", cutoff=0.3),
    spatial.Spectral(keep="high", cutoff=0.3),
    spatial.Shift(right=0.25, down=-0.4),
    spatial.Scale(factor=2.0),
    spatial.Scale(factor=0.4),
    spatial.Rotate(degrees=30),
    spatial.Flip(axis="both"),
    spatial.Dilate(radius=0.15),
    spatial.Erode(radius=0.15),
    bending.Shuffle(seed=1),
    bending.Leak(),
    bending.Chained(operators=(spatial.Blur(radius=0.2), bending.Amplify(factor=2.0), Mean())),
]


def maps(seed=0):
    return torch.randn(
        2, LAYER.channels, *LAYER.size, generator=torch.Generator().manual_seed(seed)
    )


def bent(bend, x):
    toy = TINY["toy"]()
    return bend.bind(toy, sample_ws(toy))(x.clone(), LAYER).expand_as(x).double().numpy()


def each(function):
    """A function of one map [H, W], for all maps."""
    return lambda x: np.array([[function(one) for one in face] for face in x.double().numpy()])


def mirrored(index, size):
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def gaussian(one, radius):
    for axis in (0, 1):
        size = one.shape[axis]
        reach = range(-3 * size, 3 * size + 1)
        weight = [math.exp(-0.5 * (k / (radius * size)) ** 2) for k in reach]
        moved = [np.take(one, [mirrored(n + k, size) for n in range(size)], axis) for k in reach]
        one = sum(w * m for w, m in zip(weight, moved, strict=True)) / sum(weight)
    return one


def spectral(one, keep, cutoff):
    for_axis = []
    for size in one.shape:
        basis = np.array(
            [
                [
                    math.cos(math.pi * (n + 0.5) * k / size)
                    * math.sqrt((1 if k == 0 else 2) / size)
                    for n in range(size)
                ]
                for k in range(size)
            ]
        )
        for_axis.append(basis)
    coefficients = for_axis[0] @ one @ for_axis[1].T
    low = np.zeros_like(coefficients)
    rows, columns = (max(1, round(cutoff * size)) for size in one.shape)
    low[:rows, :columns] = coefficients[:rows, :columns]
    low = for_axis[0].T @ low @ for_axis[1]
    return low if keep == "low" else one - low


def looked_up(one, where):
    """``where`` (y, x) from the middle -> the value there, mirrored beyond the edges, between four pixels."""
    height, width = one.shape
    found = np.empty_like(one)
    for row in range(height):
        for column in range(width):
            y, x = where(row + 0.5 - height / 2, column + 0.5 - width / 2)
            y, x = y + height / 2 - 0.5, x + width / 2 - 0.5
            top, left = math.floor(y), math.floor(x)
            total = 0.0
            for dy in (0, 1):
                for dx in (0, 1):
                    share = (1 - abs(y - top - dy)) * (1 - abs(x - left - dx))
                    total += share * one[mirrored(top + dy, height), mirrored(left + dx, width)]
            found[row, column] = total
    return found


def turned(one, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return looked_up(one, lambda y, x: (sin * x + cos * y, cos * x - sin * y))


def extreme(one, radius, which):
    height, width = one.shape
    down, across = (max(1, round(radius * size)) for size in one.shape)
    return np.array(
        [
            [
                which(one[max(0, r - down) : r + down + 1, max(0, c - across) : c + across + 1])
                for c in range(width)
            ]
            for r in range(height)
        ]
    )


DEFINITIONS = {
    bending.Invert(): each(lambda one: 2 * one.mean() - one),
    bending.Invert(about="zero"): lambda x: -x.numpy(),
    bending.Amplify(factor=-2.5): lambda x: -2.5 * x.numpy(),
    bending.Saturate(drive=3, limit=0.5): each(
        lambda one: (
            0.5 * np.sqrt((one**2).mean()) * np.tanh(3 * one / (0.5 * np.sqrt((one**2).mean())))
        )
    ),
    bending.Quantise(levels=3): each(
        lambda one: (
            one.min()
            + np.round((one - one.min()) / (one.max() - one.min()) * 2)
            * (one.max() - one.min())
            / 2
        )
    ),
    bending.Binarise(): each(
        lambda one: np.where(one > one.mean(), one.mean() + one.std(), one.mean() - one.std())
    ),
    spatial.Blur(radius=0.2): each(lambda one: gaussian(one, 0.2)),
    spatial.Spectral(keep="low", cutoff=0.3): each(lambda one: spectral(one, "low", 0.3)),
    spatial.Spectral(keep="high", cutoff=0.3): each(lambda one: spectral(one, "high", 0.3)),
    spatial.Shift(right=0.25, down=-0.4): each(lambda one: np.roll(one, (-3, 3), (0, 1))),
    spatial.Scale(factor=2.0): each(lambda one: looked_up(one, lambda y, x: (y / 2, x / 2))),
    spatial.Scale(factor=0.4): each(lambda one: looked_up(one, lambda y, x: (y / 0.4, x / 0.4))),
    spatial.Rotate(degrees=30): each(lambda one: turned(one, 30)),
    spatial.Rotate(degrees=180): each(lambda one: one[::-1, ::-1]),
    spatial.Flip(): each(lambda one: one[:, ::-1]),
    spatial.Flip(axis="vertical"): each(lambda one: one[::-1]),
    spatial.Dilate(radius=0.15): each(lambda one: extreme(one, 0.15, np.max)),
    spatial.Erode(radius=0.15): each(lambda one: extreme(one, 0.15, np.min)),
    bending.Leak(): lambda x: x.numpy().mean(axis=1, keepdims=True) + 0 * x.numpy(),
    bending.Chained(
        operators=(bending.Amplify(factor=2.0), bending.Invert(about="zero"))
    ): lambda x: -2 * x.numpy(),
    bending.Chained(operators=(bending.Amplify(factor=2.0), Mean())): each(
        lambda one: one * 0 + 2 * one.mean()
    ),
}


@pytest.mark.parametrize("bend", DEFINITIONS, ids=repr)
def test_bends_equal_their_definition(bend):
    x = maps()
    np.testing.assert_allclose(bent(bend, x), DEFINITIONS[bend](x), atol=2e-5)


def test_noise_keeps_level_and_loudness():
    x = maps() * 3 + 1
    noisy = bent(bending.NoiseMap(amount=0.5), x)
    np.testing.assert_allclose(noisy.mean((2, 3)), x.mean((2, 3)), atol=1e-4)
    np.testing.assert_allclose(noisy.std((2, 3)), 0.5 * x.numpy().std((2, 3)), atol=1e-4)
    assert np.array_equal(noisy, bent(bending.NoiseMap(amount=0.5), x))
    assert not np.allclose(noisy, bent(bending.NoiseMap(amount=0.5, seed=1), x))


def test_shuffled_units_are_all_still_there():
    x = maps()
    found = bent(bending.Shuffle(seed=2), x)
    assert not np.array_equal(found, x)
    assert sorted(map(float, found.sum((0, 2, 3)))) == pytest.approx(
        sorted(map(float, x.sum((0, 2, 3)))), abs=1e-4
    )


def test_what_was_said_for_other_faces():
    toy = TINY["toy"]()
    ws, other, seen = sample_ws(toy), Seed(4, 0.5)(toy), {}
    for name, face in (("own", ws), ("other", other)):
        toy.bind(face)(
            lambda x, layer, name=name: seen.setdefault((name, layer.name), x.clone()) * 1
        )
    layer = toy.layers[1]
    x = torch.zeros(1, layer.channels, *layer.size)
    assert torch.equal(bending.Freeze().bind(toy, ws)(x, layer), seen["own", layer.name])
    assert torch.equal(
        bending.Swap(seed=4, psi=0.5).bind(toy, ws)(x, layer), seen["other", layer.name]
    )
    assert torch.equal(
        bending.Freeze(seed=4, psi=0.5).bind(toy, ws)(x, layer), seen["other", layer.name]
    )


@pytest.mark.parametrize("operator", [*BENDS, Zero(), Average()], ids=repr)
def test_strength(operator):
    """At 0 no bit changes, at 1 it is the definition, and between them nothing jumps."""
    toy = TINY["toy"]()
    scene = AblationTask.of(toy, sample_ws(toy), operator)
    targets, layer = scene.turned(), toy.layers[1]
    x = torch.randn(1, layer.channels, *layer.size, generator=torch.Generator().manual_seed(0))

    def at(strength, only=None):
        row = torch.full((1, len(scene)), float(strength))
        if only is not None:
            row = torch.zeros(1, len(scene))
            row[:, scene.targets[0].units.slices[layer.name].start + only] = strength
        return eager_edit(targets, row)(x.clone(), layer)

    assert torch.equal(at(0), x)
    assert torch.equal(at(1, only=3)[:, [0, 1, 2, 4, 5]], x[:, [0, 1, 2, 4, 5]]), (
        "others in a layer keep every bit"
    )
    torch.testing.assert_close(at(1), targets[0][1](x.clone(), layer).expand_as(x))
    steps = [at(k / 50) for k in range(51)]
    sizes = torch.stack([(a - b).abs().max() for a, b in itertools.pairwise(steps)])
    assert float(sizes.max()) < 1.05 * float(sizes.min()) + 1e-5


@needs_openvino
def test_every_bend_in_a_graph():
    """Six targets at a time, each turned alone, compiled, against torch."""
    toy = TINY["toy"]()
    units, draw = Units(toy.layers), torch.Generator().manual_seed(0)
    for start in range(0, len(BENDS), 6):
        some = BENDS[start : start + 6]
        scene = AblationTask(toy, sample_ws(toy), tuple(Target(bend, units) for bend in some))
        turned = [
            torch.zeros(len(some), 52).index_fill(0, torch.tensor(k), 1)
            * torch.rand(52, generator=draw)
            for k in range(len(some))
        ]
        sample = torch.stack([torch.zeros(len(scene)), *(row.flatten() for row in turned)])
        engine, _ = OpenVINOConfig("float32")(scene, sample)
        for bend, found, expected in zip(
            [None, *some], engine(sample), TorchConfig().start(scene)(sample), strict=True
        ):
            assert psnr([found], [expected]) >= 45, bend


@pytest.mark.parametrize("name", [name for name in TINY if name != "toy"])
def test_every_bend_on_every_architecture(name):
    network = TINY[name]()
    units = Units(network.layers)
    for bend in BENDS:
        scene = AblationTask.of(network, sample_ws(network), bend)
        intact, all_bent = TorchConfig().start(scene)(
            torch.stack((torch.zeros(len(units)), torch.ones(len(units))))
        )
        assert intact.shape == all_bent.shape


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_bend_on_every_kind(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    units = unit_kinds.units_of_kinds(network, kind)
    row = torch.ones(1, len(units))
    for bend in BENDS:
        scene = AblationTask(network, sample_ws(network), (Target(bend, units),))
        (frame,) = TorchConfig().start(scene)(row)
        assert frame.shape == (32, 32, 3), bend


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: bending.NoiseMap(amount=-1), "operator.amount must lie between"),
        (lambda: bending.NoiseMap(seed=-1), "operator.seed"),
        (lambda: bending.Swap(psi=9), "operator.psi must lie between"),
        (lambda: bending.Invert(about="x"), "no operator.about 'x'"),
        (lambda: bending.Quantise(levels=1), "operator.levels must lie between 2"),
        (lambda: spatial.Blur(radius=0), "operator.radius must lie between"),
        (lambda: spatial.Spectral(keep="middle"), "no operator.keep 'middle'"),
        (lambda: spatial.Shift(right=2), "operator.right must lie between"),
        (lambda: spatial.Scale(factor=0), "operator.factor must lie between"),
        (lambda: spatial.Rotate(degrees=1000), "operator.degrees must lie between"),
        (lambda: spatial.Flip(axis="z"), "no operator.axis 'z'"),
        (lambda: bending.Chained(), "needs operators"),
        (lambda: bending.Leak(softness=2), "operator.softness must lie between"),
    ],
)
def test_impossible_settings(make, says):
    with pytest.raises(RequestError, match=says):
        make()
