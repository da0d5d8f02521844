"""A worker of a cluster: renders segments of any film, and keeps the last film's network loaded."""

from __future__ import annotations

import copy
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from forgetting.ablation.plan import Plan, load_plan, save_plan
from forgetting.analysis.measure import MeasureSettings
from forgetting.engines.allocator import keep_memory
from forgetting.errors import ForgettingError
from forgetting.files import atomic_write, cache_folder
from forgetting.film import input_files, recipe
from forgetting.film.run_folder import RunFolder
from forgetting.jobs.job import parse_job
from forgetting.jobs.render_job import LocalJob

MIN_FREE = 64 * 2**20
"""Free bytes below which a disk counts as full."""


class DiskFull(ForgettingError):
    """The disk of a worker's node is full."""


InputFiles = Mapping[str, tuple[str, Any]]
"""Files that a config names: name -> (SHA-256, Ray's reference to the content)."""


class Worker:
    """Runs on a node as a Ray actor. What its methods take and return can be pickled."""

    def __init__(self, scratch: Path | None = None) -> None:
        keep_memory()
        self.scratch = scratch
        self.loaded: tuple[str, LocalJob] | None = None  # segment key, job

    def ready(self) -> str:
        """Return the id of the node that this worker runs on."""
        return str(ray.get_runtime_context().get_node_id())

    def hold(self) -> None:
        """Do nothing for ever: Ray starts no other worker in the place of this one."""
        threading.Event().wait()

    def prepare(
        self,
        files: InputFiles,
        trust: Sequence[str],
        config: Mapping[str, Any],
        plan_of_run: bytes | None,
    ) -> tuple[bytes, bool]:
        """Return the plan of a film, and whether its frames depend on earlier frames."""
        self.loaded = None  # two networks at once may not fit into memory
        with _detect_full_disk(cache_folder()):
            existing = None if plan_of_run is None else unpack(plan_of_run)
            job = _prepare(config, files, trust, existing)
            plan = Plan(job.plan.tracks, recipe.with_config(job.plan.recipe, config))
            self.loaded = (recipe.segment_key(plan), job)
            return pack(plan), job.sequential

    def render(
        self,
        files: InputFiles,
        trust: Sequence[str],
        plan_bytes: bytes,
        segments: Sequence[range],
        checkpoints: Mapping[str, bytes],
        folder: Path | None,
        measure: MeasureSettings,
    ) -> dict[str, bytes]:
        """Render segments and return the files for the film's segment folder, by name.

        Args:
            files: that the film depends on.
            trust: packages whose parts it may use.
            plan_bytes: of the film.
            segments: ranges of positions in the film.
            checkpoints: the frame checkpoints that a sequential film resumes from, by file name.
            folder: that all nodes share; files are written there and nothing is returned.
            measure: what is measured meanwhile.
        """
        since = time.monotonic()
        with self._scratch_folder() as scratch:
            plan = unpack(plan_bytes)
            job = self._load(plan, files, trust)
            store = RunFolder(folder or scratch).store(plan)
            store.folder.mkdir(parents=True, exist_ok=True)
            for name, content in checkpoints.items():
                (store.folder / name).write_bytes(content)
            job.render(plan, store, segments, since, measure)
            return {} if folder else _contents(store.folder)

    def measure(
        self,
        files: InputFiles,
        trust: Sequence[str],
        plan_bytes: bytes,
        settings: MeasureSettings,
        summary: Mapping[str, Any],
    ) -> dict[str, bytes]:
        """Measure a film and return the files for its run folder, by name."""
        with self._scratch_folder() as scratch:
            plan = unpack(plan_bytes)
            store = RunFolder(scratch).store(plan)  # empty: all of the film is measured
            self._load(plan, files, trust).measure(plan, settings, store, scratch, **summary)
            return _contents(scratch)

    def _load(self, plan: Plan, files: InputFiles, trust: Sequence[str]) -> LocalJob:
        key = recipe.segment_key(plan)
        if self.loaded is None or self.loaded[0] != key:
            self.loaded = None  # two networks at once may not fit into memory
            config = recipe.config_of(recipe.read_recipe(plan, "of this film"))
            with _detect_full_disk(cache_folder()):
                self.loaded = (key, _prepare(config, files, trust, plan))
        return self.loaded[1]

    @contextmanager
    def _scratch_folder(self) -> Iterator[Path]:
        parent = self.scratch or Path(tempfile.gettempdir())
        with (
            _detect_full_disk(parent),
            tempfile.TemporaryDirectory(dir=parent, prefix="forgetting-") as name,
        ):
            yield Path(name)


def _prepare(
    config: Mapping[str, Any], files: InputFiles, trust: Sequence[str], plan: Plan | None
) -> LocalJob:
    """Parse a config on this node and load what its film needs."""
    placed = place_files(config, files) | {"cluster": None, "trust": list(trust)}
    return LocalJob(parse_job(placed).prepare(plan))


@contextmanager
def _detect_full_disk(folder: Path) -> Iterator[None]:
    """Raise DiskFull instead of an error that occurs while the disk of ``folder`` is full."""
    try:
        yield
    except (ForgettingError, OSError) as error:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < MIN_FREE:
            raise DiskFull(f"the disk of a node is full at {folder}; free some space") from error
        raise


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def named_files(config: Mapping[str, Any]) -> list[str]:
    """Return the files that ``config`` names and that exist on this machine, by the names in it."""
    names = dict.fromkeys(node[key] for node, key in _file_settings(config))
    return [name for name in names if input_files.located(name).is_file()]


def place_files(config: Mapping[str, Any], files: InputFiles) -> dict[str, Any]:
    """Store ``files`` in this machine's cache by hash; return the config with their paths."""
    paths = {}
    for name, (digest, reference) in files.items():
        path = cache_folder() / "files" / f"{digest[:32]}-{input_files.located(name).name}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as part:
                part.write_bytes(bytes(ray.get(reference)))
        paths[name] = str(path)
    placed = copy.deepcopy(dict(config))
    for node, key in _file_settings(placed):
        node[key] = paths.get(node[key], node[key])
    return placed


def _file_settings(config: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield every setting that names a file, the plan's included: its node and its key."""
    if isinstance(config.get("plan"), str):
        yield config, "plan"
    for _, node, key in input_files.references(config):
        yield node, key


def pack(plan: Plan) -> bytes:
    """Return a plan as the bytes of its file."""
    with tempfile.TemporaryDirectory() as scratch:
        save_plan(plan, Path(scratch) / "plan.npz")
        return (Path(scratch) / "plan.npz").read_bytes()


def unpack(content: bytes) -> Plan:
    """Return the plan of which :func:`pack` made those bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "plan.npz").write_bytes(content)
        return load_plan(Path(scratch) / "plan.npz")
