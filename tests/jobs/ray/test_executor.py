"""Films rendered by a Ray cluster whose workers, nodes, disks and driver fail."""

import errno
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forgetting import files
from forgetting.analysis.measure import MeasureSettings
from forgetting.cli.main import app
from forgetting.errors import ForgettingError, Interrupted, RequestError
from forgetting.film.fonts import SHIPPED_FONT
from forgetting.film.run_folder import RunFolder
from forgetting.jobs import run, sweep
from forgetting.jobs.job import parse_job
from helpers import ROOT, SEGMENTED, compose_config, file_hashes, render_config

FILM = [*SEGMENTED, "film.duration=6"]
"""Sixty frames in six segments."""

real = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray is not installed: pip install 'forgetting[ray]'",
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray


@pytest.fixture(scope="module")
def nodes():
    """A cluster of three nodes of one processor, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    # Workers cannot import this file, so its classes travel whole.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class Log:
    """What workers did, in a folder that they and the test share; numbers their calls."""

    def __init__(self, folder):
        self.folder = str(folder)

    def add(self, **entry):
        """Add an entry; return its number."""
        number = 0
        while True:
            try:
                file = os.open(f"{self.folder}/{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                number += 1
                continue
            os.write(file, json.dumps(entry).encode())
            os.close(file)
            return number

    def entries(self):
        numbers = sorted(int(path.name) for path in Path(self.folder).glob("[0-9]*"))
        texts = [Path(self.folder, str(number)).read_text() for number in numbers]
        return [json.loads(text) for text in texts if text]

    def begin(self, **faults):
        """Forget the entries; ``faults`` are what happens at which render calls."""
        shutil.rmtree(self.folder, ignore_errors=True)
        Path(self.folder).mkdir(parents=True)
        self.set(**faults)

    def set(self, **faults):
        with files.atomic_write(Path(self.folder, "faults")) as part:
            part.write_text(json.dumps(faults))

    def faults(self):
        return json.loads(Path(self.folder, "faults").read_text())


def echo(log):
    """A class of workers that only log their calls and fail as they are asked to."""

    class Echo:
        def ready(self):
            import ray

            return ray.get_runtime_context().get_node_id()

        def hold(self):
            time.sleep(3600)

        def render(self, film, number, what="return"):
            node = self.ready()
            log.add(film=film, number=number, node=node, pid=os.getpid())
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "refuse":
                from forgetting.errors import RequestError

                raise RequestError("no such layer")
            if what == "sleep":
                time.sleep(3600)
            if what == "full" and (log.faults()["all"] or node == log.entries()[0]["node"]):
                from forgetting.jobs.ray.worker import DiskFull

                raise DiskFull("the disk of a node is full")
            time.sleep(0.02)
            return number

    return Echo


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "log")
    log.begin()
    return log


@pytest.fixture
def echoes(nodes, log):
    """An executor whose workers start fast and fail as they are asked to."""
    from forgetting.jobs.ray.executor import RayExecutor
    from forgetting.jobs.ray.settings import Ray

    executor = RayExecutor(Ray(nodes.address), echo(log))
    yield executor
    executor.close()


def calls(count, film=1, what="return", **settings):
    from forgetting.jobs.ray.executor import Call

    return [Call(film, "render", [film, number, what], **settings) for number in range(count)]


@real
def test_every_call_is_done_once_and_stored_alone(echoes, log):
    storing, most = [], []

    def store(number):
        storing.append(number)
        most.append(len(storing))
        time.sleep(0.01)
        storing.remove(number)
        return number

    ended, statuses = threading.Event(), set()

    def ask():
        while not ended.wait(0.001):
            statuses.add(echoes.status().split(",")[0])

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    futures = [echoes.submit(call) for call in calls(30, store=store)]
    try:
        assert [future.result(60) for future in futures] == list(range(30))
    finally:
        ended.set()
        asking.join()
    assert max(most) == 1, "the driver holds one result at a time"
    assert sorted(entry["number"] for entry in log.entries()) == list(range(30))
    assert len({entry["node"] for entry in log.entries()}) == 3, "all nodes work"
    assert "on 3 nodes" in statuses, "any thread can ask while workers come and go"


@real
def test_workers_keep_their_film_and_share_what_is_left(echoes, log):
    first, second = calls(12, film=1), calls(40, film=2)
    for future in [echoes.submit(call) for call in (*second, *first)]:
        future.result(60)
    films = {}
    for entry in log.entries():
        films.setdefault(entry["pid"], []).append(entry["film"])
    assert len(films) == 3
    changes = [sum(a != b for a, b in itertools.pairwise(order)) for order in films.values()]
    assert max(changes) <= 1, "no worker goes back and forth"
    assert {order[0] for order in films.values()} == {1, 2}, "each film gets a worker at once"
    assert len({entry["pid"] for entry in log.entries()[-9:]}) == 3, "no worker is idle"


@real
def test_a_node_with_a_full_disk_gets_no_more_work(echoes, log):
    log.begin(all=False)
    futures = [echoes.submit(call) for call in calls(12, what="full")]
    assert [future.result(60) for future in futures] == list(range(12))
    entries = log.entries()
    assert sum(entry["node"] == entries[0]["node"] for entry in entries) == 1
    assert len(entries) == 13
    log.begin(all=True)
    futures = [echoes.submit(call) for call in (*calls(4, what="full"), *calls(4, 2, "full"))]
    for future in futures:
        with pytest.raises(ForgettingError, match="^the disk of a node is full$"):
            future.result(60)
    assert len(log.entries()) <= 2, "the full node was asked no more"


@real
def test_errors_reach_the_caller_and_a_deadly_call_ends(echoes):
    with pytest.raises(RequestError, match="^no such layer$"):
        echoes.submit(calls(1, what="refuse")[0]).result(60)
    with pytest.raises(ForgettingError, match="render was lost 4 times with its worker"):
        echoes.submit(calls(1, what="die")[0]).result(60)
    assert echoes.submit(calls(1)[0]).result(60) == 0, "others go on"
    waiting = [echoes.submit(call) for call in calls(8, what="sleep")]
    time.sleep(0.5)
    echoes.close()
    for future in (*waiting, echoes.submit(calls(1)[0])):
        with pytest.raises(Interrupted):
            future.result(0)


def faulty(log):
    """A class of workers that render, and fail at the calls that the log names."""
    from forgetting.jobs.ray.worker import Worker

    class Faulty(Worker):
        def render(self, files, trust, plan, segments, *others):
            begins = [segment.start for segment in segments]
            number = log.add(starts=begins, pid=os.getpid(), node=self.ready())
            while number >= log.faults().get("pause", number + 1):
                time.sleep(0.05)
            fault = log.faults().get(str(number))
            if fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "fail":
                raise RuntimeError("an error of the work")
            return super().render(files, trust, plan, segments, *others)

        def measure(self, *arguments):
            log.add(starts=[], measured=True)
            return super().measure(*arguments)

    return Faulty


@pytest.fixture(scope="class")
def rendering(nodes, tmp_path_factory):
    """An executor that all tests of a class share, and the log of its workers."""
    from forgetting.jobs.ray.executor import RayExecutor
    from forgetting.jobs.ray.settings import Ray

    log = Log(tmp_path_factory.mktemp("log"))
    executor = RayExecutor(Ray(nodes.address), faulty(log))
    yield executor, log
    executor.close()


@real
class TestFilms:
    @pytest.mark.parametrize(
        ("more", "shared", "deaths"),
        [
            ([], False, [1, 4]),
            ([], True, [3]),
            (["film=png"], False, []),
            (["film=png"], True, [2]),
            (["measure.names=plain", "measure.rate=2", "film.layout=diptych"], False, [5]),
            (["measure.names=plain", "measure.rate=2", "film.layout=diptych"], True, []),
        ],
    )
    def test_a_cluster_renders_the_same_film(
        self, tmp_path, rendering, monkeypatch, more, shared, deaths
    ):
        executor, log = rendering
        monkeypatch.setattr(
            executor, "settings", type(executor.settings)(executor.settings.address, shared=shared)
        )
        stills = "film=png" in more
        settings = compose_config(
            *[name for name in FILM if not (stills and name.startswith("film.preset"))], *more
        )
        render_config(settings, tmp_path / "alone")
        log.begin(**{str(number): "die" for number in deaths})
        render_config(settings, tmp_path / "together", executor)
        assert len(log.entries()) == 6 + len(deaths), "lost calls are repeated, and no others"
        if stills:
            below = [tmp_path / name / "film" for name in ("alone", "together")]
            assert contents(below[0]) == contents(below[1])
        else:
            assert file_hashes(tmp_path / "alone") == file_hashes(tmp_path / "together")

    def test_a_film_that_fails_ends_and_leaves_what_is_finished(self, tmp_path, rendering):
        executor, log = rendering
        settings = compose_config(*SEGMENTED, "film.duration=20")
        render_config(settings, tmp_path / "alone")
        log.begin(**{"5": "fail"})
        with pytest.raises(RuntimeError, match="^an error of the work$"):
            render_config(settings, tmp_path / "together", executor)
        time.sleep(0.5)
        assert 6 <= len(log.entries()) <= 9, "the waiting calls of the film are cancelled"
        finished = starts(tmp_path / "together")
        log.begin()
        render_config(settings, tmp_path / "together", executor)
        again = {start for entry in log.entries() for start in entry["starts"]}
        assert again == set(range(0, 200, 10)) - finished, "what is finished is not repeated"
        assert file_hashes(tmp_path / "together") == file_hashes(tmp_path / "alone")

    @pytest.mark.parametrize("kind", ["dive", "still"])
    def test_a_cluster_renders_the_same_dream(self, tmp_path, rendering, dream_config, kind):
        """A dive goes segment after segment; its frame checkpoint travels to the next worker."""
        executor, log = rendering
        settings = dream_config(f"dream={kind}")
        render_config(settings, tmp_path / "alone")
        log.begin(**{"1": "die"})
        render_config(settings, tmp_path / "together", executor)
        assert file_hashes(tmp_path / "alone") == file_hashes(tmp_path / "together")
        order = [start for entry in log.entries() for start in entry["starts"]]
        assert len(order) == 4
        if kind == "dive":
            assert order == [0, 6, 6, 12]
            assert len({entry["pid"] for entry in log.entries()}) > 1, "another worker went on"

    @pytest.mark.parametrize("shared", [False, True])
    def test_a_titled_film_resumes_without_its_font(self, tmp_path, rendering, monkeypatch, shared):
        """The font is gone, and the copy in the run's folder goes to all workers."""
        executor, log = rendering
        monkeypatch.setattr(
            executor, "settings", type(executor.settings)(executor.settings.address, shared=shared)
        )
        font = Path(shutil.copy(SHIPPED_FONT, tmp_path / "mine.ttf"))
        settings = compose_config(*FILM, "film.title=Lethe", f"film.font={font}")
        render_config(settings, tmp_path / "alone")
        part = settings | {"render": {"shard": "2/6"}}
        render_config(part, tmp_path / "together")
        font.unlink()
        run_folder = tmp_path / "together"
        config = run.trusted_config(RunFolder(run_folder).required_plan(), run_folder)
        log.begin()
        render_config(config | {"render": {"shard": None}}, run_folder, executor)
        begun = {start for entry in log.entries() for start in entry["starts"]}
        assert begun == {0, 20, 30, 40, 50}, "what is finished is not repeated"
        assert file_hashes(run_folder) == file_hashes(tmp_path / "alone")

    def test_files_travel_by_content(self, tmp_path, rendering, dream_config):
        from forgetting.jobs.ray import worker

        executor, _ = rendering
        settings = dream_config("dream=still", "film.duration=1")
        source = Path(settings["classifier"]["weights"])
        assert worker.named_files(settings) == [str(source)]
        copy = Path(shutil.copy(source, tmp_path / "copy.safetensors"))
        digest, reference = executor._put(source)
        assert executor._put(copy)[1] is reference, "equal files travel once"
        copy.write_bytes(b"another network")
        assert executor._put(copy)[0] != digest, "a name alone says nothing"
        here = worker.place_files(settings, {str(source): (digest, reference)})
        placed = Path(here["classifier"]["weights"])
        assert placed != source
        assert placed.read_bytes() == source.read_bytes()
        assert settings["classifier"]["weights"] == str(source), "the config given is unchanged"
        worker.place_files(settings, {str(source): (digest, None)})  # stored: nothing to fetch


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def starts(folder):
    """The first frames of the segments in a run's folder."""
    return {int(path.name[:7]) for path in (folder / "segments").glob("*/*-*.*.mp4")}


