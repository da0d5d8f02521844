"""The contact sheet: its positions, thumbnails and labels."""

import numpy as np
import pytest
import torch

from forgetting.ablation.plan import Plan, Track
from forgetting.film import contact_sheet
from forgetting.models.units import Layer
from helpers import prepare_config


def test_sample_positions():
    assert contact_sheet.sample_positions(720, 16)[0] == 0
    assert contact_sheet.sample_positions(720, 16)[-1] == 719
    assert len(contact_sheet.sample_positions(720, 16)) == 16
    assert contact_sheet.sample_positions(3, 16) == [0, 1, 2]
    assert contact_sheet.sample_positions(1, 16) == [0]


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((64, 64), (8, 2)), ((50, 101), (4, 4)), ((50, 155), (3, 6)), ((160, 90), (8, 2))],
)
def test_thumbnails_have_the_same_shorter_side(shape, grid):
    cells = [contact_sheet.thumbnail(np.full((*shape, 3), 200, np.uint8))] * 16
    height, width = cells[0].shape[:2]
    assert min(height, width) == 256
    plan = Plan(
        (Track(torch.zeros(1), torch.zeros(16, dtype=torch.float64), 0.0, (Layer("a", 1),)),)
    )
    drawn = contact_sheet.draw_sheet(dict(enumerate(cells)), plan, 24)
    assert drawn.shape == (grid[1] * (height + 4) + 4, grid[0] * (width + 4) + 4, 3)


def test_a_transparent_thumbnail_shows_the_background():
    frame = np.full((64, 64, 4), 200, np.uint8)
    frame[..., 3] = 0
    assert (contact_sheet.thumbnail(frame) == contact_sheet.BACKGROUND).all()


def test_films_without_ablation_have_seconds_as_labels(dream_config, monkeypatch):
    labels = []
    monkeypatch.setattr(
        contact_sheet.ImageDraw.ImageDraw,
        "text",
        lambda self, position, text, *rest, **more: labels.append(text),
    )
    plan = prepare_config(dream_config()).compositor.plan
    contact_sheet.draw_sheet({index: np.zeros((8, 8, 3), np.uint8) for index in (0, 9)}, plan, 6)
    assert labels == ["0.0 s", "1.5 s"]
