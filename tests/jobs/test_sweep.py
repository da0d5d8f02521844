"""Sweeps: every run has a folder of its own, and is resumed there whatever stopped it."""

import random
import signal
import time

import pytest

import forked
from forgetting.errors import ForgettingError, RequestError
from forgetting.film import recipe
from forgetting.film.run_folder import RunFolder
from forgetting.jobs import sweep
from helpers import compose_config, render_config

pytestmark = pytest.mark.slow

SMALL = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=32",
    "film.fps=6",
    "film.segment=3",
    "pacing=units",
]


SWEPT = [
    "operator=zero,mean,average",
    "latent.seed=1,2",
    "ordering.seed=1,2",
    "schedule=linear,ease",
]


MADE = ("film.mp4", "recipe.yaml", "poster.png", "sheet.png")


def arguments(folder, *more):
    """Of a sweep of random orderings, by default that of ``SWEPT``."""
    return [
        "render",
        "-m",
        *SMALL,
        "ordering=random",
        *(more or SWEPT),
        f"hydra.sweep.dir={folder}",
    ]


def made(folder):
    """Name of every finished run -> its files."""
    return {
        path.parent.name: {name: (path.parent / name).read_bytes() for name in MADE}
        for path in folder.glob("*/recipe.yaml")
    }


def test_runs_are_named_by_the_config_of_their_film():
    one = compose_config("generator=toy", "latent.seed=1")
    assert recipe.run_id(one) == recipe.run_id(
        compose_config("generator=toy", "latent.seed=1", "measure.rate=7", "render.shard=1/2")
    )
    assert recipe.run_id(one) != recipe.run_id(compose_config("generator=toy", "latent.seed=2"))
    assert recipe.run_id(one) != recipe.run_id(
        compose_config("generator=toy", "latent.seed=1", "film.fps=25")
    )
    assert recipe.run_id(one) != recipe.run_id(one | {"plan": "a/plan.npz"})


def test_counting_the_runs_of_overrides():
    assert sweep.count_runs(["a=1,2,3", "b=range(0,4)", "c=x", "d=choice(p,q)"]) == 24
    assert sweep.count_runs(["c=[1,2]"]) == 1


@forked.needs_fork
@pytest.mark.parametrize(
    ("kills", "swept", "count"),
    [
        (2, ["operator=zero,mean", "latent.seed=1,2,3", "film.duration=2"], 6),
        pytest.param(5, SWEPT, 24, marks=pytest.mark.soak),
    ],
)
def test_a_sweep_killed_at_random_moments_makes_the_same_films(tmp_path, kills, swept, count):
    """At seeded moments; finished runs are left alone."""
    draw = random.Random(6)
    assert (
        forked.ended(
            forked.start(
                forked.command_line,
                arguments(tmp_path / "quiet", *swept, "measure.names=none"),
                tmp_path,
            )
        )
        == 0
    )
    quiet = made(tmp_path / "quiet")
    assert len(quiet) == count
    folder, finished = tmp_path / "noisy", {}
    begin = [forked.command_line, arguments(folder, *swept, "measure.names=none"), tmp_path]
    for kill in range(kills):
        process = forked.start(*begin)
        deadline = time.monotonic() + 120
        while (
            len(made(folder)) < (count // 6) * kill + 2
            and time.monotonic() < deadline
            and process.is_alive()
        ):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.2))
        assert forked.kill(process, children=True) == -signal.SIGKILL, (
            "the sweep was finished before it was killed often enough"
        )
        for name in made(folder):
            stamp = (folder / name / "film.mp4").stat().st_mtime_ns
            assert finished.setdefault(name, stamp) == stamp, "a finished run is left alone"
    assert 2 * kills - 1 <= len(finished) < count
    assert forked.ended(forked.start(*begin)) == 0
    assert made(folder) == quiet
    for name, stamp in finished.items():
        assert (folder / name / "film.mp4").stat().st_mtime_ns == stamp
    assert {path.name for path in folder.iterdir()} == {*quiet, "sweep.json", "multirun.yaml"}
    assert not list(folder.rglob("*.part"))


LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": [
        "hydra/launcher=submitit_local",
        "hydra.launcher.timeout_min=10",
    ],  # what Slurm would run, as processes of this machine
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_several_at_a_time(command_line, tmp_path, launcher):
    """Of three runs one fails: the others are made, and the last message names the failed run."""
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    settings = ["latent.seed=1,2,-3", *LAUNCHERS[launcher], "measure.names=none", "film.duration=1"]
    result = command_line(*arguments(tmp_path / "sweep", *settings))
    assert result.exit_code == 2, result.output
    assert "1 of 3 runs in" in result.output
    assert "latent.seed must lie between 0 and 4294967295, got -3" in result.output
    assert len(list((tmp_path / "sweep").glob("*/film.mp4"))) == 2


