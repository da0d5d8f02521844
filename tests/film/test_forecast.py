"""Before a long film: how long it takes, and how much disk it needs."""

import logging
from types import SimpleNamespace

import pytest

from forgetting.film import forecast


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(forecast, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def frames(clock, count, seconds):
    for _ in range(count):
        clock.now += seconds
        yield None


def test_a_long_film_says_once_how_long_it_takes(clock, caplog):
    caplog.set_level(logging.INFO, "forgetting")
    assert len(list(forecast.forecast_time(frames(clock, 1000, 2.0), 1000))) == 1000
    assert caplog.messages == [
        "1000 frames take about 33 min; Ctrl-C is safe, what is finished is kept"
    ]


def test_a_short_film_says_nothing(clock, caplog):
    caplog.set_level(logging.INFO, "forgetting")
    list(forecast.forecast_time(frames(clock, 1000, 0.1), 1000))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("size", "free", "said"),
    [
        (10_000, 50e9, None),
        (60_000_000, 50e9, "the film needs about 12.0 GB of disk in {folder}, where 50.0 GB are"),
        (10_000, 1e6, "where 1 MB are free; free some space, or choose another hydra.run.dir"),
    ],
)
def test_a_film_that_needs_much_disk_says_so(tmp_path, monkeypatch, caplog, size, free, said):
    caplog.set_level(logging.INFO, "forgetting")
    path = tmp_path / "run/segments/key/a.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    monkeypatch.setattr(type(path), "stat", lambda _: SimpleNamespace(st_size=size))
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    segment = range(0, 10)
    store = SimpleNamespace(folder=path.parent, named=lambda: {segment: path})
    forecast.forecast_disk(store, segment, 1000)
    monkeypatch.undo()
    if said is None:
        assert caplog.messages == []
    else:
        assert said.format(folder=tmp_path / "run") in caplog.messages[0]
