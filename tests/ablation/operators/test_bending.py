"""Operators of network bending, compared with slow and plain references map by map."""

import itertools
import math

import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators import bending, spatial
from forgetting.ablation.operators.removal import Average, Mean, Zero
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.latents import Seed
from forgetting.models.units import UNIT_KINDS, Layer, Units
from helpers import TINY, needs_openvino, render, sample_ws, with_mapping_units

LAYER = Layer("b8.conv", 6, (8, 12))


OPERATORS = [
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


def replaced(operator, x):
    toy = TINY["toy"]()
    return operator.bind(toy, sample_ws(toy))(x.clone(), LAYER).expand_as(x).double().numpy()


def each(function):
    """Return a function of all maps [B, C, H, W] from one of a single map [H, W]."""
    return lambda x: np.array([[function(m) for m in face] for face in x.double().numpy()])


def mirrored(index, size):
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def gaussian(image, radius):
    for axis in (0, 1):
        size = image.shape[axis]
        reach = range(-3 * size, 3 * size + 1)
        weight = [math.exp(-0.5 * (k / (radius * size)) ** 2) for k in reach]
        moved = [np.take(image, [mirrored(n + k, size) for n in range(size)], axis) for k in reach]
        image = sum(w * m for w, m in zip(weight, moved, strict=True)) / sum(weight)
    return image


def spectral(image, keep, cutoff):
    for_axis = []
    for size in image.shape:
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
    coefficients = for_axis[0] @ image @ for_axis[1].T
    low = np.zeros_like(coefficients)
    rows, columns = (max(1, round(cutoff * size)) for size in image.shape)
    low[:rows, :columns] = coefficients[:rows, :columns]
    low = for_axis[0].T @ low @ for_axis[1]
    return low if keep == "low" else image - low


def sampled(image, position):
    """Return a map sampled at ``position(y, x)``, which counts from the middle.

    Values are interpolated between four pixels and mirrored beyond the edges.
    """
    height, width = image.shape
    result = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            y, x = position(row + 0.5 - height / 2, column + 0.5 - width / 2)
            y, x = y + height / 2 - 0.5, x + width / 2 - 0.5
            top, left = math.floor(y), math.floor(x)
            total = 0.0
            for dy in (0, 1):
                for dx in (0, 1):
                    share = (1 - abs(y - top - dy)) * (1 - abs(x - left - dx))
                    total += share * image[mirrored(top + dy, height), mirrored(left + dx, width)]
            result[row, column] = total
    return result


def rotated(image, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return sampled(image, lambda y, x: (sin * x + cos * y, cos * x - sin * y))


def extreme(image, radius, which):
    height, width = image.shape
    down, across = (max(1, round(radius * size)) for size in image.shape)
    return np.array(
        [
            [
                which(image[max(0, r - down) : r + down + 1, max(0, c - across) : c + across + 1])
                for c in range(width)
            ]
            for r in range(height)
        ]
    )


DEFINITIONS = {
    bending.Invert(): each(lambda m: 2 * m.mean() - m),
    bending.Invert(about="zero"): lambda x: -x.numpy(),
    bending.Amplify(factor=-2.5): lambda x: -2.5 * x.numpy(),
    bending.Saturate(drive=3, limit=0.5): each(
        lambda m: 0.5 * np.sqrt((m**2).mean()) * np.tanh(3 * m / (0.5 * np.sqrt((m**2).mean())))
    ),
    bending.Quantise(levels=3): each(
        lambda m: (
            m.min() + np.round((m - m.min()) / (m.max() - m.min()) * 2) * (m.max() - m.min()) / 2
        )
    ),
    bending.Binarise(): each(
        lambda m: np.where(m > m.mean(), m.mean() + m.std(), m.mean() - m.std())
    ),
    spatial.Blur(radius=0.2): each(lambda m: gaussian(m, 0.2)),
    spatial.Spectral(keep="low", cutoff=0.3): each(lambda m: spectral(m, "low", 0.3)),
    spatial.Spectral(keep="high", cutoff=0.3): each(lambda m: spectral(m, "high", 0.3)),
    spatial.Shift(right=0.25, down=-0.4): each(lambda m: np.roll(m, (-3, 3), (0, 1))),
    spatial.Scale(factor=2.0): each(lambda m: sampled(m, lambda y, x: (y / 2, x / 2))),
    spatial.Scale(factor=0.4): each(lambda m: sampled(m, lambda y, x: (y / 0.4, x / 0.4))),
    spatial.Rotate(degrees=30): each(lambda m: rotated(m, 30)),
    spatial.Rotate(degrees=180): each(lambda m: m[::-1, ::-1]),
    spatial.Flip(): each(lambda m: m[:, ::-1]),
    spatial.Flip(axis="vertical"): each(lambda m: m[::-1]),
    spatial.Dilate(radius=0.15): each(lambda m: extreme(m, 0.15, np.max)),
    spatial.Erode(radius=0.15): each(lambda m: extreme(m, 0.15, np.min)),
    bending.Leak(): lambda x: x.numpy().mean(axis=1, keepdims=True) + 0 * x.numpy(),
    bending.Chained(
        operators=(bending.Amplify(factor=2.0), bending.Invert(about="zero"))
    ): lambda x: -2 * x.numpy(),
    bending.Chained(operators=(bending.Amplify(factor=2.0), Mean())): each(
        lambda m: m * 0 + 2 * m.mean()
    ),
}


@pytest.mark.parametrize("operator", DEFINITIONS, ids=repr)
def test_operators_equal_their_definition(operator):
    x = maps()
    np.testing.assert_allclose(replaced(operator, x), DEFINITIONS[operator](x), atol=2e-5)


def test_noise_has_the_mean_and_deviation_of_the_map():
    x = maps() * 3 + 1
    noisy = replaced(bending.NoiseMap(amount=0.5), x)
    np.testing.assert_allclose(noisy.mean((2, 3)), x.mean((2, 3)), atol=1e-4)
    np.testing.assert_allclose(noisy.std((2, 3)), 0.5 * x.numpy().std((2, 3)), atol=1e-4)
    assert np.array_equal(noisy, replaced(bending.NoiseMap(amount=0.5), x))
    assert not np.allclose(noisy, replaced(bending.NoiseMap(amount=0.5, seed=1), x))


def test_shuffling_permutes_the_units():
    x = maps()
    shuffled = replaced(bending.Shuffle(seed=2), x)
    assert not np.array_equal(shuffled, x)
    assert sorted(map(float, shuffled.sum((0, 2, 3)))) == pytest.approx(
        sorted(map(float, x.sum((0, 2, 3)))), abs=1e-4
    )


def test_freeze_and_swap_are_activations_of_their_faces():
    toy = TINY["toy"]()
    ws, other, recorded = sample_ws(toy), Seed(4, 0.5).sample(toy), {}
    for name, face in (("own", ws), ("other", other)):
        toy.bind(face)(
            lambda x, layer, name=name: recorded.setdefault((name, layer.name), x.clone()) * 1
        )
    layer = toy.layers[1]
    x = torch.zeros(1, layer.channels, *layer.size)
    assert torch.equal(bending.Freeze().bind(toy, ws)(x, layer), recorded["own", layer.name])
    assert torch.equal(
        bending.Swap(seed=4, psi=0.5).bind(toy, ws)(x, layer), recorded["other", layer.name]
    )
    assert torch.equal(
        bending.Freeze(seed=4, psi=0.5).bind(toy, ws)(x, layer), recorded["other", layer.name]
    )


@pytest.mark.parametrize("operator", [*OPERATORS, Zero(), Average()], ids=repr)
def test_ablation_moves_evenly_from_the_activation_to_the_replacement(operator):
    """At 0 no bit changes, at 1 the result is the replacement, and between them nothing jumps."""
    toy = TINY["toy"]()
    task = AblationTask.of(toy, sample_ws(toy), operator)
    bound, layer = task.bind_operators(), toy.layers[1]
    x = torch.randn(1, layer.channels, *layer.size, generator=torch.Generator().manual_seed(0))

    def at(ablation, only=None):
        row = torch.full((1, len(task)), float(ablation))
        if only is not None:
            row = torch.zeros(1, len(task))
            row[:, task.targets[0].units.slices[layer.name].start + only] = ablation
        return eager_edit(bound, row)(x.clone(), layer)

    assert torch.equal(at(0), x)
    assert torch.equal(at(1, only=3)[:, [0, 1, 2, 4, 5]], x[:, [0, 1, 2, 4, 5]]), (
        "other units of the layer keep every bit"
    )
    torch.testing.assert_close(at(1), bound[0][1](x.clone(), layer).expand_as(x))
    steps = [at(k / 50) for k in range(51)]
    sizes = torch.stack([(a - b).abs().max() for a, b in itertools.pairwise(steps)])
    assert float(sizes.max()) < 1.05 * float(sizes.min()) + 1e-5


@pytest.mark.slow
@needs_openvino
def test_every_operator_in_a_compiled_graph():
    """Graphs of six targets, each of which is ablated alone, equal torch."""
    toy = TINY["toy"]()
    units, draw = Units(toy.layers), torch.Generator().manual_seed(0)
    for start in range(0, len(OPERATORS), 6):
        some = OPERATORS[start : start + 6]
        task = AblationTask(toy, sample_ws(toy), tuple(Target(each, units) for each in some))
        alone = [
            torch.zeros(len(some), 52).index_fill(0, torch.tensor(k), 1)
            * torch.rand(52, generator=draw)
            for k in range(len(some))
        ]
        sample = torch.stack([torch.zeros(len(task)), *(row.flatten() for row in alone)])
        engine, _ = OpenVINOConfig("float32").choose(task, sample)
        compiled, expected = render(engine, sample), render(REFERENCE.start(task), sample)
        for operator, *frames in zip([None, *some], compiled, expected, strict=True):
            assert psnr(frames[:1], frames[1:]) >= 45, operator


@pytest.mark.parametrize("name", [name for name in TINY if name != "toy"])
def test_every_operator_on_every_architecture(name):
    network = TINY[name]()
    units = Units(network.layers)
    for operator in OPERATORS:
        task = AblationTask.of(network, sample_ws(network), operator)
        rows = torch.stack((torch.zeros(len(units)), torch.ones(len(units))))
        intact, ablated = render(REFERENCE.start(task), rows)
        assert intact.shape == ablated.shape


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_operator_on_every_kind_of_units(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    units = unit_kinds.units_of_kinds(network, kind)
    row = torch.ones(1, len(units))
    for operator in OPERATORS:
        task = AblationTask(network, sample_ws(network), (Target(operator, units),))
        (frame,) = render(REFERENCE.start(task), row)
        assert frame.shape == (32, 32, 3), operator


@pytest.mark.parametrize(
    ("make", "message"),
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
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(RequestError, match=message):
        make()
