"""The tables of how a frame's time grows."""

import re
from dataclasses import dataclass

import pytest

import growth
from forgetting.models.activity import MAX_CELLS

pytestmark = [pytest.mark.slow, pytest.mark.model]


@dataclass(frozen=True)
class Nothing:
    count: int = 1

    def start(self):
        return lambda: sum(range(2_000_000))


def test_drawing_maps_is_timed_for_the_face_model_and_for_the_largest_map(face_model, capsys):
    growth.print_drawing(Nothing(), 1)
    rows = re.findall(r"^(\d+) +([\d.]+) +([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    assert [int(cells) for cells, _, _ in rows] == [5504, 12 * MAX_CELLS]
    assert all(float(milliseconds) > 0 < float(share) for _, milliseconds, share in rows)


def test_smaller_networks_have_the_first_blocks_and_some_of_the_channels(face_model):
    network = growth.Frames("float32", blocks=4, width=0.25).network()
    assert network.size == (64, 64)
    assert {layer.channels for layer in network.layers} == {128}
