"""Waiting for commands is timed on a terminal, with a cache that is new or not."""

import os
from pathlib import Path

import pytest

import startup
from helpers import ROOT

TOY = "preview generator=toy ordering=random engine=torch film.duration=1 film.fps=4"


@pytest.mark.parametrize(
    ("shown", "counts"),
    [
        ("rendering frames ━━━ 0/720 0:00:01 left -:--:--", False),
        ("rendering frames ━━━ 1/720 0:00:01", True),
        ("rendering samples ━━ 16/16", True),
        ("measuring where the picture changes ━━ 12/64", False),
        ("measuring ━━ 12/64\r\nrendering frames ━━ 0/720", False),
    ],
)
def test_the_first_frame_is_the_one_that_the_progress_bar_counts(shown, counts):
    assert bool(startup.FIRST_FRAME.search(shown)) == counts


@pytest.fixture
def models(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "network.safetensors").write_bytes(b"weights")
    return tmp_path / "models"


def test_a_new_cache_holds_the_models_and_is_removed(models):
    (models.parent / "statistics").mkdir()
    with startup.new_cache(models) as cache:
        assert [path.relative_to(cache) for path in cache.rglob("*.*")] == [
            Path("models/network.safetensors")
        ]
    assert not cache.exists()
    assert (models / "network.safetensors").read_bytes() == b"weights"


@pytest.mark.slow
def test_a_command_runs_twice_with_one_cache(models, monkeypatch):
    caches = []
    wait_for = startup.wait_for

    def recorded(words, variables, folder):
        caches.append(variables["FORGETTING_CACHE"])
        wait = wait_for(words, variables, folder)
        assert [*folder.glob("outputs/*/sheet.png")]
        return wait

    monkeypatch.setattr(startup, "wait_for", recorded)
    waits = startup.wait_twice(TOY, ROOT, models)
    assert [*waits] == ["first", "again"]
    assert caches[0] == caches[1] != os.environ["FORGETTING_CACHE"]
    assert all(0.1 < wait.painted <= wait.lap.seconds for wait in waits.values())
    assert all(wait.lap.processor_seconds > 0.1 for wait in waits.values())


@pytest.mark.slow
def test_a_command_that_fails_ends_the_benchmark_with_its_message(models, tmp_path):
    with pytest.raises(SystemExit, match=r"ended with 2:\n(.|\n)*film\.fps"):
        startup.wait_for(["preview", "film.fps=0"], startup.environment(ROOT, models), tmp_path)


@pytest.mark.slow
def test_another_checkout_is_the_code_that_runs(tmp_path):
    startup.check_checkout(ROOT)
    with pytest.raises(SystemExit, match="no checkout of the project"):
        startup.check_checkout(tmp_path)
    other = tmp_path / "other"
    (other / "forgetting").mkdir(parents=True)
    (other / "forgetting" / "__init__.py").write_text("")
    startup.check_checkout(other)


def test_ratios_are_of_this_checkout_to_the_other(capsys, monkeypatch):
    def wait(seconds):
        lap = startup.Lap(seconds, 2 * seconds, None)
        return {time: startup.Wait(seconds / 2, lap) for time in startup.TIMES}

    monkeypatch.setattr(startup, "wait_twice", lambda command, path, models: wait(float(path.name)))
    checkouts = {"this": Path("7"), "that": Path("10")}
    startup.print_command("render", checkouts, Path(), 4)
    table = capsys.readouterr().out.splitlines()
    assert table[0].split("  ")[0] == "forgetting render"
    this, that = (line for line in table if line.startswith("again"))
    assert this.count("0.70 (0.70-0.70)") == 3
    assert that.split()[-1] == "1"
    startup.print_command("render", {"this": Path("7")}, Path(), 1)
    assert "times as long" not in capsys.readouterr().out
