"""Benchmarks print figures; here they only have to run."""

import pytest

import speed
from forgetting.engines.torch_cpu import TorchConfig


@pytest.mark.model
def test_films_are_made_with_and_without_a_map(face_model, capsys):
    for layout in ("face", "diptych"):
        speed.Film(TorchConfig(), layout=layout).start()(2)
    speed.print_drawing(1.0)
    assert "5504" in capsys.readouterr().out
