"""Films made by many: the queue, what workers do, and a real cluster that loses workers and nodes."""

import errno
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from test_dreams import dream, weights  # noqa: F401 (fixtures)
from test_experiment import config
from test_run import SETTINGS, files
from typer.testing import CliRunner

from forgetting import dependencies
from forgetting import files as cache
from forgetting.cli.main import app
from forgetting.cluster import hired, painter
from forgetting.cluster.hired import Hired
from forgetting.cluster.painter import Painter
from forgetting.cluster.queue import AHEAD, ATTEMPTS, Full, Outcome, Queue, Task
from forgetting.errors import ForgettingError, Interrupted, RequestError
from forgetting.jobs import run, sweep

FILM = [*SETTINGS, "film.duration=6"]
"""Sixty frames in six segments."""


@pytest.fixture(autouse=True)
def impatience(request, monkeypatch):
    """Nobody rests for long, but in a real cluster."""
    if "nodes" not in request.fixturenames:
        monkeypatch.setattr("forgetting.cluster.queue.REST", 0.001)


class Team:
    """Workers that do what a function says; nodes come and go."""

    def __init__(self, work, seats):
        self.work, self.places, self.at, self.held, self.dismissed, self.closed = (
            work,
            dict(seats),
            [],
            [],
            [],
            False,
        )

    def seats(self):
        return self.places

    def give(self, worker, task):
        self.at.append((worker, task))
        self.held.append(sum(one == worker for one, _ in self.at))

    def outcomes(self, seconds):
        if not self.at:
            time.sleep(0.01)
            return []
        worker, task = self.at.pop(0)
        return [(worker, self.work(worker, task))]

    def shared(self, data):
        return data

    def dismiss(self, workers):
        self.dismissed += workers
        self.at = [(worker, task) for worker, task in self.at if worker not in workers]

    def close(self):
        self.closed = True


def tasks(count, film="film", turn=1):
    return [Task(film, turn, "segments", [number]) for number in range(count)]


def done(worker, task):
    return Outcome(task, (worker, task.arguments[0]))


TWO = {"a/0": "a", "b/0": "b"}


def test_everything_is_done_once_and_nobody_idles():
    team = Team(done, TWO)
    queue = Queue(team)
    found = [task.future.result(5) for task in queue.submit(tasks(20))]
    queue.close()
    assert [number for _, number in found] == list(range(20))
    assert {worker for worker, _ in found} == {"a/0", "b/0"}
    assert max(team.held) == AHEAD, "a worker holds one task more than it does, and no more"
    assert team.closed


def test_what_is_taken_is_taken_one_at_a_time():
    inside, most = [], []

    def take(made):
        inside.append(made)
        most.append(len(inside))
        time.sleep(0.01)
        inside.remove(made)
        return made

    queue = Queue(Team(done, TWO))
    wanted = tasks(6)
    for task in wanted:
        task.taken = take
    for task in queue.submit(wanted):
        task.future.result(5)
    queue.close()
    assert max(most) == 1


def test_workers_stay_with_their_film_and_share_what_is_left():
    seen = []

    def work(worker, task):
        seen.append((worker, task.film))
        return done(worker, task)

    queue = Queue(Team(work, TWO))
    with queue.changed:
        queue.waiting.extend([*tasks(8, "second", 2), *tasks(4, "first", 1)])
        queue.changed.notify()
        wanted = list(queue.waiting)
    for task in wanted:
        task.future.result(5)
    queue.close()
    assert seen[0][1] == "first"
    assert {film for _, film in seen[:2]} == {"first", "second"}, "each has one to itself"
    for worker in TWO:
        films = [film for one, film in seen if one == worker]
        assert films == sorted(films, key=["first", "second"].index), "nobody goes back and forth"
    assert {worker for worker, _ in seen[-3:]} == set(TWO)


