import copy

import pytest
import torch

from forgetting.ablation.activations import average_maps
from forgetting.ablation.edits import eager_edit
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import sample_ws

OPERATORS = [Zero(), Prune(), Mean(), Average()]


def intact_maps(generator, ws):
    maps = {}
    generator.bind(ws)(lambda x, layer: maps.update({layer.name: x.clone()}) or x)
    return maps


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_edits_interpolate_to_the_replacement(tiny, operator):
    """``x + ablation * (operator(x) - x)`` equals a slow reference for random ablation."""
    ws, units = sample_ws(tiny, 2), Units(tiny.layers)
    ablation = torch.rand(2, len(units), generator=torch.Generator().manual_seed(0))
    replacement = operator.bind(tiny, ws)
    edit = eager_edit([(units, replacement)], ablation)
    for layer, x in zip(tiny.layers, intact_maps(tiny, ws).values(), strict=True):
        expected = x.clone()
        replaced = replacement(x, layer).expand_as(x)
        for b in range(2):
            for c, a in enumerate(units.split(ablation)[layer.name][b]):
                expected[b, c] = (1 - a) * x[b, c] + a * replaced[b, c]
        torch.testing.assert_close(edit(x.clone(), layer), expected)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: type(o).__name__)
def test_no_ablation_changes_no_bit(tiny, operator):
    ws, units = sample_ws(tiny), Units(tiny.layers)
    synthesis, replacement = tiny.bind(ws), operator.bind(tiny, ws)
    assert torch.equal(
        synthesis(eager_edit([(units, replacement)], torch.zeros(1, len(units)))), synthesis()
    )
    # Nor do other units of a layer change when one is ablated.
    ablation = torch.zeros(1, len(units))
    ablation[0, 0] = 1
    layer, x = tiny.layers[0], intact_maps(tiny, ws)[tiny.layers[0].name]
    assert torch.equal(
        eager_edit([(units, replacement)], ablation)(x.clone(), layer)[:, 1:], x[:, 1:]
    )


def test_replacements_equal_their_definition(tiny):
    ws = sample_ws(tiny)
    for layer, x in zip(tiny.layers, intact_maps(tiny, ws).values(), strict=True):
        assert not Zero().bind(tiny, ws)(x, layer).any()
        torch.testing.assert_close(
            Mean().bind(tiny, ws)(x, layer), x.mean((2, 3))[:, :, None, None]
        )
        assert torch.equal(
            Average().bind(tiny, ws)(x, layer), average_maps(tiny)[layer.name].float()
        )


def test_a_pruned_unit_is_one_without_weights(tiny):
    """To prune a unit is to set its incoming weights to zero, in every architecture and layer."""
    ws, units = sample_ws(tiny), Units(tiny.layers)
    for layer in tiny.layers:
        without = copy.deepcopy(tiny)
        weights = without.incoming(layer)
        names = [name for name, p in without.named_parameters() if _is_weight_of(name, layer, tiny)]
        assert len(names) == 1, names
        parameter = dict(without.named_parameters())[names[0]]
        (parameter[:, 3] if "blocks" in names[0] else parameter[3]).zero_()
        assert not without.incoming(layer)[3].any()
        assert weights.shape == without.incoming(layer).shape
        ablation = torch.zeros(1, len(units))
        ablation[0, units.slices[layer.name].start + 3] = 1
        torch.testing.assert_close(
            tiny.bind(ws)(eager_edit([(units, Prune().bind(tiny, ws))], ablation)),
            without.bind(ws)(),
        )


def _is_weight_of(name, layer, generator):
    index = generator.layers.index(layer)
    return name in (
        f"convs.{index}.weight",
        f"blocks.{index}.conv.weight",
        f"convs.{layer.name.replace('.', '_')}.pointwise",
        f"convs.{layer.name.replace('.', '_')}.weight",
    )


def test_softness_must_be_a_share():
    for kind in (Zero, Prune, Mean, Average):
        with pytest.raises(RequestError, match="operator.softness must lie between 0 and 1, got 2"):
            kind(softness=2.0)
