"""A sweep: a folder of runs, each in a folder of its own that is named by a hash of its config.

    SWEEP/sweep.json             what was asked for, and how many runs that makes
    SWEEP/HASH/                  a run, see :mod:`forgetting.film.run_folder`
    SWEEP/HASH/failure.json      why it failed, as long as it has not succeeded

Because of the names a sweep that is started again finds its runs: finished runs are left alone, the
others are resumed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from forgetting.errors import ForgettingError, RequestError
from forgetting.files import is_link, make_own_folder, read_json, write_json
from forgetting.film.run_folder import PLAN, RunFolder, read_run
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.jobs import foreign_configs, run
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.executor import start_executor
from forgetting.jobs.job import Job
from forgetting.parts import TARGET, part_label
from forgetting.printable import shell_command
from forgetting.progress import track

FAILURE, SWEEP = "failure.json", "sweep.json"

_CONFIG_OF_HYDRA = "multirun.yaml"
"""The settings of Hydra, which it writes into the folder of a sweep."""


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Args:
        folder: of the run.
        state: ``finished``, ``running``, ``failed`` or ``interrupted``.
        done: frames that are rendered.
        frames: of the film.
        reason: why it failed.
        settings: the values of the settings that the sweep varies, as far as they are known.
    """

    folder: Path
    state: str
    done: int
    frames: int
    reason: str = ""
    settings: str = ""


