"""Styles, weights and mapping units, in every architecture and engine."""

import numpy as np
import pytest
import torch

from forgetting.ablation import activations, tracks
from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.removal import Average, Level, Mean, Prune, Zero
from forgetting.ablation.orderings.basic import Random, Together
from forgetting.ablation.orderings.combined import Layers
from forgetting.ablation.orderings.scores import Activation, Contribution, Magnitude
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.pixels import psnr
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.engines.torch_gpu import TorchGPU
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.units import UNIT_KINDS
from forgetting.models.wrappers import WithMapping
from helpers import (
    TINY,
    needs_openvino,
    picture_of_row,
    randomised,
    render,
    sample_ws,
    with_mapping_units,
)

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
    return bool(unit_kinds.layers_of_kind(network, kind))


def task_of(name, kind, operator=None):
    network = with_mapping_units(TINY[name](), kind)
    units = unit_kinds.units_of_kinds(network, kind)
    return AblationTask(network, sample_ws(network), (Target(operator or Zero(), units),))


CASES = [(name, kind) for name in TINY for kind in UNIT_KINDS if has(TINY[name](), kind)]


def rows_of(task, count=4):
    draw = torch.rand(count - 2, len(task), generator=torch.Generator().manual_seed(0))
    return torch.cat((torch.zeros(1, len(task)), draw, torch.ones(1, len(task))))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_layer_of_units_changes_the_picture(name, kind):
    task = task_of(name, kind, Level(3.0))
    network, ws, bound = task.generator, task.ws, task.bind_operators()
    intact = eager_edit(bound, torch.zeros(1, len(task)))
    assert torch.equal(network.bind(ws, intact)(intact), network.bind(ws)())
    for layer in task.targets[0].units.layers:  # every layer is edited
        row = torch.zeros(1, len(task))
        row[:, task.targets[0].units.slices[layer.name]] = 1
        edit = eager_edit(bound, row)
        image = network.bind(ws, edit)(edit)
        if kind != "picture":
            assert not torch.equal(image, network.bind(ws)()), layer.name


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[1] == "weights"])
def test_an_ablated_weight_is_a_zero_in_the_state_dict(name, kind):
    task = task_of(name, kind)
    row = rows_of(task)[1].round()
    edit = eager_edit(task.bind_operators(), row[None])
    image = task.generator.bind(task.ws, edit)(edit)
    other = TINY[name]()
    for layer_name, ablation in task.targets[0].units.split(row).items():
        weight = other.get_parameter(other.parameter_layers[layer_name].weight)
        weight.mul_((1 - ablation).view_as(weight))
    torch.testing.assert_close(image, other.bind(task.ws)())


