"""Sweeps: runs that know their folders, whatever stops them."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from hydra.errors import MissingConfigException
from test_experiment import config

from forgetting import console, extras, recipe, run, sweep
from forgetting.errors import ForgettingError, RequestError

SMALL = ["generator=toy", "engine=torch", "film.preset=ultrafast", "film.size=32", "film.fps=6", "film.segment=3", "pacing=units"]
SWEPT = ["operator=zero,mean,average", "latent.seed=1,2", "ordering.seed=1,2", "schedule=linear,ease", "measure.names=none"]
MADE = ("film.mp4", "recipe.yaml", "poster.png", "sheet.png")


def command(folder, *more):
    return [sys.executable, "-m", "forgetting", "render", "-m", *SMALL, "ordering=random", *(more or SWEPT), f"hydra.sweep.dir={folder}"]


def made(folder):
    """Name of every finished run -> its files."""
    return {path.parent.name: {name: (path.parent / name).read_bytes() for name in MADE} for path in folder.glob("*/recipe.yaml")}


def test_runs_are_named_by_what_they_make():
    one = config("generator=toy", "latent.seed=1")
    assert recipe.name(one) == recipe.name(config("generator=toy", "latent.seed=1", "measure.rate=7", "render.shard=1/2"))
    assert recipe.name(one) != recipe.name(config("generator=toy", "latent.seed=2"))
    assert recipe.name(one) != recipe.name(config("generator=toy", "latent.seed=1", "film.fps=25"))
    assert recipe.name(one) != recipe.name(one | {"plan": "a/plan.npz"})


def test_how_many_runs():
    assert sweep.count(["a=1,2,3", "b=range(0,4)", "c=x", "d=choice(p,q)"]) == 24
    assert sweep.count(["c=[1,2]"]) == 1


def test_killed_five_times_it_ends_as_if_nothing_had_happened(tmp_path):
    """At random moments, seeded; nothing that was finished is touched again."""
    draw = random.Random(6)
    subprocess.run(command(tmp_path / "quiet"), check=True, capture_output=True, cwd=tmp_path)
    quiet = made(tmp_path / "quiet")
    assert len(quiet) == 24
    folder, finished = tmp_path / "noisy", {}
    for kill in range(5):
        process = subprocess.Popen(
            command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while len(made(folder)) < 4 * kill + 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for name in made(folder):
            stamp = (folder / name / "film.mp4").stat().st_mtime_ns
            assert finished.setdefault(name, stamp) == stamp, "a finished run is left alone"
    assert 10 <= len(finished) < 24
    subprocess.run(command(folder), check=True, capture_output=True, cwd=tmp_path)
    assert made(folder) == quiet
    for name, stamp in finished.items():
        assert (folder / name / "film.mp4").stat().st_mtime_ns == stamp
    assert {path.name for path in folder.iterdir()} == {*quiet, "sweep.json", "multirun.yaml"}
    assert not list(folder.rglob("*.part"))


LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],  # what Slurm would run, as processes of this machine
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_several_at_a_time(tmp_path, launcher):
    """One of them fails: the others are made, and it is told at the end."""
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    told = subprocess.run(
        command(tmp_path / "sweep", "latent.seed=1,2,-3", *LAUNCHERS[launcher], "measure.names=none"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "400"},
    )
    assert told.returncode == 2
    assert "1 of 3 runs in" in told.stderr
    assert "latent.seed must lie between 0 and 4294967295, got -3" in told.stderr
    assert len(list((tmp_path / "sweep").glob("*/film.mp4"))) == 2


def test_a_changed_run_is_another_beside_the_old_ones(tmp_path):
    folder = tmp_path / "sweep"
    subprocess.run(command(folder, "latent.seed=1", "measure.names=none"), check=True, capture_output=True, cwd=tmp_path)
    (old,) = folder.glob("*/film.mp4")
    stamp = old.stat().st_mtime_ns
    again = subprocess.run(
        command(folder, "latent.seed=1,2", "measure.names=none"), check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert again.stderr.count("is finished already") == 1
    subprocess.run(command(folder, "latent.seed=1,2", "film.fps=5", "measure.names=none"), check=True, capture_output=True, cwd=tmp_path)
    assert len(list(folder.glob("*/film.mp4"))) == 4
    assert old.stat().st_mtime_ns == stamp
    assert [one.what for one in sweep.states(folder)] == ["finished"] * 4


def test_an_experiment_may_sweep_by_itself(tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "two.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      operator: zero,mean\n"
    )
    folder = sweep.begin(
        ["-m", "--config-dir", str(tmp_path / "mine"), "experiment=two", "latent.seed=1,2", f"hydra.sweep.dir={tmp_path / 'two'}"]
    )
    assert folder == tmp_path / "two"
    assert sweep.wanted(folder) == 4
    assert sweep.begin(["experiment=study", "latent.seed=3", f"hydra.sweep.dir={tmp_path}"]) == tmp_path
    assert sweep.wanted(tmp_path) == 6, "what is said replaces what the experiment says"


def test_one_that_failed_is_told_and_forgotten_once_it_succeeds(tmp_path):
    sweep.begin(["latent.seed=1,2", f"hydra.sweep.dir={tmp_path}"])
    sweep.fail(tmp_path / "one", RequestError("too green"), ["latent.seed=2"])
    (state,) = sweep.states(tmp_path)
    assert (state.what, state.why, state.settings) == ("failed", "too green", "latent.seed=2")
    with pytest.raises(RequestError, match="1 of 2 runs in .* failed: one: too green"):
        sweep.told(tmp_path, 0)
    sweep.told(tmp_path, time.time() + 1)
    sweep.fail(tmp_path / "two", ForgettingError("the disk is full"))
    with pytest.raises(ForgettingError, match="2 of 2 runs") as caught:
        sweep.told(tmp_path, 0)
    assert caught.value.exit_code == 1
    sweep.succeed(tmp_path / "one")
    assert [path.name for path, _ in sweep.failures(tmp_path)] == ["two"]


def test_how_far_it_is(tmp_path):
    with pytest.raises(RequestError, match="there is no sweep in"):
        sweep.states(tmp_path)
    settings = config(*SMALL, "film.duration=2", "latent.seed=4")
    run.render(settings, tmp_path / "a")
    run.render(settings | {"render": {"shard": "1/2"}}, tmp_path / "b")
    sweep.begin(["latent.seed=1,4", "operator=zero,mean", f"hydra.sweep.dir={tmp_path}"])
    done, half = sweep.states(tmp_path)
    assert (done.what, done.done, done.frames, done.settings) == ("finished", 12, 12, "latent.seed=4, operator=zero")
    assert (half.what, half.done, half.frames) == ("broken off", 6, 12)
    with run._alone(tmp_path / "b", None):
        assert sweep.states(tmp_path)[1].what == "running"
    assert sweep.states(tmp_path / "a") == [sweep.State(tmp_path / "a", "finished", 12, 12)]
    (tmp_path / "sweep.json").write_text("{")
    assert sweep.wanted(tmp_path) is None
    assert len(sweep.states(tmp_path)) == 2


@pytest.mark.parametrize(("launcher", "extra"), extras.LAUNCHERS.items())
def test_a_launcher_that_is_not_installed_is_told_with_its_extra(launcher, extra):
    """Which it is not where Hydra finds only its own."""
    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"])
    assert f"pip install 'forgetting[{extra}]' brings it" in str(console._explain(error, []))