@real
def test_a_segment_is_stored_after_what_belongs_to_it(tmp_path, monkeypatch):
    from forgetting.jobs.ray.executor import store_files

    written = []
    monkeypatch.setattr(
        "forgetting.jobs.ray.executor.atomic_write",
        lambda path: written.append(path.name) or files.atomic_write(path),
    )
    names = ["0000000-0000009.abc.mp4", "0000000.seconds", "poster.png", "state-0000009.abc"]
    store_files(dict.fromkeys(names, b""), tmp_path)
    assert sorted(written) == names
    assert written[-1] == names[0]


@real
def test_a_full_disk_is_distinguished_from_other_errors(tmp_path, monkeypatch):
    from forgetting.jobs.ray import worker

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("forgetting.jobs.render_job.LocalJob.render", fail)
    tested = worker.Worker(tmp_path)
    plan, sequential = tested.prepare({}, [], compose_config(*FILM), None)
    assert not sequential
    with pytest.raises(OSError, match="full"):
        tested.render({}, [], plan, [range(10)], {}, None, MeasureSettings())
    monkeypatch.setattr(worker, "MIN_FREE", 2**60)
    with pytest.raises(worker.DiskFull, match="the disk of a node is full"):
        tested.render({}, [], plan, [range(10)], {}, None, MeasureSettings())
    assert list(tmp_path.iterdir()) == []


