"""Bends against slow and plain references, map by map."""

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import TINY, faces
from test_engines import needs_openvino
from test_parts import whole

from forgetting import bends, filters
from forgetting.engines import psnr
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError
from forgetting.generators import parts
from forgetting.latents import Seed
from forgetting.operators import Average, Mean, Zero
from forgetting.scene import Knob, Scene, damage
from forgetting.units import KINDS, Layer, Units

LAYER = Layer("b8.conv", 6, (8, 12))
BENDS = [
    bends.Noise(amount=0.5, seed=3),
    bends.Freeze(),
    bends.Freeze(seed=5),
    bends.Swap(seed=2),
    bends.Invert(),
    bends.Invert(about="zero"),
    bends.Amplify(factor=-2.5),
    bends.Saturate(),
    bends.Quantise(levels=3),
    bends.Binarise(),
    filters.Blur(radius=0.2),
    filters.Spectral(keep="low", cutoff=0.3),
    filters.Spectral(keep="high", cutoff=0.3),
    filters.Shift(right=0.25, down=-0.4),
    filters.Scale(factor=2.0),
    filters.Scale(factor=0.4),
    filters.Rotate(degrees=30),
    filters.Flip(axis="both"),
    filters.Dilate(radius=0.15),
    filters.Erode(radius=0.15),
    bends.Shuffle(seed=1),
    bends.Leak(),
    bends.Chained(operators=(filters.Blur(radius=0.2), bends.Amplify(factor=2.0), Mean())),
]


def maps(seed=0):
    return torch.randn(2, LAYER.channels, *LAYER.size, generator=torch.Generator().manual_seed(seed))


def bent(bend, x):
    toy = TINY["toy"]()
    return bend.bind(toy, faces(toy))(x.clone(), LAYER).expand_as(x).double().numpy()


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
            [[math.cos(math.pi * (n + 0.5) * k / size) * math.sqrt((1 if k == 0 else 2) / size) for n in range(size)] for k in range(size)]
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
        [[which(one[max(0, r - down) : r + down + 1, max(0, c - across) : c + across + 1]) for c in range(width)] for r in range(height)]
    )


DEFINITIONS = {
    bends.Invert(): each(lambda one: 2 * one.mean() - one),
    bends.Invert(about="zero"): lambda x: -x.numpy(),
    bends.Amplify(factor=-2.5): lambda x: -2.5 * x.numpy(),
    bends.Saturate(drive=3, limit=0.5): each(
        lambda one: 0.5 * np.sqrt((one**2).mean()) * np.tanh(3 * one / (0.5 * np.sqrt((one**2).mean())))
    ),
    bends.Quantise(levels=3): each(
        lambda one: one.min() + np.round((one - one.min()) / (one.max() - one.min()) * 2) * (one.max() - one.min()) / 2
    ),
    bends.Binarise(): each(lambda one: np.where(one > one.mean(), one.mean() + one.std(), one.mean() - one.std())),
    filters.Blur(radius=0.2): each(lambda one: gaussian(one, 0.2)),
    filters.Spectral(keep="low", cutoff=0.3): each(lambda one: spectral(one, "low", 0.3)),
    filters.Spectral(keep="high", cutoff=0.3): each(lambda one: spectral(one, "high", 0.3)),
    filters.Shift(right=0.25, down=-0.4): each(lambda one: np.roll(one, (-3, 3), (0, 1))),
    filters.Scale(factor=2.0): each(lambda one: looked_up(one, lambda y, x: (y / 2, x / 2))),
    filters.Scale(factor=0.4): each(lambda one: looked_up(one, lambda y, x: (y / 0.4, x / 0.4))),
    filters.Rotate(degrees=30): each(lambda one: turned(one, 30)),
    filters.Rotate(degrees=180): each(lambda one: one[::-1, ::-1]),
    filters.Flip(): each(lambda one: one[:, ::-1]),
    filters.Flip(axis="vertical"): each(lambda one: one[::-1]),
    filters.Dilate(radius=0.15): each(lambda one: extreme(one, 0.15, np.max)),
    filters.Erode(radius=0.15): each(lambda one: extreme(one, 0.15, np.min)),
    bends.Leak(): lambda x: x.numpy().mean(axis=1, keepdims=True) + 0 * x.numpy(),
    bends.Chained(operators=(bends.Amplify(factor=2.0), bends.Invert(about="zero"))): lambda x: -2 * x.numpy(),
    bends.Chained(operators=(bends.Amplify(factor=2.0), Mean())): each(lambda one: one * 0 + 2 * one.mean()),
}


@pytest.mark.parametrize("bend", DEFINITIONS, ids=repr)
def test_bends_equal_their_definition(bend):
    x = maps()
    np.testing.assert_allclose(bent(bend, x), DEFINITIONS[bend](x), atol=2e-5)


def test_noise_keeps_level_and_loudness():
    x = maps() * 3 + 1
    noisy = bent(bends.Noise(amount=0.5), x)
    np.testing.assert_allclose(noisy.mean((2, 3)), x.mean((2, 3)), atol=1e-4)
    np.testing.assert_allclose(noisy.std((2, 3)), 0.5 * x.numpy().std((2, 3)), atol=1e-4)
    assert np.array_equal(noisy, bent(bends.Noise(amount=0.5), x))
    assert not np.allclose(noisy, bent(bends.Noise(amount=0.5, seed=1), x))