def test_what_is_lost_is_done_again_by_somebody():
    draw = random.Random(4)

    def work(worker, task):
        return (
            Outcome(task, lost=True)
            if draw.random() < 0.2 and task.lost < ATTEMPTS - 1
            else done(worker, task)
        )

    queue = Queue(Team(work, {f"{node}/0": node for node in "abc"}))
    found = [task.future.result(5)[1] for task in queue.submit(tasks(40))]
    queue.close()
    assert found == list(range(40))


def test_what_kills_everybody_is_not_tried_for_ever():
    queue = Queue(Team(lambda worker, task: Outcome(task, lost=True), TWO))
    (task,) = queue.submit(tasks(1))
    with pytest.raises(ForgettingError, match=f"was lost {ATTEMPTS} times"):
        task.future.result(5)
    queue.close()


def test_a_node_leaves_and_another_joins_late():
    team = Team(lambda worker, task: time.sleep(0.02) or done(worker, task), TWO)
    queue = Queue(team)
    wanted = queue.submit(tasks(30))
    wanted[3].future.result(5)
    team.places = {"b/0": "b", "c/0": "c"}
    found = [task.future.result(5) for task in wanted]
    queue.close()
    assert [number for _, number in found] == list(range(30))
    assert {worker for worker, _ in found[-8:]} == {"b/0", "c/0"}
    assert "a/0" in team.dismissed


def test_a_node_whose_disk_is_full_gets_nothing_more():
    seen = []

    def work(worker, task):
        seen.append(worker)
        return Outcome(task, error=Full("full")) if worker == "a/0" else done(worker, task)

    queue = Queue(Team(work, TWO))
    assert {task.future.result(5)[0] for task in queue.submit(tasks(12))} == {"b/0"}
    assert seen.count("a/0") <= AHEAD
    queue.close()
    everywhere = Queue(Team(lambda worker, task: Outcome(task, error=Full("full")), TWO))
    with pytest.raises(Full):
        everywhere.submit(tasks(1))[0].future.result(5)
    everywhere.close()


def test_errors_of_the_work_and_of_the_engine_reach_who_waits():
    queue = Queue(
        Team(lambda worker, task: Outcome(task, error=RequestError("no such layer")), TWO)
    )
    with pytest.raises(RequestError, match="no such layer"):
        queue.submit(tasks(1))[0].future.result(5)
    queue.close()
    broken = Queue(Team(lambda worker, task: 1 / 0, TWO))
    with pytest.raises(ZeroDivisionError):
        broken.submit(tasks(2))[1].future.result(5)
    with pytest.raises(ZeroDivisionError):
        broken.submit(tasks(1))[0].future.result(5)


def test_of_a_film_that_failed_nothing_more_is_made(tmp_path):
    made = []

    def lose(worker, task):
        made.append(task.method)
        if made.count("segments") == 2:
            raise RuntimeError("pulled out")
        return False

    painters = painted(lose)

    def work(worker, task):
        try:
            return painters.work(worker, task)
        except RuntimeError as error:
            return Outcome(task, error=error)

    with pytest.raises(RuntimeError, match="pulled out"):
        together(config(*FILM), tmp_path, Team(work, {"a/0": "a"}))
    assert made.count("segments") <= 2 + AHEAD


def test_closing_ends_all_waiting():
    queue = Queue(Team(lambda worker, task: done(worker, task), {}))
    wanted = queue.submit(tasks(3))
    threading.Timer(0.1, queue.close).start()
    for task in wanted:
        with pytest.raises(Interrupted):
            task.future.result(5)


def painted(lose=lambda worker, task: False):
    """A team of painters in this process, some of whom are lost in the middle of their work."""
    painters = {}

    def work(worker, task):
        if lose(worker, task):
            painters.pop(worker, None)
            return Outcome(task, lost=True)
        try:
            return Outcome(
                task, getattr(painters.setdefault(worker, Painter()), task.method)(*task.arguments)
            )
        except Exception as error:
            return Outcome(task, error=error)

    return Team(work, TWO)


