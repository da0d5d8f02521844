import os
import signal
import subprocess
import sys
import time

import pytest

from forgetting.jobs import run
from helpers import ROOT, SEGMENTED, compose_config, decode_film, file_hashes

CHILD = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("error")
from pathlib import Path
from forgetting import run
sys.path.insert(0, sys.argv[1])
from helpers import SEGMENTED, compose_config

def attempt(settings, folder, before=lambda: None):
    # imports are done: a fork starts in no time
    child = os.fork()
    if child == 0:
        try:
            before()
            run.render(settings, folder)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child

def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def python(script, *arguments):
    """Run a script of which ``CHILD`` is the beginning; torch is imported once, and every attempt is a fork of it."""
    command = [sys.executable, "-c", CHILD + script, str(ROOT / "tests"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork to kill")


@forks
def test_killed_at_thirty_random_moments(tmp_path):
    """SIGKILL, thirty times, seeded; resumed each time; the same film, and not a byte of it different."""
    said = python(
        """
folder, moments, killed = Path(sys.argv[2]), random.Random(3), 0
settings = compose_config(*SEGMENTED, "film.duration=200")
while killed < 30:
    child = attempt(settings, folder)
    time.sleep(moments.uniform(0.02, 0.45))
    os.kill(child, signal.SIGKILL)
    assert status(child) == -signal.SIGKILL, "the film was finished before it could be killed thirty times"
    killed += 1
    print(len(list(folder.glob("segments/*/*-*.*.mp4"))), end=" ")
    assert not (folder / "film.mp4").exists()
""",
        tmp_path / "killed",
    )
    progress = [int(number) for number in said.split()]
    print(progress)
    assert progress == sorted(progress), "what was finished is kept"
    assert progress[-1] > 0
    assert len(set(progress)) > 5, "they were killed in different places"
    run.resume(tmp_path / "killed")
    run.render(compose_config(*SEGMENTED, "film.duration=200"), tmp_path / "undisturbed")
    assert file_hashes(tmp_path / "killed") == file_hashes(tmp_path / "undisturbed")
    assert decode_film(tmp_path / "killed/film.mp4", 64).shape[0] == 2000


@forks
def test_killed_before_and_after_every_renaming(tmp_path):
    """All states that files can be left in, one after another."""
    said = python(
        """
settings = compose_config(*SEGMENTED, "film.duration=2", "film.stations=2")

def dying(n, late):
    def before():
        calls = 0
        def wrapped(real):
            def call(self, target):
                nonlocal calls
                calls += 1
                if calls == n and not late:
                    os.kill(os.getpid(), signal.SIGKILL)
                found = real(self, target)
                if calls == n:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found
            return call
        Path.replace, Path.rename = wrapped(Path.replace), wrapped(Path.rename)
    return before

n, ends = 0, 0
while ends < 2:
    n += 1
    for late in (False, True):
        folder = Path(sys.argv[2]) / f"{n}{late}"
        ended = status(attempt(settings, folder, dying(n, late)))
        ends += ended == 0
        assert ended in (0, -signal.SIGKILL)
        assert status(attempt(settings, folder)) == 0
print(n)
""",
        tmp_path,
    )
    assert int(said) > 9
    folders = sorted(path for path in tmp_path.iterdir())
    assert len(folders) == 2 * int(said)
    for folder in folders:
        assert file_hashes(folder) == file_hashes(folders[-1]), folder


@forks
def test_two_processes_in_one_folder(tmp_path, undisturbed):
    said = python(
        """
folder = Path(sys.argv[2])
for _ in range(3):
    children = [attempt(compose_config(*SEGMENTED, "film.duration=6"), folder) for _ in range(3)]
    assert 0 in [status(child) for child in children]
""",
        tmp_path / "shared",
    )
    assert all("another process is making a film in" in line for line in said.splitlines()), said
    assert file_hashes(tmp_path / "shared") == undisturbed


def test_ctrl_c_ends_at_once_and_tells_how_to_go_on(tmp_path):
    settings = [*SEGMENTED, "film.duration=3000", "hydra.run.dir=run"]
    command = [sys.executable, "-m", "forgetting", "render", *settings]
    heard = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # a shell's background jobs inherit deaf ears
    told = os.environ | {"COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=told, **heard
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("run/segments/*/*-*.*.mp4"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert time.monotonic() - pressed < 2
    assert process.returncode == 1
    assert "interrupted; " in said
    assert f"go on with: forgetting resume {tmp_path / 'run'}" in said
    assert "Traceback" not in said
    assert [path.name for path in sorted((tmp_path / "run").iterdir())] == ["plan.npz", "segments"]
    assert not list((tmp_path / "run").rglob("*.part"))