def test_a_changed_run_is_another_beside_the_old_ones(command_line, tmp_path, caplog):
    folder = tmp_path / "sweep"
    short = ["measure.names=none", "film.duration=1"]
    assert command_line(*arguments(folder, "latent.seed=1", *short)).exit_code == 0
    (old,) = folder.glob("*/film.mp4")
    stamp = old.stat().st_mtime_ns
    again = command_line(*arguments(folder, "latent.seed=1,2", *short))
    assert again.exit_code == 0, again.output
    assert again.output.count("is finished already") == 1
    assert command_line(*arguments(folder, "latent.seed=1,2", "film.fps=5", *short)).exit_code == 0
    assert len(list(folder.glob("*/film.mp4"))) == 4
    assert old.stat().st_mtime_ns == stamp
    assert [status.state for status in sweep.run_statuses(folder)] == ["finished"] * 4


def test_an_experiment_may_sweep_by_itself(tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "two.yaml").write_text(
        f"# @package _global_\nhydra:\n  sweep:\n    dir: {tmp_path / 'two'}\n"
        "  sweeper:\n    params:\n      operator: zero,mean\n"
    )
    folder = sweep.start_sweep(
        ["-m", "--config-dir", str(tmp_path / "mine"), "experiment=two", "latent.seed=1,2"]
    )
    assert folder == tmp_path / "two"
    assert sweep.expected_runs(folder) == 4
    assert (
        sweep.start_sweep(["experiment=study", "latent.seed=3", f"hydra.sweep.dir={tmp_path}"])
        == tmp_path
    )
    assert sweep.expected_runs(tmp_path) == 6, (
        "the command line replaces what the experiment sweeps over"
    )


def test_a_failure_is_recorded_until_the_run_succeeds(tmp_path):
    sweep.start_sweep(["latent.seed=1,2", f"hydra.sweep.dir={tmp_path}"])
    sweep.record_failure(tmp_path / "one", RequestError("too green"), ["latent.seed=2"])
    (state,) = sweep.run_statuses(tmp_path)
    assert (state.state, state.reason, state.settings) == ("failed", "too green", "latent.seed=2")
    with pytest.raises(RequestError, match="1 of 2 runs in .* failed: one: too green"):
        sweep.raise_failures(tmp_path, 0)
    sweep.raise_failures(tmp_path, time.time() + 1)
    sweep.record_failure(tmp_path / "two", ForgettingError("the disk is full"))
    with pytest.raises(ForgettingError, match="2 of 2 runs") as caught:
        sweep.raise_failures(tmp_path, 0)
    assert caught.value.exit_code == 1
    sweep.clear_failure(tmp_path / "one")
    assert [path.name for path, _ in sweep.failures(tmp_path)] == ["two"]


def test_the_statuses_of_runs(tmp_path):
    with pytest.raises(RequestError, match="there is no sweep in"):
        sweep.run_statuses(tmp_path)
    settings = compose_config(*SMALL, "film.duration=2", "latent.seed=4")
    render_config(settings, tmp_path / "a")
    render_config(settings | {"render": {"shard": "1/2"}}, tmp_path / "b")
    sweep.start_sweep(["latent.seed=1,4", "operator=zero,mean", f"hydra.sweep.dir={tmp_path}"])
    done, half = sweep.run_statuses(tmp_path)
    assert (done.state, done.done, done.frames, done.settings) == (
        "finished",
        12,
        12,
        "latent.seed=4, operator=zero",
    )
    assert (half.state, half.done, half.frames) == ("interrupted", 6, 12)
    for shard in (None, "2/2"):
        with RunFolder(tmp_path / "b").lock(shard):
            assert sweep.run_statuses(tmp_path)[1].state == "running"
        assert sweep.run_statuses(tmp_path)[1].state == "interrupted"
    assert sweep.run_statuses(tmp_path / "a") == [
        sweep.RunStatus(tmp_path / "a", "finished", 12, 12)
    ]
    (tmp_path / "sweep.json").write_text("{")
    assert sweep.expected_runs(tmp_path) is None
    assert len(sweep.run_statuses(tmp_path)) == 2