def together(settings, folder, team, shared=False):
    queue = Queue(team)
    try:
        return run.render(settings, folder, Hired(queue, shared))
    finally:
        queue.close()


@pytest.mark.parametrize(
    "more", [[], ["film=png"], ["measure.names=plain", "measure.rate=2", "film.layout=diptych"]]
)
@pytest.mark.parametrize("shared", [False, True])
def test_workers_make_the_same_film(tmp_path, more, shared):
    settings = config(
        *[one for one in FILM if not one.startswith("film.preset") or "film=png" not in more], *more
    )
    run.render(settings, tmp_path / "alone")
    lost = [3, 5]
    count = iter(range(100))
    team = painted(lambda worker, task: task.method == "segments" and next(count) in lost)
    together(settings, tmp_path / "together", team, shared)
    if "film=png" in more:
        assert files_below(tmp_path / "alone/film") == files_below(tmp_path / "together/film")
    else:
        assert files(tmp_path / "alone") == files(tmp_path / "together")


def files_below(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch):
    """Whoever asked is killed, and asks again."""
    settings = config(*FILM)
    run.render(settings, tmp_path / "alone")
    seen = []

    def lose(worker, task):
        if task.method == "segments":
            seen.append(task.arguments[1])
            if len(seen) == 4:
                raise RuntimeError("pulled out")
        return False

    with pytest.raises(RuntimeError, match="pulled out"):
        together(settings, tmp_path / "together", painted(lose))
    there = len(list((tmp_path / "together/segments").glob("*/*-*.*.mp4")))
    assert there >= 2
    again = []
    together(
        settings,
        tmp_path / "together",
        painted(lambda worker, task: again.append(task.method) and False),
    )
    assert again.count("segments") == 6 - there
    assert files(tmp_path / "together") == files(tmp_path / "alone")


@pytest.mark.parametrize("kind", ["dive", "still"])
def test_dreams_are_made_by_others_too(tmp_path, dream, kind):  # noqa: F811
    """Where frames follow from each other, one segment after the other; what one left the next begins with."""
    settings = dream(f"dream={kind}")
    run.render(settings, tmp_path / "alone")
    count = iter(range(100))
    together(
        settings,
        tmp_path / "together",
        painted(lambda worker, task: task.method == "segments" and next(count) == 1),
    )
    assert files(tmp_path / "alone") == files(tmp_path / "together")


def test_a_segment_is_there_last(tmp_path, monkeypatch):
    """Whoever is killed while they write what came back has not told of more than there is."""
    written, whole = [], cache.atomic_write
    monkeypatch.setattr(cache, "whole", lambda path: written.append(path.name) or whole(path))
    names = [
        "0000000-0000009.abc.mp4",
        "0000000.seconds",
        "poster.png",
        "state-0000009.abc",
        "station-0000000.png",
    ]
    hired.keep(dict.fromkeys(names, b""), tmp_path)
    assert sorted(written) == names
    assert written[-1] == names[0]


def test_files_travel_by_what_is_in_them(tmp_path, dream):  # noqa: F811
    settings = dream("dream=still", "film.duration=1")
    weights, found = Path(settings["classifier"]["weights"]), painter.Files.of(settings)  # noqa: F811
    assert found.names == (str(weights),)
    there = found.here(settings, [weights.read_bytes()])
    place = Path(there["classifier"]["weights"])
    assert place != weights
    assert place.read_bytes() == weights.read_bytes()
    assert settings["classifier"]["weights"] == str(weights), "what was asked for is as it was"
    before = place.stat().st_mtime_ns
    found.here(settings, [weights.read_bytes()])
    assert place.stat().st_mtime_ns == before, "stored once"


