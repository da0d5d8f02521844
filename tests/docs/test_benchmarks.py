"""Benchmarks make the films that they time."""

import re

import pytest

import speed
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.film import decoder
from forgetting.models.activity import MAX_CELLS

pytestmark = pytest.mark.slow


@pytest.mark.model
@pytest.mark.parametrize(("layout", "shape"), [("face", (1024, 1024)), ("diptych", (1024, 2068))])
def test_the_speed_of_films_is_that_of_whole_films(face_model, monkeypatch, layout, shape):
    films, join_segments = [], speed.encoder.join_segments

    def recorded(film, segments, path, comment):
        join_segments(film, segments, path, comment)
        films.append([frame.shape[:2] for frame in decoder.decode_frames(path)])

    monkeypatch.setattr(speed.encoder, "join_segments", recorded)
    speed.Film(TorchConfig(), layout=layout).start()(2)
    assert films == [[shape] * 2]


@pytest.mark.model
def test_drawing_maps_is_timed_for_the_face_model_and_for_the_largest_map(face_model, capsys):
    speed.print_drawing(1.0)
    rows = re.findall(r"^ +(\d+) +([\d.]+) +(\d+)%$", capsys.readouterr().out, re.MULTILINE)
    assert [int(cells) for cells, _, _ in rows] == [5504, 12 * MAX_CELLS]
    for _, milliseconds, share in rows:
        assert float(milliseconds) > 0
        assert int(share) == pytest.approx(float(milliseconds) / 10, abs=0.6)