def test_shuffled_units_are_all_still_there():
    x = maps()
    found = bent(bends.Shuffle(seed=2), x)
    assert not np.array_equal(found, x)
    assert sorted(map(float, found.sum((0, 2, 3)))) == pytest.approx(sorted(map(float, x.sum((0, 2, 3)))), abs=1e-4)


def test_what_was_said_for_other_faces():
    toy = TINY["toy"]()
    ws, other, seen = faces(toy), Seed(4, 0.5)(toy), {}
    for name, face in (("own", ws), ("other", other)):
        toy.bind(face)(lambda x, layer, name=name: seen.setdefault((name, layer.name), x.clone()) * 1)
    layer = toy.layers[1]
    x = torch.zeros(1, layer.channels, *layer.size)
    assert torch.equal(bends.Freeze().bind(toy, ws)(x, layer), seen["own", layer.name])
    assert torch.equal(bends.Swap(seed=4, psi=0.5).bind(toy, ws)(x, layer), seen["other", layer.name])
    assert torch.equal(bends.Freeze(seed=4, psi=0.5).bind(toy, ws)(x, layer), seen["other", layer.name])


@pytest.mark.parametrize("operator", [*BENDS, Zero(), Average()], ids=repr)
def test_strength(operator):
    """At 0 no bit changes, at 1 it is the definition, and between them nothing jumps."""
    toy = TINY["toy"]()
    scene = Scene.of(toy, faces(toy), operator)
    knobs, layer = scene.turned(), toy.layers[1]
    x = torch.randn(1, layer.channels, *layer.size, generator=torch.Generator().manual_seed(0))

    def at(strength, only=None):
        row = torch.full((1, len(scene)), float(strength))
        if only is not None:
            row = torch.zeros(1, len(scene))
            row[:, scene.knobs[0].units.slices[layer.name].start + only] = strength
        return damage(knobs, row)(x.clone(), layer)

    assert torch.equal(at(0), x)
    assert torch.equal(at(1, only=3)[:, [0, 1, 2, 4, 5]], x[:, [0, 1, 2, 4, 5]]), "others in a layer keep every bit"
    torch.testing.assert_close(at(1), knobs[0][1](x.clone(), layer).expand_as(x))
    steps = [at(k / 50) for k in range(51)]
    sizes = torch.stack([(a - b).abs().max() for a, b in itertools.pairwise(steps)])
    assert float(sizes.max()) < 1.05 * float(sizes.min()) + 1e-5


@needs_openvino
def test_every_bend_in_a_graph():
    """Six knobs at a time, each turned alone, compiled, against torch."""
    toy = TINY["toy"]()
    units, draw = Units(toy.layers), torch.Generator().manual_seed(0)
    for start in range(0, len(BENDS), 6):
        some = BENDS[start : start + 6]
        scene = Scene(toy, faces(toy), tuple(Knob(bend, units) for bend in some))
        turned = [torch.zeros(len(some), 52).index_fill(0, torch.tensor(k), 1) * torch.rand(52, generator=draw) for k in range(len(some))]
        sample = torch.stack([torch.zeros(len(scene)), *(row.flatten() for row in turned)])
        engine, _ = OpenVINO("float32")(scene, sample)
        for bend, found, expected in zip([None, *some], engine(sample), Torch().start(scene)(sample), strict=True):
            assert psnr([found], [expected]) >= 45, bend


@pytest.mark.parametrize("name", [name for name in TINY if name != "toy"])
def test_every_bend_on_every_architecture(name):
    network = TINY[name]()
    units = Units(network.layers)
    for bend in BENDS:
        scene = Scene.of(network, faces(network), bend)
        intact, all_bent = Torch().start(scene)(torch.stack((torch.zeros(len(units)), torch.ones(len(units)))))
        assert intact.shape == all_bent.shape


@pytest.mark.parametrize("kind", KINDS)
def test_every_bend_on_every_kind(kind):
    network = whole(TINY["toy"](), kind)
    units = parts.anatomy(network, kind)
    row = torch.ones(1, len(units))
    for bend in BENDS:
        scene = Scene(network, faces(network), (Knob(bend, units),))
        (frame,) = Torch().start(scene)(row)
        assert frame.shape == (32, 32, 3), bend


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: bends.Noise(amount=-1), "operator.amount must lie between"),
        (lambda: bends.Noise(seed=-1), "operator.seed"),
        (lambda: bends.Swap(psi=9), "operator.psi must lie between"),
        (lambda: bends.Invert(about="x"), "no operator.about 'x'"),
        (lambda: bends.Quantise(levels=1), "operator.levels must lie between 2"),
        (lambda: filters.Blur(radius=0), "operator.radius must lie between"),
        (lambda: filters.Spectral(keep="middle"), "no operator.keep 'middle'"),
        (lambda: filters.Shift(right=2), "operator.right must lie between"),
        (lambda: filters.Scale(factor=0), "operator.factor must lie between"),
        (lambda: filters.Rotate(degrees=1000), "operator.degrees must lie between"),
        (lambda: filters.Flip(axis="z"), "no operator.axis 'z'"),
        (lambda: bends.Chained(), "needs operators"),
        (lambda: bends.Leak(softness=2), "operator.softness must lie between"),
    ],
)
def test_impossible_settings(make, says):
    with pytest.raises(RequestError, match=says):
        make()