def test_a_full_disk_is_told_from_other_things(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "forgetting.crew.Here.shoot",
        lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")),
    )
    one = Painter(tmp_path)
    plan, sequential = one.prepare(config(*FILM), None, [])
    assert not sequential
    with pytest.raises(OSError, match="full"):
        one.segments(plan, [(0, 10)], {}, None, [])
    monkeypatch.setattr(painter, "LITTLE", 2**60)
    with pytest.raises(Full, match="the disk of a node is full"):
        one.segments(plan, [(0, 10)], {}, None, [])
    assert list(tmp_path.iterdir()) == []


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    assert (
        "ray"
        not in subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, forgetting.cli, forgetting.run, forgetting.sweep, forgetting.cluster.hired; print(*sys.modules)",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    )
    settings = config(*FILM, "cluster=ray")
    monkeypatch.setattr(
        dependencies.importlib,
        "import_module",
        lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name=name)),
    )
    with pytest.raises(
        RequestError,
        match=r"this needs ray, which is not installed; pip install 'forgetting\[ray\]' brings it",
    ):
        run.render(settings, tmp_path)


real = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None and not os.environ.get("CI"),
    reason="ray is not installed: pip install 'forgetting[ray]'",
)


@pytest.fixture(scope="module")
def nodes():
    """A cluster of three nodes of one processor, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def workers():
    """Processes of painters."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::Painter" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


@real
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    not Path("/proc").exists(),
    reason="processes are looked up in /proc, which this system does not have",
)
def test_a_cluster_that_loses_a_worker_and_a_node_makes_the_same_film(tmp_path, nodes):
    settings = config(*SETTINGS, "film.duration=120", "film.segment=20")
    run.render(settings, tmp_path / "alone")
    draw, happened = random.Random(7), []

    def disturb():
        segments = tmp_path / "together/segments"
        for what in ("worker", "node", "late"):
            least = len(happened) * 12 + 3
            while len(list(segments.glob("*/*-*.*.mp4"))) < least:
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.1))
            happened.append((what, len(list(segments.glob("*/*-*.*.mp4")))))
            if what == "worker":
                os.kill(draw.choice(workers()), signal.SIGKILL)
            elif what == "node":
                nodes.remove_node(sorted(nodes.worker_nodes, key=str)[0], allow_graceful=False)
            else:
                nodes.add_node(num_cpus=1)

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    run.render(
        settings
        | {"cluster": config("cluster=ray", f"cluster.address={nodes.address}")["cluster"]},
        tmp_path / "together",
    )
    thread.join(60)
    print(happened)
    assert [what for what, _ in happened] == ["worker", "node", "late"]
    assert all(made < 60 for _, made in happened), "in the middle of it"
    assert files(tmp_path / "alone") == files(tmp_path / "together")


@real
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_is_one_queue(tmp_path, nodes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 1000)
    arguments = [
        "-m",
        *SETTINGS,
        "film.duration=2",
        "ordering=random,magnitude",
        "latent.seed=1,2",
        "hydra.sweep.dir=sweep",
    ]
    result = CliRunner().invoke(
        app, ["render", *arguments, "cluster=ray", f"cluster.address={nodes.address}"]
    )
    assert result.exit_code == 0, result.output
    assert [state.what for state in sweep.run_statuses(Path("sweep"))] == ["finished"] * 4
    assert CliRunner().invoke(app, ["render", *arguments, "hydra.sweep.dir=alone"]).exit_code == 0
    for folder in Path("alone").glob("*/"):
        assert files(folder) == files(Path("sweep") / folder.name), "named alike, and alike"
    with pytest.raises(
        RequestError, match="no node of the cluster has room for a worker of 64 processors"
    ):
        run.render(
            config(*FILM, "cluster=ray", f"cluster.address={nodes.address}", "cluster.cpus=64"),
            tmp_path / "large",
        )
    wrong = CliRunner().invoke(
        app,
        [
            "render",
            *arguments,
            "cluster=ray",
            f"cluster.address={nodes.address}",
            "ordering.layers=b99",
        ],
    )
    assert wrong.exit_code == 2
    assert "no layer 'b99'" in wrong.output
