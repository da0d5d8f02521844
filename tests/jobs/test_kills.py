"""Runs that are killed at any moment, and resumed to the same film."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import forked
from forgetting.jobs import run
from helpers import SEGMENTED, compose_config, decode_film, file_hashes, render_config

pytestmark = pytest.mark.slow


@forked.needs_fork
@pytest.mark.parametrize(
    ("kills", "seconds"), [(8, 80), pytest.param(30, 200, marks=pytest.mark.soak)]
)
def test_killed_at_random_moments(tmp_path, kills, seconds):
    """SIGKILL at seeded random moments, then the next attempt; in the end the same bytes.

    Of every two attempts the second is not killed before it has finished a segment, however slow
    the machine is.
    """
    settings, moments, progress = (
        compose_config(*SEGMENTED, f"film.duration={seconds}", "measure.names=plain"),
        random.Random(3),
        [],
    )
    folder = tmp_path / "killed"

    def segments():
        return len(list(folder.glob("segments/*/*-*.*.mp4")))

    for kill in range(kills):
        before, process = segments(), forked.start(forked.render, settings, folder)
        while kill % 2 and segments() == before and process.is_alive():
            time.sleep(0.01)
        time.sleep(moments.uniform(0.02, 0.45))
        assert forked.kill(process) == -signal.SIGKILL, (
            "the film was finished before it was killed often enough"
        )
        progress.append(segments())
        assert not (folder / "film.mp4").exists()
    print(progress)
    assert progress == sorted(progress), "finished segments stay"
    assert progress[-1] > 0
    assert len(set(progress)) >= kills // 2, "the kills came at different stages"
    run.resume(folder)
    render_config(settings, tmp_path / "undisturbed")
    assert file_hashes(folder) == file_hashes(tmp_path / "undisturbed")
    assert decode_film(folder / "film.mp4", 64).shape[0] == 10 * seconds


@forked.needs_fork
@pytest.mark.parametrize(
    "moments", ["before or after", pytest.param("before and after", marks=pytest.mark.soak)]
)
def test_killed_at_every_renaming(tmp_path, moments):
    """From every state that files can be left in, the next attempt makes the same film.

    The short version kills by turns before and after a renaming.
    """
    settings = compose_config(*SEGMENTED, "film.duration=2", "film.stations=2")
    number, finished = 0, False
    while not finished:
        number += 1
        for after in (False, True) if moments == "before and after" else (number % 2 == 0,):
            folder = tmp_path / f"{number:02d}{after}"
            code = forked.ended(
                forked.start(forked.render_until_renaming, settings, folder, number, after)
            )
            assert code in (0, -signal.SIGKILL)
            finished = code == 0
            assert forked.ended(forked.start(forked.render, settings, folder)) == 0
    assert number > 9
    folders = sorted(tmp_path.iterdir())
    assert len(folders) >= number
    for folder in folders:
        assert file_hashes(folder) == file_hashes(folders[-1]), folder


@forked.needs_fork
def test_two_processes_in_one_folder(tmp_path, undisturbed):
    """Of three that start together at least one makes the film; the others say why they do not."""
    settings, errors = compose_config(*SEGMENTED, "film.duration=6"), tmp_path / "errors.txt"
    for _ in range(2):
        processes = [
            forked.start(forked.render, settings, tmp_path / "shared", errors) for _ in range(3)
        ]
        assert 0 in [forked.ended(process) for process in processes]
    assert errors.exists(), "all three took turns"
    assert all(
        "another process is making a film in" in line for line in errors.read_text().splitlines()
    ), errors.read_text()
    assert file_hashes(tmp_path / "shared") == undisturbed


def test_ctrl_c_ends_at_once_and_names_the_command_that_resumes(tmp_path):
    settings = [*SEGMENTED, "film.duration=3000", "hydra.run.dir=run"]
    command = [sys.executable, "-m", "forgetting", "render", *settings]
    default = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # a shell's background jobs ignore the signal
    wide = os.environ | {"COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=wide, **default
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("run/segments/*/*-*.*.mp4"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=30)[1]
    assert time.monotonic() - pressed < 2
    assert process.returncode == 130
    assert "interrupted; " in message
    assert f"resume with: forgetting resume {tmp_path / 'run'}" in message
    assert "Traceback" not in message
    assert [path.name for path in sorted((tmp_path / "run").iterdir())] == ["plan.npz", "segments"]
    assert not list((tmp_path / "run").rglob("*.part"))