def start_sweep(arguments: Sequence[str], root: str = "config") -> Path:
    """Write what the command line asks for into the sweep's folder; return the folder.

    Args:
        arguments: of the command line, quoted for Hydra's grammar.
        root: name of the config that the verb starts from.
    """
    from hydra import compose, initialize_config_dir
    from hydra._internal.utils import get_args_parser  # pinned below Hydra 1.4

    given, _ = get_args_parser().parse_known_args(list(arguments))
    overrides = list(given.overrides)
    search_path = [
        override
        for override in foreign_configs.overrides(arguments)
        if override.startswith("hydra.searchpath=")
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        single = [
            str(override.input_line)
            for override in _parse(overrides)
            if not override.is_sweep_override()
        ]
        single = [line for line in single if not line.startswith("hydra.searchpath=")]
        hydra = compose(root, [*single, *search_path], return_hydra_config=True).hydra
    of_experiment = hydra.sweeper.get("params") or {}
    params = {str(key): str(value) for key, value in of_experiment.items()}
    for key, _, value in (override.partition("=") for override in overrides):
        if not key.startswith("hydra"):
            params[key] = value
    lines, folder = [f"{key}={value}" for key, value in params.items()], Path(hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SWEEP, {"overrides": lines, "runs": count_runs(lines)})
    return folder


def count_runs(overrides: Sequence[str]) -> int:
    """Return how many runs Hydra makes of these overrides."""
    return prod(
        len(list(override.sweep_string_iterator()))
        for override in _parse(overrides)
        if override.is_sweep_override()
    )


def _parse(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def record_failure(folder: Path, error: Exception, overrides: Sequence[str] = ()) -> None:
    """Write why a run failed, and its overrides, into its folder."""
    make_own_folder(folder)
    code = error.exit_code if isinstance(error, ForgettingError) else 1
    failure = {"why": str(error), "code": code, "time": time.time(), "overrides": list(overrides)}
    write_json(folder / FAILURE, failure)


def clear_failure(folder: Path) -> None:
    """Remove what is left of an earlier failure."""
    (folder / FAILURE).unlink(missing_ok=True)


def failures(folder: Path, since: float = 0.0) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the runs that failed since a time (seconds since the epoch), and their failures."""
    for path in sorted(folder.glob(f"*/{FAILURE}")):
        failure = read_json(path)
        failed_at = failure.get("time", 0)
        if isinstance(failed_at, float | int) and failed_at >= since:
            yield path.parent, failure


@dataclass(frozen=True)
class SweepJob:
    """A run of a sweep: its job, its folder, and the overrides that made it."""

    job: Job
    folder: Path
    overrides: Sequence[str]


MAX_OPEN_FILMS = 256
"""Films of a sweep that a cluster works on at once.

No worker waits for the last segments of another film.
"""


def render_together(jobs: Sequence[SweepJob], force: bool = False) -> None:
    """Render the films of a sweep by one executor, whose workers share all films.

    Args:
        jobs: the films.
        force: replaces films of other settings in their folders.
    """
    cluster = jobs[0].job.execution.cluster
    with ThreadPoolExecutor(MAX_OPEN_FILMS) as pool, start_executor(cluster) as executor:
        futures = {
            pool.submit(run.render, sweep_job.job, sweep_job.folder, executor, force): sweep_job
            for sweep_job in jobs
        }
        try:
            finished = as_completed(futures)
            for future in track(
                finished, lambda: f"rendering films {executor.status()}", len(jobs)
            ):
                sweep_job, error = futures[future], future.exception()
                if isinstance(error, Exception):
                    record_failure(sweep_job.folder, error, sweep_job.overrides)
                else:
                    clear_failure(sweep_job.folder)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def raise_failures(folder: Path, since: float) -> None:
    """Raise if runs of a sweep failed since a time; the sentence holds the reasons.

    Raises:
        ForgettingError: a run failed. Where all failures are wrong requests, a RequestError.
    """
    if not (failed := list(failures(folder, since))):
        return
    reasons = "; ".join(f"{path.name}: {failure.get('why')}" for path, failure in failed[:10])
    reasons += "; and more" if len(failed) > 10 else ""
    sentence = f"{len(failed)} of {expected_runs(folder)} runs in {folder} failed: {reasons}"
    are_requests = all(failure.get("code") == RequestError.exit_code for _, failure in failed)
    raise RequestError(sentence) if are_requests else ForgettingError(sentence)


def remove_refused(folder: Path, since: float) -> None:
    """Remove what a sweep has written if every run was refused, before any of them began.

    Args:
        folder: of the sweep.
        since: when it was started, in seconds since the epoch; what is older stays.
    """
    refused = {
        path
        for path, failure in failures(folder, since)
        if failure.get("code") == RequestError.exit_code and len(list(path.iterdir())) == 1
    }
    if {*folder.iterdir()} - refused - {folder / SWEEP, folder / _CONFIG_OF_HYDRA}:
        return
    for path in refused:
        clear_failure(path)
        path.rmdir()
    for name in (SWEEP, _CONFIG_OF_HYDRA):
        (folder / name).unlink(missing_ok=True)


def expected_runs(folder: Path) -> int | None:
    """Return how many runs the sweep in a folder has, if its file says so."""
    runs = read_json(folder / SWEEP).get("runs")
    return runs if isinstance(runs, int) and 0 < runs < 10**9 else None


def run_statuses(folder: Path, unreadable: UnreadableRuns | None = None) -> list[RunStatus]:
    """Return how far every run in a folder is; the folder may also be that of a single run.

    Args:
        folder: of the sweep, or of a run. Links in it are not followed.
        unreadable: gets the runs that cannot be read; without it the first of them is an error.

    Raises:
        RequestError: there are no runs.
    """
    folders = [folder] if os.path.lexists(folder / PLAN) else []
    folders = folders or [path for path in sorted(folder.glob("*/")) if _has_run(path)]
    if not folders:
        raise RequestError(
            f"there is no sweep in {folder}: no folder in it holds a run; to start one, run: "
            f"{shell_command('render', '-m', f'hydra.sweep.dir={folder}')}"
        )
    varied = [
        override.partition("=")[0]
        for override in _texts(read_json(folder / SWEEP), "overrides")
        if "," in override or "range(" in override
    ]
    statuses = []
    for path in folders:
        with nullcontext() if unreadable is None else unreadable.leave_out(path):
            statuses.append(_status(path, varied))
    return statuses


def _has_run(folder: Path) -> bool:
    """Return whether a folder, and no link to a folder, holds a run or the reason of a failure."""
    return not is_link(folder) and any(os.path.lexists(folder / name) for name in (PLAN, FAILURE))


def _texts(values: Mapping[str, Any], key: str) -> list[str]:
    """Return the list of strings that a file holds under a key."""
    texts = values.get(key)
    return [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []


def _status(folder: Path, varied: Sequence[str]) -> RunStatus:
    failure = read_json(folder / FAILURE)
    reason, overrides = str(failure.get("why", "")), _texts(failure, "overrides")
    settings = ", ".join(override for override in overrides if override.partition("=")[0] in varied)
    if RunFolder(folder).existing_plan() is None:  # it failed before it had a plan
        return RunStatus(folder, "failed", 0, 0, reason, settings)
    state = read_run(folder)
    settings = ", ".join(f"{key}={_value(state.config, key)}" for key in varied)
    frames = state.store.count
    done = sum(len(segment) for segment in state.store.named())
    if state.film is not None:
        return RunStatus(folder, "finished", frames, frames, "", settings)
    if RunFolder(folder).is_locked():
        return RunStatus(folder, "running", done, frames, "", settings)
    name = "failed" if reason else "interrupted"
    return RunStatus(folder, name, done, frames, reason, settings)


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Return what a config holds under a dotted key; of a part its name."""
    node: Any = config
    for name in key.partition("@")[0].split("."):
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    return part_label(node[TARGET]) if isinstance(node, Mapping) and TARGET in node else node