def test_an_ablated_mapping_unit_equals_outgoing_weights_of_zero():
    network = randomised(StyleGAN2((6, 5), (4, 4), 7, (8, 9)), 1)
    z = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))

    def ablate(x, layer):
        intact = 1 - (torch.arange(x.shape[1]) == 2).float().view(1, -1, 1, 1)
        return x * intact if layer.name == "mapping/0" else x

    other = randomised(StyleGAN2((6, 5), (4, 4), 7, (8, 9)), 1)
    other.style.dense[1].weight[:, 2] = 0
    torch.testing.assert_close(network.mapping(z, 0.7, edit=ablate), other.mapping(z, 0.7))
    torch.testing.assert_close(
        WithMapping(network).bind(WithMapping(network).mapping(z, 0.7), ablate)(),
        other.bind(other.mapping(z, 0.7))(),
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_engine_makes_the_same_picture(name, kind):
    task = task_of(name, kind)
    sample = rows_of(task)
    expected = render(REFERENCE.start(task), sample)
    batched = TorchGPU.start(task, "float32", "cpu", 3)
    assert psnr(render(batched, sample), expected) >= 50
    faces = [task.ws] * 3 if task.rebinds else None
    assert psnr(render(batched, sample[1:], faces), expected[1:]) >= 50


@needs_openvino
@pytest.mark.parametrize(
    "name", ["toy", "dcgan-conditional", "stylegan2", "stylegan3-t", "mobile_stylegan"]
)
def test_openvino_makes_the_same_picture(name):
    """Units of all kinds are ablated at once."""
    network = TINY[name]()
    kinds = [kind for kind in UNIT_KINDS if has(network, kind)]
    network = with_mapping_units(network, "mapping" if "mapping" in kinds else "")
    units = unit_kinds.units_of_kinds(network, kinds)
    task = AblationTask(
        network,
        sample_ws(network),
        (Target(Zero(), units), Target(Mean(), unit_kinds.units_of_kinds(network, "channels"))),
        moving=True,
    )
    sample = torch.cat((rows_of(task) * 0.3, rows_of(task)[:1]))
    faces = [sample_ws(network, seed=seed) for seed in range(5)]
    engine, _ = OpenVINOConfig("float32").choose(task, sample)
    reference = REFERENCE.start(task)
    assert psnr(render(engine, sample, faces), render(reference, sample, faces)) >= 45
    assert psnr(render(engine, sample), render(reference, sample)) >= 45


@needs_openvino
@pytest.mark.parametrize("kinds", ["picture", ("picture", "channels")])
def test_frames_start_late_only_where_a_row_holds_the_channels_alone(kinds):
    """The picture's unit stands before the channels, and whole layers are ablated."""
    network = TINY["toy"]()
    units = unit_kinds.units_of_kinds(network, kinds)
    task = AblationTask(network, sample_ws(network), (Target(Amplify(factor=0.5), units),))
    sample = torch.stack(
        [
            torch.zeros(len(units)),
            torch.ones(len(units)),
            torch.ones(len(units)).index_fill(0, torch.arange(1, len(units)), 0),
        ]
    )
    engine, _ = OpenVINOConfig("float32").choose(task, sample)
    assert psnr(render(engine, sample), render(REFERENCE.start(task), sample)) >= 50


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_ordering_and_operator_on_every_kind(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    ws = sample_ws(network)
    for ordering in ORDERINGS:
        for operator in OPERATORS:
            spec = TrackSpec(ordering, operator, Schedule(), UnitPacing(), kind)
            engine = REFERENCE.start(tracks.ablation_task(network, ws, [spec]))
            ranks = [spec.rank(network, ws)]
            plan = tracks.make_plan(network, [spec], ranks, 3, picture_of_row(engine))
            frames = render(engine, plan.rows([0, 1, 2]))
            other = REFERENCE.start(tracks.ablation_task(network, ws, [spec]))
            (intact,) = render(other, torch.zeros(1, len(plan.row(0))))
            assert np.array_equal(frames[0], intact)
            assert bool((plan.row(2) == 1).all())


def test_statistics_of_all_kinds_at_once(cache_folder):
    network = WithMapping(TINY["stylegan2"]())
    units = unit_kinds.units_of_kinds(network, ("mapping", "channels", "styles", "weights"))
    rms = units.split(activations.rms_over_faces(network, units, 3))
    channels = unit_kinds.units_of_kinds(network, "channels")
    assert torch.equal(
        torch.cat([rms[layer.name] for layer in channels.layers]),
        activations.rms_over_faces(network, channels, 3),
    )
    weight = network.get_parameter("convs.b4_conv1.weight")
    torch.testing.assert_close(rms["weights/b4.conv1"], weight.abs().flatten())
    mapped = [
        network.network.mapping(ws[:, 0, :8], 1.0, ws[:, 0, 9:])
        for ws in activations.sample_faces(network, 3)
    ]
    last = torch.stack([w[0, 0] for w in mapped]).square().mean(0).sqrt()
    torch.testing.assert_close(rms["mapping/1"], last)


def test_kinds_that_a_network_does_not_have_are_refused():
    with pytest.raises(
        RequestError,
        match="this network has no styles to ablate; it has channels, weights, picture",
    ):
        unit_kinds.units_of_kinds(TINY["dcgan"](), "styles")
    with pytest.raises(RequestError, match=r"no units 'style' .did you mean 'styles'"):
        unit_kinds.units_of_kinds(TINY["toy"](), "style")
