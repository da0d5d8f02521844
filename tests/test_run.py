"""Films that are interrupted in every way, and go on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from test_encoder import decode
from test_experiment import config

from forgetting import files
from forgetting.ablation import plan as plans
from forgetting.errors import ForgettingError, RequestError
from forgetting.film import encoder, recipe
from forgetting.jobs import run

SETTINGS = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=64",
    "film.fps=10",
    "film.segment=10",
    "pacing=units",
    "measure.names=none",
]


def files(folder):
    """Name -> hash; the plan's archive holds the time it was written at, the summary how long it all took."""
    summary = files.read_json(folder / "summary.json")
    assert not summary or summary.pop("render_seconds") > 0
    timeless = [path for path in folder.iterdir() if path.name not in ("plan.npz", "summary.json")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in timeless} | (
        {"summary.json": str(summary)} if summary else {}
    )


@pytest.fixture
def film(tmp_path):
    """A film of 60 frames in six segments that nothing disturbed."""
    run.render(config(*SETTINGS, "film.duration=6"), tmp_path / "undisturbed")
    return files(tmp_path / "undisturbed")


CHILD = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("error")
from pathlib import Path
from forgetting import run
sys.path.insert(0, sys.argv[1])
from test_run import SETTINGS, config

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
    command = [
        sys.executable,
        "-c",
        CHILD + script,
        str(Path(__file__).parent),
        *map(str, arguments),
    ]
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
settings = config(*SETTINGS, "film.duration=200")
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
    run.render(config(*SETTINGS, "film.duration=200"), tmp_path / "undisturbed")
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert decode(tmp_path / "killed/film.mp4", 64).shape[0] == 2000


