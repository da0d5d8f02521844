"""The memory map: its cells, their brightness and their layers."""

import numpy as np
import pytest
import torch

from forgetting.ablation import tracks
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.basic import Together
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec
from forgetting.film.memory_map import MemoryMap
from forgetting.models import unit_kinds
from forgetting.models.activity import cell_count, map_layers, pool_cells, units_per_cell
from forgetting.models.units import Layer
from helpers import TINY, sample_ws


def test_cells_are_as_bright_as_units_are_active_and_glow_while_units_are_ablated():
    layers = (Layer("a", 6, (4, 4)),)
    memory = MemoryMap.of(layers, np.full(6, 2.0, np.float32), (60, 90))
    activity = np.array([0, 0.2, 0.8, 2.0, 2.0, 2.0], np.float32)
    drawn = memory.draw(activity, {"a": torch.tensor([0, 0, 0, 0, 0.5, 1.0])})
    colours = [drawn[memory.cells == k][0].astype(int) for k in range(6)]
    brightness = [colour.sum() for colour in colours]
    assert brightness[0] < brightness[1] < brightness[2] < brightness[3]
    assert brightness[0] > 0
    assert colours[4][0] > 1.5 * colours[4][2], "a cell glows orange while its unit is ablated"
    assert brightness[5] == 0


@pytest.mark.parametrize(
    "counts", [(3,), (512,) * 9 + (256, 256, 128, 128, 64, 64), (4096,) * 12, (1, 7, 19)]
)
@pytest.mark.parametrize("shape", [(1024, 1024), (300, 512)])
def test_every_cell_has_pixels_of_its_own(counts, shape):
    layers = tuple(Layer(f"l{k}", n) for k, n in enumerate(counts))
    total = sum(counts)
    cells = MemoryMap.of(layers, np.ones(total, np.float32), shape).cells
    pixels = np.bincount(cells.ravel(), minlength=total + 1)[:-1]
    assert pixels.min() >= 1
    assert pixels.max() <= 4 * np.median(pixels)
    assert pixels.sum() > 0.3 * cells.size, "the map fills its panel"
    first = np.array(
        [np.flatnonzero((cells == k).any(axis=1))[0] for k in np.cumsum((0, *counts[:-1]))]
    )
    assert bool((np.diff(first) > 0).all()), "layers lie one below the other"


def test_single_weights_share_cells():
    layer = Layer("weights/x", 10_001)
    values = torch.arange(10_001.0)
    count = units_per_cell(layer)
    expected = torch.stack(
        [values[k * count : (k + 1) * count].mean() for k in range(cell_count(layer))]
    )
    torch.testing.assert_close(pool_cells(values, layer), expected)


def test_the_picture_itself_has_no_cell():
    spec = TrackSpec(Together(), Zero(), Schedule(), UnitPacing(), ("channels", "picture"))
    toy = TINY["toy"]()
    plan = tracks.make_plan(toy, [spec], [spec.rank(toy, sample_ws(toy))], 3, None)
    assert [layer.name for layer in map_layers(track.layers for track in plan.tracks)] == [
        layer.name for layer in unit_kinds.units_of_kinds(toy, "channels").layers
    ]
