"""Turns films into calls of Ray actors, and stores what they return.

The plan holds the whole recipe of a film, so a worker that has it can render any segment. Ray
places the workers, restarts them where there is room (``max_restarts``), repeats the call that
waits for a restart (``max_task_retries``), and asks an autoscaler for the nodes that workers lack.
Four things are ours, because Ray does not do them; the tests in brackets need them:

- A call that was lost with its worker goes to any worker. ``max_task_retries`` repeats it on the
  same actor, which waits for another node if its node has gone, while the other workers are idle
  (test_a_cluster_that_changes_renders_the_same_film: no node replaces the one that leaves).
- A worker prefers the film whose network it has loaded. Plain tasks and ``ActorPool`` go by order
  of submission (test_workers_keep_their_film_and_share_what_is_left).
- A full disk ends the work of its node (test_a_node_with_a_full_disk_gets_no_more_work).
- A node that joins gets workers. An ``ActorPool`` has a fixed size, and fails with any of its
  actors (test_a_cluster_that_changes_renders_the_same_film).

Plain tasks also leave a network loaded in every idle process of a GPU, or end the process after
each task. Ray Data has pools that grow, but a pool belongs to one data set, that is to one film.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from forgetting.ablation.plan import Plan
from forgetting.analysis.measure import MeasureSettings, measure_segments
from forgetting.errors import ForgettingError, Interrupted, RequestError, one_line
from forgetting.files import atomic_write
from forgetting.film import input_files, recipe
from forgetting.film.segments import SegmentStore
from forgetting.jobs.job import Job
from forgetting.jobs.ray.settings import Ray
from forgetting.jobs.ray.worker import DiskFull, InputFiles, Worker, named_files, pack, unpack
from forgetting.progress import track

log = logging.getLogger(__name__)

DEFAULT_CPUS = 4
"""Processors of a worker by default; one network gains little from more."""

Batch = Sequence[range]
"""Segments that one call renders."""

RETRIES = 3
"""How often a call that was lost with its worker is repeated."""

RECOUNT = 1.0
"""Seconds between two looks at the nodes of the cluster."""


@dataclass(eq=False)
class Call:
    """A call of a method of :class:`Worker` for a film; ``store`` gets its result."""

    film: int
    method: str
    arguments: Sequence[Any]
    store: Callable[[Any], Any] = lambda result: result
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0

    def settle(self, result: Any = None, error: Exception | None = None) -> None:
        """Store the result, or keep the error; do neither if the film no longer needs it."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            if error is not None:
                raise error
            self.future.set_result(self.store(result))
        except Exception as failure:
            self.future.set_exception(failure)