@forks
def test_killed_before_and_after_every_renaming(tmp_path):
    """All states that files can be left in, one after another."""
    said = python(
        """
settings = config(*SETTINGS, "film.duration=2", "film.stations=2")

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
        assert files(folder) == files(folders[-1]), folder


@forks
def test_two_processes_in_one_folder(tmp_path, film):
    said = python(
        """
folder = Path(sys.argv[2])
for _ in range(3):
    children = [attempt(config(*SETTINGS, "film.duration=6"), folder) for _ in range(3)]
    assert 0 in [status(child) for child in children]
""",
        tmp_path / "shared",
    )
    assert all("another process is making a film in" in line for line in said.splitlines()), said
    assert files(tmp_path / "shared") == film


def test_shards_make_the_same_film_anywhere(tmp_path, film):
    for k in (1, 2, 3):
        folder = tmp_path / f"{k % 2}"
        assert (
            run.render(config(*SETTINGS, "film.duration=6", f"render.shard={k}/3"), folder)
            == folder
        )
        assert not (folder / "film.mp4").exists()
    with pytest.raises(RequestError, match=r"frames 20-29, 30-39 of 60 are missing"):
        run.join([tmp_path / "1"], tmp_path / "1")
    run.join([tmp_path / "0", tmp_path / "1"], tmp_path / "joined")
    assert files(tmp_path / "joined") == film
    run.join([tmp_path / "1", tmp_path / "0"], tmp_path / "1")
    assert files(tmp_path / "1") == film
    run.render(config(*SETTINGS, "film.duration=6"), tmp_path / "0")
    assert files(tmp_path / "0") == film, "a part can also grow into the whole"


def test_parts_by_a_plan_that_was_looked_at(tmp_path):
    """The plan may lie elsewhere on every machine; what auto chose is taken by all of them."""
    settings = [
        "generator=toy",
        "film.preset=ultrafast",
        "film.size=64",
        "film.fps=10",
        "film.duration=4",
        "film.segment=10",
    ]
    run.preview(config(*settings), tmp_path)
    for k in (1, 2):
        plan = shutil.copyfile(tmp_path / "plan.npz", tmp_path / f"plan{k}.npz")
        given = recipe.config_with_plan(
            config(f"plan={plan}", f"render.shard={k}/2"), ["plan", "render.shard"]
        )
        run.render(given, tmp_path / str(k))
    assert len(decode(run.join([tmp_path / "1", tmp_path / "2"], tmp_path / "film"), 64)) == 40


def test_another_plan_is_another_film(tmp_path):
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        run.preview(
            config(*SETTINGS, "film.duration=2", "ordering=random", f"ordering.seed={seed}"),
            tmp_path / str(seed),
        )
    given = [config(f"plan={tmp_path / str(seed) / 'plan.npz'}") for seed in (1, 2)]
    settings = recipe.config_with_plan(given[0], ["plan"])
    run.render(settings | {"render": {"shard": "1/2"}}, tmp_path / "run")
    run.render(settings | {"plan": given[1]["plan"]}, tmp_path / "run")
    run.render(settings | {"plan": given[1]["plan"]}, tmp_path / "other")
    assert files(tmp_path / "run") == files(tmp_path / "other")


def test_parts_of_different_films_are_not_joined(tmp_path):
    for k, seed in ((1, 3), (2, 4)):
        run.render(
            config(*SETTINGS, "film.duration=4", f"latent.seed={seed}", f"render.shard={k}/2"),
            tmp_path / str(k),
        )
    with pytest.raises(
        RequestError, match="parts of different films: config.latent.seed was 3, is 4"
    ):
        run.join([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
    with pytest.raises(RequestError, match="there is no run in"):
        run.join([tmp_path / "nowhere"], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_a_recipe_that_changed_is_made_anew(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = tmp_path / "run"
    run.render(config(*SETTINGS, "film.duration=2", "latent.seed=3", "render.shard=1/2"), folder)
    run.render(config(*SETTINGS, "film.duration=2", "latent.seed=4"), folder)
    assert "held another film (latent.seed was 3, is 4): this one is made anew" in caplog.text
    run.render(config(*SETTINGS, "film.duration=2", "latent.seed=4"), tmp_path / "other")
    assert files(folder) == files(tmp_path / "other")
    caplog.clear()
    before = (folder / "film.mp4").stat().st_mtime_ns
    run.render(config(*SETTINGS, "film.duration=2", "latent.seed=4"), folder)
    assert "is finished already" in caplog.text
    assert (folder / "film.mp4").stat().st_mtime_ns == before


def test_other_versions_are_never_mixed(tmp_path, caplog, monkeypatch):
    import forgetting

    caplog.set_level("INFO")
    monkeypatch.setattr(forgetting, "__version__", "0.0.1")
    run.render(config(*SETTINGS, "film.duration=2", "render.shard=1/2"), tmp_path / "run")
    monkeypatch.undo()
    run.resume(tmp_path / "run")
    assert "held another film (made by another plan, other versions" in caplog.text
    run.render(config(*SETTINGS, "film.duration=2"), tmp_path / "other")
    assert files(tmp_path / "run") == files(tmp_path / "other")


def test_a_plan_that_was_edited_is_another_film(tmp_path):
    run.render(
        config(*SETTINGS, "film.duration=2", "film.ending=smudge", "render.shard=1/2"), tmp_path
    )
    before = next((tmp_path / "segments").glob("*/*-*.mp4"))
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "plan.npz").open("wb") as file:
        np.savez(file, **arrays | {"fraction": np.flip(arrays["fraction"])})
    path = run.resume(tmp_path)
    assert not before.exists()
    film = decode(path, 64)
    assert film[0].std() < film[-1].std(), "it runs backwards"
    assert plans.load_plan(tmp_path / "plan.npz").tracks[0].fraction[-1] == 0


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path, film, monkeypatch):
    real, calls = encoder.encode, []

    def third_is_full(settings, frames, path, *others):
        calls.append(path)
        if len(calls) == 3:
            path = Path("/dev/full")
        real(settings, frames, path, *others)

    monkeypatch.setattr(encoder, "encode", third_is_full)
    says = r"the disk is full at .*run; free some space and say 'forgetting resume .*run', what is finished is kept"
    with pytest.raises(ForgettingError, match=says):
        run.render(config(*SETTINGS, "film.duration=6"), tmp_path / "run")
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("segments/*/*-*.*.mp4")
    }
    assert len(kept) == 2
    assert not list((tmp_path / "run").rglob("*.part"))
    monkeypatch.setattr(
        encoder, "encode", lambda *arguments: calls.append(None) or real(*arguments)
    )
    calls.clear()
    run.resume(tmp_path / "run")
    assert len(calls) == 4
    assert files(tmp_path / "run") == film


def test_ctrl_c_ends_at_once_and_tells_how_to_go_on(tmp_path):
    settings = [*SETTINGS, "film.duration=3000", "hydra.run.dir=run"]
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


@pytest.mark.parametrize("kind", ["webm", "gif", "png"])
def test_every_format_goes_on(tmp_path, kind):
    settings = [*SETTINGS, "film.duration=2", f"film.format={kind}"]
    run.render(config(*settings), tmp_path / "whole")
    run.render(config(*settings, "render.shard=2/2"), tmp_path / "parts")
    run.resume(tmp_path / "parts")
    name = "film" if kind == "png" else f"film.{kind}"
    ours, theirs = (tmp_path / folder / name for folder in ("whole", "parts"))
    if kind == "png":
        assert files(ours) == files(theirs)
        assert len(files(ours)) == 20
    else:
        assert sha256(ours.read_bytes()).digest() == sha256(theirs.read_bytes()).digest()


def test_resume_where_there_is_nothing(tmp_path):
    with pytest.raises(RequestError, match="there is no run in .*: it has no plan.npz"):
        run.resume(tmp_path)
    (tmp_path / "plan.npz").write_bytes(b"noise")
    with pytest.raises(RequestError, match="not a plan"):
        run.resume(tmp_path)


def test_a_rough_cut(tmp_path):
    run.render(config(*SETTINGS, "film.duration=6"), tmp_path / "whole")
    path = run.render(config(*SETTINGS, "film.duration=6", "film.every=20"), tmp_path / "rough")
    whole, rough = decode(tmp_path / "whole/film.mp4", 64), decode(path, 64)
    assert len(rough) == 3
    assert all(np.abs(rough[k].astype(float) - whole[20 * k]).mean() < 3 for k in range(3))
