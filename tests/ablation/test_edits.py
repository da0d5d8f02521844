from dataclasses import replace

import pytest
import torch

from forgetting.ablation.edits import (
    AblationTask,
    Target,
    eager_edit,
    recording_edit,
    traceable_edit,
)
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.removal import Level, Mean, Zero
from forgetting.errors import RequestError
from forgetting.models.activity import cell_activity
from forgetting.models.units import Units
from helpers import random_rows, sample_ws


@pytest.mark.parametrize(("rows", "faces"), [(1, 2), (2, 3), (3, 2), (2, 1)])
def test_there_must_be_a_row_for_every_face(toy, rows, faces):
    units = Units(toy.layers)
    edit = eager_edit([(units, Zero().bind(toy, sample_ws(toy)))], torch.ones(rows, len(units)))
    with pytest.raises(
        RequestError,
        match=f"there are {rows} rows of ablation for {faces} faces; give one row for every face",
    ):
        toy.bind(sample_ws(toy, faces))(edit)


def test_every_face_is_ablated_by_its_own_row(tiny):
    ws, rows = sample_ws(tiny, 3), random_rows(tiny, 3)
    bound = AblationTask.of(tiny, ws[:1], Zero()).bind_operators()
    together = tiny.bind(ws)(eager_edit(bound, rows))
    for k in range(3):
        alone = tiny.bind(ws[k, None])(eager_edit(bound, rows[k, None]))
        torch.testing.assert_close(alone[0], together[k], rtol=1e-5, atol=3e-5)


def test_edits_for_tracing_equal_eager_ones_and_leave_their_input_unchanged(tiny):
    rows = random_rows(tiny, 4)
    bound = AblationTask.of(tiny, sample_ws(tiny), Mean()).bind_operators()
    layer = tiny.layers[1]
    x = torch.randn(4, layer.channels, *layer.size, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    traceable = traceable_edit(bound, rows)(x, layer)
    assert torch.equal(x, before)
    torch.testing.assert_close(traceable, eager_edit(bound, rows)(x, layer))


def test_targets_edit_a_unit_in_turn(toy):
    """A unit of both targets is set to 2 and then multiplied by 3."""
    units, layer = Units(toy.layers), toy.layers[0]
    targets = (Target(Level(2.0), units), Target(Amplify(factor=3.0), units))
    task = AblationTask(toy, sample_ws(toy), targets)
    assert len(task) == 2 * len(units)
    x = torch.randn(1, layer.channels, *layer.size, generator=torch.Generator().manual_seed(0))
    row = torch.zeros(1, len(task))
    row[0, [0, 1, len(units), len(units) + 2]] = 1
    edited = eager_edit(task.bind_operators(), row)(x.clone(), layer)
    assert (edited[:, 0] == 6).all()
    assert (edited[:, 1] == 2).all()
    torch.testing.assert_close(edited[:, 2], 3 * x[:, 2])
    assert torch.equal(edited[:, 3:], x[:, 3:])


def test_recording_records_the_edited_activations(toy):
    layers = toy.layers[:2]
    edit, recorded = recording_edit(lambda x, layer: x * 2, layers)
    activations = {}
    toy.bind(sample_ws(toy))(
        lambda x, layer: activations.setdefault(layer.name, edit(x, layer).clone())
    )
    activity = recorded()
    expected = torch.cat([cell_activity(activations[layer.name], layer) for layer in layers], dim=1)
    assert torch.equal(activity, expected)


def test_results_about_frames_have_keys_of_their_own(toy):
    """Graphs, precisions and probes of a face that moves are not those of one that stays."""
    task = replace(AblationTask.of(toy, sample_ws(toy), Zero()), identity="a" * 64)
    variants = (
        task,
        replace(task, moving=True),
        replace(task, areas=2),
        replace(task, identity="b"),
    )
    assert len({variant.key("a part") for variant in variants}) == len(variants)
    assert task.key("a part") == replace(task).key("a part") != task.key("another")
    assert replace(task, identity=None).key("a part") is None
