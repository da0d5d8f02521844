"""A sweep: a folder of runs, each in a folder of its own that is named by a hash of its recipe.

    SWEEP/sweep.json             what was asked for, and how many runs that makes
    SWEEP/HASH/                  a run, see :mod:`forgetting.run`
    SWEEP/HASH/failure.json      why it failed, as long as it has not succeeded

Because of the names a sweep that is started again finds its runs: finished ones are left alone, the others gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from forgetting import assembly, foreign_configs, notes, run
from forgetting.errors import ForgettingError, RequestError
from forgetting.progress import track
from forgetting.recipe import TARGET, called
from forgetting.settings import CONFIGS

FAILURE, SWEEP = "failure.json", "sweep.json"


@dataclass(frozen=True)
class State:
    """How far a run is: ``what`` is finished, running, failed (why), or broken off; ``done`` of ``frames`` are there.

    ``settings`` are those of its settings that the sweep varies, as far as they are known.
    """

    folder: Path
    what: str
    done: int
    frames: int
    why: str = ""
    settings: str = ""


def begin(arguments: Sequence[str], root: str = "config") -> Path:
    """Write what these arguments ask Hydra for, of the config ``root``, into the folder that the sweep goes to; returns it."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.utils import get_args_parser  # pinned below Hydra 1.4

    given, _ = get_args_parser().parse_known_args(list(arguments))
    said = list(given.overrides)
    more = [one for one in foreign_configs.overrides(arguments) if one.startswith("hydra.searchpath=")]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        single = [str(one.input_line) for one in _parsed(said) if not one.is_sweep_override()]
        single = [one for one in single if not one.startswith("hydra.searchpath=")]
        hydra = compose(root, [*single, *more], return_hydra_config=True).hydra
    params = {str(key): str(value) for key, value in (hydra.sweeper.get("params") or {}).items()}  # those of the experiment
    params |= {key: value for key, _, value in (one.partition("=") for one in said) if not key.startswith("hydra")}
    overrides, folder = [f"{key}={value}" for key, value in params.items()], Path(str(hydra.sweep.dir))
    folder.mkdir(parents=True, exist_ok=True)
    notes.write(folder / SWEEP, {"overrides": overrides, "runs": count(overrides)})
    return folder


def count(overrides: Sequence[str]) -> int:
    """How many runs Hydra makes of these overrides."""
    return prod(len(list(one.sweep_string_iterator())) for one in _parsed(overrides) if one.is_sweep_override())


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def fail(folder: Path, error: Exception, overrides: Sequence[str] = ()) -> None:
    """Keep why a run failed, and what it was to be."""
    folder.mkdir(parents=True, exist_ok=True)
    code = error.exit_code if isinstance(error, ForgettingError) else 1
    notes.write(folder / FAILURE, {"why": str(error), "code": code, "time": time.time(), "overrides": list(overrides)})


def succeed(folder: Path) -> None:
    """Nothing is left of an earlier failure."""
    (folder / FAILURE).unlink(missing_ok=True)


def failures(folder: Path, since: float = 0.0) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The runs that failed, and what is known of why."""
    for path in sorted(folder.glob(f"*/{FAILURE}")):
        told = notes.read(path)
        if float(told.get("time", 0)) >= since:
            yield path.parent, told


@dataclass(frozen=True)
class Job:
    """A run that was asked for: its config, its folder, and the overrides that made it."""

    config: Mapping[str, Any]
    folder: Path
    said: Sequence[str]


OPEN = 256
"""Films of a sweep that a cluster is at together: enough that nobody idles while the last segments of one are made."""


def together(jobs: Sequence[Job]) -> None:
    """Make the films of a sweep by one crew, whose workers take up the next film before the last one is finished."""
    crew = assembly.instantiate(jobs[0].config["cluster"], "cluster")
    with ThreadPoolExecutor(OPEN) as pool, crew.hired() as hired:
        made = {pool.submit(run.render, job.config, job.folder, hired): job for job in jobs}
        try:
            for future in track(as_completed(made), lambda: f"making films {hired.told()}", len(jobs)):
                job, error = made[future], future.exception()
                if isinstance(error, Exception):
                    fail(job.folder, error, job.said)
                else:
                    succeed(job.folder)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def told(folder: Path, since: float) -> None:
    """Say which runs of a sweep failed after that moment, and why.

    Raises:
        ForgettingError: any did; its exit code is that of the worst.
    """
    if not (failed := list(failures(folder, since))):
        return
    reasons = "; ".join(f"{path.name}: {one.get('why')}" for path, one in failed[:10]) + ("; and more" if len(failed) > 10 else "")
    wrong = all(one.get("code") == RequestError.exit_code for _, one in failed)
    sentence = f"{len(failed)} of {wanted(folder)} runs in {folder} failed: {reasons}"
    raise RequestError(sentence) if wrong else ForgettingError(sentence)


def wanted(folder: Path) -> int | None:
    """How many runs the sweep in a folder has in all, where it says so."""
    return int(notes.read(folder / SWEEP).get("runs", 0)) or None


def states(folder: Path) -> list[State]:
    """How far every run in a folder is that was begun; the folder may also be that of one run.

    Raises:
        RequestError: there are none.
    """
    folders = [folder] if (folder / "plan.npz").exists() else [path for path in sorted(folder.glob("*/")) if _begun(path)]
    varied = [one.partition("=")[0] for one in notes.read(folder / SWEEP).get("overrides", []) if "," in one or "range(" in one]
    if not folders:
        raise RequestError(
            f"there is no sweep in {folder}: no folder in it holds a run; forgetting render -m hydra.sweep.dir={folder} begins one"
        )
    return [_state(path, varied) for path in folders]


def _begun(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("plan.npz", FAILURE))


def _state(folder: Path, varied: Sequence[str]) -> State:
    failure = notes.read(folder / FAILURE)
    why, said = str(failure.get("why", "")), [str(one) for one in failure.get("overrides", [])]
    settings = ", ".join(one for one in said if one.partition("=")[0] in varied)
    try:
        begun = run.begun(folder)
    except ForgettingError as error:
        return State(folder, "failed", 0, 0, why or str(error), settings)
    settings = ", ".join(f"{key}={_value(begun.config, key)}" for key in varied)
    frames, done = begun.reel.count, sum(len(segment) for segment in begun.reel.named())
    if begun.film is not None:
        return State(folder, "finished", frames, frames, "", settings)
    if _locked(folder):
        return State(folder, "running", done, frames, "", settings)
    return State(folder, "failed" if why else "broken off", done, frames, why, settings)


def _value(config: Mapping[str, Any], key: str) -> Any:
    """What a config says of a dotted key; a part by the name of its class."""
    found: Any = config
    for name in key.partition("@")[0].split("."):
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return called(found[TARGET]) if isinstance(found, Mapping) and TARGET in found else found


def _locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run; it goes with the process."""
    lock = folder / "segments" / "lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True
