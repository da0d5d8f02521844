"""Styles, weights and neurons as units: they do what they say, everywhere."""

import numpy as np
import pytest
import torch

from forgetting.ablation import activations, tracks
from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.removal import Average, Level, Mean, Prune, Zero
from forgetting.ablation.orderings.basic import (
    Activation,
    Contribution,
    Layers,
    Magnitude,
    Random,
    Together,
)
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.engine import psnr
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.units import UNIT_KINDS
from forgetting.models.wrappers import WithMapping
from helpers import TINY, needs_openvino, randomised, sample_ws, with_mapping_units

ORDERINGS = [
    Random(),
    Random("layer"),
    Layers(),
    Magnitude(),
    Magnitude("incoming", first="largest"),
    Activation(),
    Contribution(),
    Together(),
]


OPERATORS = [Zero(), Prune(), Mean(), Average(), Level(0.5)]


def has(network, kind):
    return kind in ("channels", "picture") or any(
        part.layer.kind == kind for part in network.parts.values()
    )


def scene_of(name, kind, operator=None):
    network = with_mapping_units(TINY[name](), kind)
    units = unit_kinds.units_of_kinds(network, kind)
    return AblationTask(network, sample_ws(network), (Target(operator or Zero(), units),))


CASES = [(name, kind) for name in TINY for kind in UNIT_KINDS if has(TINY[name](), kind)]


def rows(scene, count=4):
    draw = torch.rand(count - 2, len(scene), generator=torch.Generator().manual_seed(0))
    return torch.cat((torch.zeros(1, len(scene)), draw, torch.ones(1, len(scene))))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_nothing_gone_is_the_picture_and_a_unit_gone_is_not(name, kind):
    scene = scene_of(name, kind, Level(3.0))
    network, ws, targets = scene.generator, scene.ws, scene.turned()
    untouched = eager_edit(targets, torch.zeros(1, len(scene)))
    assert torch.equal(network.bind(ws, untouched)(untouched), network.bind(ws)())
    for layer in scene.targets[0].units.layers:  # every layer is asked for, and has a say
        row = torch.zeros(1, len(scene))
        row[:, scene.targets[0].units.slices[layer.name]] = 1
        edit = eager_edit(targets, row)
        image = network.bind(ws, edit)(edit)
        if kind != "picture":
            assert not torch.equal(image, network.bind(ws)()), layer.name


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[1] == "weights"])
def test_a_dead_synapse_is_a_zero_in_the_file(name, kind):
    scene = scene_of(name, kind)
    row = rows(scene)[1].round()
    edit = eager_edit(scene.turned(), row[None])
    image = scene.generator.bind(scene.ws, edit)(edit)
    other = TINY[name]()
    for layer_name, part in scene.targets[0].units.split(row).items():
        weight = other.get_parameter(other.parts[layer_name].weight)
        weight.mul_((1 - part).view_as(weight))
    torch.testing.assert_close(image, other.bind(scene.ws)())