def test_ray_is_imported_where_a_cluster_is_asked_for(tmp_path, monkeypatch):
    script = (
        "import sys, forgetting.jobs.ray.settings; "
        "print(*(name for name in sys.modules if name.startswith('forgetting'))); "
        "import forgetting.cli.hydra_verbs, forgetting.jobs.sweep; print(*sys.modules)"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings_alone, everything = map(str.split, printed.splitlines())
    packages = ["forgetting", "forgetting.jobs", "forgetting.jobs.ray"]
    modules = ["errors", "parts", "printable", "jobs.ray.settings"]
    assert {*settings_alone} == {*packages, *(f"forgetting.{name}" for name in modules)}
    assert "ray" not in everything

    import_module = importlib.import_module

    def missing(name, *package):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError(name=name)
        return import_module(name, *package)

    settings = compose_config(*FILM, "cluster=ray")
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(RequestError, match=r'this needs ray, .* pip install "forgetting\[ray\]"'):
        render_config(settings, tmp_path)


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers import compose_config, render_config
render_config(compose_config(*sys.argv[3:]), Path(sys.argv[2]))
"""


@real
def test_a_driver_that_is_killed_and_started_again_repeats_nothing(tmp_path, nodes, log):
    from forgetting.jobs.ray.executor import RayExecutor
    from forgetting.jobs.ray.settings import Ray

    film = [*SEGMENTED, "film.duration=60", "film.segment=20"]
    folder = tmp_path / "together"
    arguments = [str(ROOT / "tests"), str(folder), *film]
    arguments += ["cluster=ray", f"cluster.address={nodes.address}"]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *arguments])
    render_config(compose_config(*film), tmp_path / "alone")
    until(lambda: len(starts(folder)) >= 4 or driver.poll() is not None)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    finished = starts(folder)
    assert 4 <= len(finished) < 30, "in the middle of the film"
    executor = RayExecutor(Ray(nodes.address), faulty(log))
    try:
        render_config(compose_config(*film), folder, executor)
    finally:
        executor.close()
    rendered = [start for entry in log.entries() for start in entry["starts"]]
    assert sorted(rendered) == sorted(set(range(0, 600, 20)) - finished)
    assert file_hashes(folder) == file_hashes(tmp_path / "alone")


def until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@real
def test_the_films_of_a_sweep_share_the_workers(tmp_path, nodes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 1000)
    varied = ["ordering=random,magnitude", "latent.seed=1,2"]
    arguments = ["render", "-m", *SEGMENTED, "film.duration=2", *varied, "hydra.sweep.dir=sweep"]
    cluster = ["cluster=ray", f"cluster.address={nodes.address}"]
    result = CliRunner().invoke(app, [*arguments, *cluster])
    assert result.exit_code == 0, result.output
    assert [status.state for status in sweep.run_statuses(Path("sweep"))] == ["finished"] * 4
    assert CliRunner().invoke(app, [*arguments, "hydra.sweep.dir=alone"]).exit_code == 0
    for folder in Path("alone").glob("*/"):
        assert file_hashes(folder) == file_hashes(Path("sweep") / folder.name), (
            "equal names, equal films"
        )
    with pytest.raises(RequestError, match="no node of the cluster has room for a worker of 64"):
        render_config(compose_config(*FILM, *cluster, "cluster.cpus=64"), tmp_path / "large")
    alone = ["render", *SEGMENTED, "hydra.run.dir=wrong", *cluster, "ordering.layers=b99"]
    wrong = CliRunner().invoke(app, alone)
    assert wrong.exit_code == 2
    assert "no layer 'b99'" in wrong.output


@real
def test_a_cluster_that_changes_renders_the_same_film(tmp_path, nodes, log):
    """A node joins, a worker is killed, and a node leaves that nothing replaces.

    All of it happens in the middle of calls: those from a given number on wait for the test.
    """
    from forgetting.jobs.ray.executor import RayExecutor
    from forgetting.jobs.ray.settings import Ray

    settings, folder = compose_config(*SEGMENTED, "film.duration=30"), tmp_path / "together"
    render_config(settings, tmp_path / "alone")
    log.set(pause=6)

    def at_work(field):
        return {entry[field] for entry in log.entries()}

    executor = RayExecutor(Ray(nodes.address), faulty(log))
    pool = ThreadPoolExecutor(1)
    try:
        film = pool.submit(run.render, parse_job(settings), folder, executor)
        until(lambda: len(log.entries()) == 9)
        assert len(at_work("node")) == 3
        nodes.add_node(num_cpus=1)
        until(lambda: len(at_work("node")) == 4)

        pids = at_work("pid")
        os.kill(random.Random(7).choice(log.entries()[-4:])["pid"], signal.SIGKILL)
        log.set(pause=14)
        until(lambda: at_work("pid") - pids)  # Ray has restarted the worker

        until(lambda: len(log.entries()) == 18)
        left = sorted(nodes.worker_nodes, key=str)[0]
        nodes.remove_node(left, allow_graceful=False)
        assert len(starts(folder)) < 20, "in the middle of the film"
        log.set()
        film.result(90)
    finally:
        executor.close()
        log.set()
        pool.shutdown()
    repeated = len(log.entries()) - 30
    assert repeated == 2, "the call of the killed worker, and that of the node that left"
    assert file_hashes(tmp_path / "alone") == file_hashes(folder)