class RayExecutor:
    """Renders films on a cluster; the segments of all films share its workers.

    A thread per worker takes the next call, waits for its result, and stores it. State that threads
    share is read and changed with ``changed`` held only.
    """

    def __init__(self, settings: Ray, worker: type[Worker] = Worker) -> None:
        self.owns_ray = not ray.is_initialized()
        if self.owns_ray:
            _connect(settings.address)
        self.settings, self.worker = settings, worker
        self.changed, self.storing = threading.Condition(), threading.Lock()
        self.recount = threading.Event()
        self.error: Exception | None = None  # why no more calls are taken
        self.waiting = dict[int, deque[Call]]()  # film -> calls
        self.actors, self.threads = list[Any](), list[threading.Thread]()
        self.busy = dict[Any, str]()  # actor -> its node
        self.loaded = dict[Any, int]()  # actor -> the film it has loaded
        self.full = dict[str, DiskFull]()  # node -> error
        self.contents = dict[str, Any]()  # hash of a file -> reference to its content
        self.films = self.segments = self.frames = 0
        self.since = time.monotonic()
        if not self._count_slots() and not settings.workers:
            self._disconnect()
            sentence = f"no node of the cluster has room for a worker of {self.cpus:g} processors"
            raise RequestError(f"{sentence}; choose fewer with cluster.cpus=N")
        self._start_thread(self._add_workers)

    def start(self, job: Job, plan_of_run: Plan | None) -> RayJob:
        """Let a worker prepare a film, and return its render job."""
        files = {name: self._put(input_files.located(name)) for name in named_files(job.config)}
        trust = sorted(job.execution.trusted)
        with self.changed:
            self.films += 1
            film = self.films
        plan_bytes = None if plan_of_run is None else pack(plan_of_run)
        call = Call(film, "prepare", [files, trust, job.config, plan_bytes])
        plan, sequential = self.submit(call).result()
        return RayJob(self, film, unpack(plan), sequential, job.config, files, trust)

    def status(self) -> str:
        """Return how many nodes work, how many segments are rendered, and frames a second."""
        with self.changed:
            nodes = len(set(self.busy.values()))
        rate = self.frames / max(time.monotonic() - self.since, 1e-3)
        plural = "s" if nodes != 1 else ""
        return f"on {nodes} node{plural}, {self.segments} segments rendered, {rate:.1f} frames/s"

    def submit(self, call: Call) -> Future[Any]:
        """Queue a call behind the others of its film."""
        with self.changed:
            if self.error is not None:
                call.settle(error=self.error)
            else:
                self.waiting.setdefault(call.film, deque()).append(call)
                self.changed.notify()
        self.recount.set()
        return call.future

    def close(self) -> None:
        """End all workers and drop what is unfinished."""
        self._stop(Interrupted("interrupted; finished segments are kept"))
        while self.actors:
            ray.kill(self.actors.pop())
        for thread in self.threads:
            thread.join()
        self._disconnect()

    def _put(self, path: Path) -> tuple[str, Any]:
        """Put a file into Ray's store, where workers fetch it once a node."""
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with self.changed:
            if digest not in self.contents:
                self.contents[digest] = ray.put(content)
            return digest, self.contents[digest]

    def _start_thread(self, target: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            try:
                target(*arguments)
            except Exception as error:  # no film may wait for ever
                self._stop(error)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def _stop(self, error: Exception) -> None:
        with self.changed:
            self.error = self.error or error
            self._fail_waiting(self.error)
            self.changed.notify_all()
        self.recount.set()

    def _fail_waiting(self, error: Exception) -> None:
        for call in [call for calls in self.waiting.values() for call in calls]:
            call.settle(error=error)
        self.waiting.clear()

    def _add_workers(self) -> None:
        """Create the workers that the nodes have room for, as long as there are calls for them."""
        while self.error is None:
            self.recount.clear()
            slots = self._count_slots()
            with self.changed:
                if slots and slots.keys() <= self.full.keys():
                    self._fail_waiting(next(iter(self.full.values())))
                calls = len(self.busy) + sum(map(len, self.waiting.values()))
                room = max(self.settings.workers or 0, sum(slots.values()))
                if self.error is None:
                    for _ in range(min(room, calls) - len(self.actors)):
                        remote = ray.remote(self.worker).options(max_restarts=-1, **self.share)
                        self.actors.append(remote.remote())
                        self._start_thread(self._serve, self.actors[-1])
            self.recount.wait(RECOUNT)

    def _count_slots(self) -> dict[str, int]:
        """Return how many workers each node has room for, where there is any."""
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        nodes = {node["NodeID"]: node["Resources"] for node in alive}
        cpus = [resources["CPU"] for resources in nodes.values() if resources.get("CPU")]
        self.cpus = self.settings.cpus or min([DEFAULT_CPUS, *cpus])
        unit, size, self.share = "CPU", self.cpus, {"num_cpus": self.cpus}
        if any(resources.get("GPU") for resources in nodes.values()):
            unit, size = "GPU", 1 / self.settings.per_gpu
            self.share = {"num_cpus": 0, "num_gpus": size}
        slots = {node: int(has.get(unit, 0) / size + 1e-6) for node, has in nodes.items()}
        return {node: count for node, count in slots.items() if count}

    def _serve(self, actor: Any) -> None:
        """Give calls to one worker, again after each restart, until the executor closes."""
        while self.error is None:
            try:
                # Ray repeats this call until the worker runs, on whatever node has room.
                node = ray.get(actor.ready.options(max_task_retries=-1).remote())
            except RayError as error:
                reason = one_line(error, 500)
                raise ForgettingError(f"a worker cannot start on its node ({reason})") from None
            while (call := self._next(actor, node)) is not None and self._serve_call(actor, call):
                pass
            with self.changed:
                self.loaded.pop(actor, None)
                full = node in self.full
            if full and self.error is None:
                ray.wait([actor.hold.remote()])  # until the node leaves

    def _next(self, actor: Any, node: str) -> Call | None:
        """Wait for the next call of a worker; None: it gets no more on that node.

        The call is of the film that the worker has loaded, else of the film that the fewest workers
        have loaded, else of the oldest film: to load a film takes as long as many frames.
        """
        with self.changed:
            self.busy.pop(actor, None)
            self.changed.wait_for(lambda: self.error or node in self.full or self._films())
            if self.error or node in self.full:
                return None
            mine, loaded = self.loaded.get(actor), Counter(self.loaded.values())
            film = min(self.waiting, key=lambda film: (film != mine, loaded[film], film))
            self.loaded[actor], self.busy[actor] = film, node
            return self.waiting[film].popleft()

    def _films(self) -> bool:
        """Whether a film has a call waiting; calls of films that have failed are dropped."""
        for film, calls in list(self.waiting.items()):
            while calls and calls[0].future.cancelled():
                calls.popleft()
            if not calls:
                del self.waiting[film]
        return bool(self.waiting)

    def _serve_call(self, actor: Any, call: Call) -> bool:
        """Let a worker do a call and store the result; return whether the worker can go on."""
        reference = getattr(actor, call.method).remote(*call.arguments)
        ray.wait([reference])
        try:
            with self.storing:  # one result at a time is in the driver's memory
                call.settle(ray.get(reference))
        except RayTaskError as failure:
            cause = getattr(failure, "cause", None)
            if isinstance(cause, DiskFull):
                return self._repeat(actor, call, cause)
            error = cause if isinstance(cause, Exception) else None
            call.settle(error=error or ForgettingError(one_line(failure, 500)))
        except RayError:  # its process, its node, or its result was lost
            return self._repeat(actor, call)
        return True

    def _repeat(self, actor: Any, call: Call, full: DiskFull | None = None) -> bool:
        """Let another worker do a call that this worker, or its node, cannot finish."""
        with self.changed:
            node = self.busy.pop(actor)
            if full is not None:
                self.full[node] = full
                log.info("%s", f"{full}; it gets no more work")
            else:
                call.losses += 1
                log.info("%s", "a worker was lost; its segments are rendered again")
            error = self.error
            if call.losses > RETRIES:
                sentence = f"{call.method} was lost {call.losses} times with its worker"
                error = ForgettingError(f"{sentence}; read the logs of the cluster")
            if error is not None:
                call.settle(error=error)
            else:
                self.waiting.setdefault(call.film, deque()).appendleft(call)
            self.changed.notify_all()
        self.recount.set()
        return False

    def _disconnect(self) -> None:
        if self.owns_ray:
            self.owns_ray = False
            ray.shutdown()


@dataclass(frozen=True)
class RayJob:
    """A film that a cluster renders."""

    executor: RayExecutor
    film: int
    plan: Plan
    sequential: bool
    config: Mapping[str, Any]
    files: InputFiles
    trust: Sequence[str]

    def render(
        self,
        plan: Plan,
        store: SegmentStore,
        segments: Sequence[range],
        since: float,
        measure: MeasureSettings,
    ) -> None:
        """Render those segments; each is written into the folder of ``store`` when it arrives.

        Workers measure what they render, unless the film is sequential: there a worker would dream
        the frames before a segment once more, to measure the first step in it.
        """
        sending = replace(self, files=self._files_of(plan))
        batches = _batches(segments, store.film.segment)
        measure = MeasureSettings("none") if self.sequential else measure
        rendered = sending._rendered(batches, ray.put(pack(plan)), store, measure)
        frames = (frame for batch in rendered for segment in batch for frame in segment)
        total = sum(map(len, segments))
        for _ in track(frames, lambda: f"rendering frames {self.executor.status()}", total):
            pass

    def _rendered(
        self, batches: Sequence[Batch], plan: Any, store: SegmentStore, measure: MeasureSettings
    ) -> Iterator[Batch]:
        """Yield batches once they are stored."""
        if self.sequential:  # a segment starts from the frame checkpoint of the one before
            for batch in batches:
                self._submit(batch, plan, store, measure).result()
                yield batch
            return
        futures = {self._submit(batch, plan, store, measure): batch for batch in batches}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            for future in futures:
                future.cancel()

    def _submit(
        self, batch: Batch, plan: Any, store: SegmentStore, measure: MeasureSettings
    ) -> Future[Any]:
        def write(files: Mapping[str, bytes]) -> None:
            store_files(files, store.folder)
            self.executor.segments += len(batch)  # one thread stores at a time
            self.executor.frames += sum(map(len, batch))

        folder = store.folder.parent.parent.resolve() if self.executor.settings.shared else None
        checkpoints = _checkpoints(store) if self.sequential else {}
        arguments = [self.files, self.trust, plan, batch, checkpoints, folder, measure]
        return self.executor.submit(Call(self.film, "render", arguments, write))

    def _files_of(self, plan: Plan) -> InputFiles:
        """Return the files also by the names that the recipe of a plan has for them.

        Those differ where the film is resumed with the copy of its font.
        """
        now = input_files.paths(self.config)
        recorded = input_files.paths(recipe.config_of(recipe.read_recipe(plan, "of this film")))
        renamed = {
            name: self.files[now[key]]
            for key, name in recorded.items()
            if now.get(key) in self.files
        }
        return {**self.files, **renamed}

    def measure(
        self,
        plan: Plan,
        settings: MeasureSettings,
        store: SegmentStore,
        folder: Path,
        **summary: Any,
    ) -> None:
        """Write what workers measured; where anything is missing, let one measure the film."""
        if measure_segments(plan, settings, folder, [store], **summary):
            return

        def write(files: Mapping[str, bytes]) -> None:
            store_files(files, folder)

        arguments = [self._files_of(plan), self.trust, pack(plan), settings, summary]
        self.executor.submit(Call(self.film, "measure", arguments, write)).result()


def _connect(address: str | None) -> None:
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "at the address in RAY_ADDRESS"
        sentence = f"there is no Ray cluster {where} ({one_line(error)})"
        raise ForgettingError(f"{sentence}; start one with: ray start --head") from None


def _batches(segments: Sequence[range], frames: int) -> list[list[range]]:
    """Group neighbouring segments into batches of at least ``frames`` frames.

    A film of stills has segments of one frame, too few for a call.
    """
    batches = list[list[range]]()
    for segment in segments:
        last = batches[-1] if batches else []
        if last and sum(map(len, last)) < frames and last[-1].stop == segment.start:
            last.append(segment)
        else:
            batches.append([segment])
    return batches


def _checkpoints(store: SegmentStore) -> dict[str, bytes]:
    """Return the last frame checkpoint of a sequential film, by file name."""
    return {path.name: path.read_bytes() for path in sorted(store.folder.glob("state-*"))[-1:]}


def store_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files a worker returned; segments last, so that a named segment is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sorted(files.items(), key=lambda file: bool(re.match(r"\d+-", file[0]))):
        with atomic_write(folder / Path(name).name) as part:
            part.write_bytes(content)
