"""The rows of the table of speeds."""

import pytest

import speed
from films import EVEN
from rounds import Timings
from stopwatch import Lap


def test_films_are_timed_in_every_precision():
    rows = speed.table_rows(["float32", "bfloat16"], "cpu", 240)
    for precision in ("float32", "bfloat16"):
        engine = ("engine=openvino", f"engine.precision={precision}")
        assert rows[f"default film, {precision}"] == speed.Film(engine, 240)
        assert rows[f"film, openvino {precision}"] == speed.Film((*engine, *EVEN), 240)
    assert not any("cuda" in name for name in rows)


def test_a_gpu_adds_rows_of_its_engine_and_of_the_default_film():
    rows = speed.table_rows(["float32"], "cuda", 240)
    assert rows["cuda float16, batch 8"].config.device == "cuda"
    assert "engine.device=cuda" in rows["default film, cuda float16, batch 8"].settings


def timings(*milliseconds):
    laps = [Lap(12 * time / 1000, 0, None) for time in milliseconds]
    return Timings(laps, 12, 2**30, None)


def test_ratios_are_against_the_plain_pass_with_the_lower_median(capsys):
    speed.print_rows(
        {
            "openvino, original, default": timings(100, 500, 500, 500),
            "openvino, original, float32": timings(200, 400, 200, 200),
            "default film, float32": timings(50, 100, 50, 50),
            "plain torch loop": timings(210, 300, 250, 190),
        }
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[-4:] == ["1", "0", "(0-0)", "1.0"]
    assert lines[3].split()[3:-3] == ["50", "(50-100)", "4.00", "(4.00-4.00)"]
    assert "not told apart" in lines[4]
    assert lines[5].startswith("How busy the machine was is not known")


def test_rows_are_chosen_by_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["speed.py", "--rows", "nothing*"])
    with pytest.raises(SystemExit):
        speed.main()
    assert "default film, float32" in capsys.readouterr().err