def test_a_dead_neuron_and_a_dead_style_are_zeros_where_they_are_heard():
    network = randomised(StyleGAN2((6, 5), (4, 4), 7, (8, 9)), 1)
    z = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    dead = lambda x, layer: (
        x * (1 - (torch.arange(x.shape[1]) == 2).float().view(1, -1, 1, 1))
        if layer.name == "mapping/0"
        else x
    )
    other = randomised(StyleGAN2((6, 5), (4, 4), 7, (8, 9)), 1)
    other.style.dense[1].weight[:, 2] = 0
    torch.testing.assert_close(network.mapping(z, 0.7, edit=dead), other.mapping(z, 0.7))
    torch.testing.assert_close(
        WithMapping(network).bind(WithMapping(network).mapping(z, 0.7), dead)(),
        other.bind(other.mapping(z, 0.7))(),
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_engine_makes_the_same_picture(name, kind):
    scene = scene_of(name, kind)
    sample, reference = rows(scene), TorchConfig().start(scene)
    expected = list(reference(sample))
    batched = TorchGPU.of(scene, "float32", "cpu", 3)
    assert psnr(batched(sample), expected) >= 50
    assert psnr(batched(sample[1:], [scene.ws] * 3 if scene.rebinds else None), expected[1:]) >= 50


@needs_openvino
@pytest.mark.parametrize(
    "name", ["toy", "dcgan-conditional", "stylegan2", "stylegan3-t", "mobile_stylegan"]
)
def test_the_compiled_engine_too(name):
    """All kinds at once."""
    network = TINY[name]()
    kinds = [kind for kind in UNIT_KINDS if has(network, kind)]
    network = with_mapping_units(network, "mapping" if "mapping" in kinds else "")
    units = unit_kinds.units_of_kinds(network, kinds)
    scene = AblationTask(
        network,
        sample_ws(network),
        (Target(Zero(), units), Target(Mean(), unit_kinds.units_of_kinds(network, "channels"))),
        moving=True,
    )
    sample = torch.cat((rows(scene) * 0.3, rows(scene)[:1]))
    faces_then = [sample_ws(network, seed=seed) for seed in range(5)]
    engine, _ = OpenVINOConfig("float32")(scene, sample)
    assert (
        psnr(engine(sample, faces_then), list(TorchConfig().start(scene)(sample, faces_then))) >= 45
    )
    assert psnr(engine(sample), list(TorchConfig().start(scene)(sample))) >= 45


@needs_openvino
@pytest.mark.parametrize("kinds", ["picture", ("picture", "channels")])
def test_frames_begin_late_only_where_a_row_is_that_of_the_channels(kinds):
    """A row in which the picture stands before the channels, all of it gone, and layers that are all gone."""
    network = TINY["toy"]()
    units = unit_kinds.units_of_kinds(network, kinds)
    scene = AblationTask(network, sample_ws(network), (Target(Amplify(factor=0.5), units),))
    sample = torch.stack(
        [
            torch.zeros(len(units)),
            torch.ones(len(units)),
            torch.ones(len(units)).index_fill(0, torch.arange(1, len(units)), 0),
        ]
    )
    engine, _ = OpenVINOConfig("float32")(scene, sample)
    assert psnr(engine(sample), list(TorchConfig().start(scene)(sample))) >= 50


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_kind_ordering_and_operator(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    ws = sample_ws(network)
    for ordering in ORDERINGS:
        for operator in OPERATORS:
            one = TrackSpec(ordering, operator, Schedule(), UnitPacing(), kind)
            engine = TorchConfig().start(tracks.ablation_task(network, ws, [one]))
            plan = tracks.make_plan(network, [one], [one.rank(network, ws)], 3, engine)
            frames = list(engine(plan.rows([0, 1, 2])))
            assert np.array_equal(
                frames[0],
                next(
                    TorchConfig().start(tracks.ablation_task(network, ws, [one]))(
                        torch.zeros(1, len(plan.row(0)))
                    )
                ),
            )
            assert bool((plan.row(2) == 1).all())


def test_statistics_of_other_kinds(cache_folder):
    network = WithMapping(TINY["stylegan2"]())
    units = unit_kinds.units_of_kinds(network, ("mapping", "channels", "styles", "weights"))
    found = units.split(activations.rms_over_faces(network, units, 3))
    channels = unit_kinds.units_of_kinds(network, "channels")
    assert torch.equal(
        torch.cat([found[layer.name] for layer in channels.layers]),
        activations.rms_over_faces(network, channels, 3),
    )
    weight = network.get_parameter("convs.b4_conv1.weight")
    torch.testing.assert_close(found["weights/b4.conv1"], weight.abs().flatten())
    listened = [
        network.network.mapping(ws[:, 0, :8], 1.0, ws[:, 0, 9:])
        for ws in activations.sample_faces(network, 3)
    ]
    last = torch.stack([w[0, 0] for w in listened]).square().mean(0).sqrt()
    torch.testing.assert_close(found["mapping/1"], last)


def test_kinds_that_are_not_there():
    with pytest.raises(
        RequestError,
        match="this network has no styles whose units could die; it has channels, weights",
    ):
        unit_kinds.units_of_kinds(TINY["dcgan"](), "styles")
    with pytest.raises(RequestError, match=r"no units 'style' .did you mean 'styles'"):
        unit_kinds.units_of_kinds(TINY["toy"](), "style")
