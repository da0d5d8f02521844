"""The verbs whose arguments are Hydra's: it composes configs, and every config becomes a job."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from forgetting.cli.arguments import is_sweep, prepare
from forgetting.cli.console import out, print_timed
from forgetting.engines.allocator import keep_memory
from forgetting.errors import Interrupted, RequestError
from forgetting.film.recipe import EXPERIMENT, config_with_plan
from forgetting.jobs import foreign_configs, run, sweep
from forgetting.jobs.config_groups import CONFIGS, root_config
from forgetting.jobs.configs import require_code_consent
from forgetting.jobs.experiment_files import read_experiments_without_header
from forgetting.jobs.job import parse_job
from forgetting.jobs.new_folders import NewFolders
from forgetting.jobs.package_parts import register_package_parts
from forgetting.jobs.portrait import FaceJob
from forgetting.jobs.recipe_files import config_with_recipe
from forgetting.printable import shell_command
from forgetting.safe_yaml import strings

if TYPE_CHECKING:
    from forgetting.jobs.dream import DreamJob

log = logging.getLogger(__name__)

SWEEP_KEPT = "interrupted; what is finished is kept, and the same command continues the sweep"

FILM_PARTS = ("ordering", "operator", "schedule", "units", "tracks")
"""Keys of the parts that make an experiment what it is."""

TASKS: dict[str, Callable[..., Path]] = {
    "render": run.render,
    "dream": run.render,
    "preview": run.preview,
}


def run_verb(verb: str, words: list[str]) -> None:
    """Compose the config, or the configs of a sweep, and run the verb's task on each."""
    force, words = "--force" in words, [word for word in words if word != "--force"]
    arguments, started = prepare(words, verb), time.time()
    multirun = is_sweep(arguments)
    failures, jobs = list[Exception](), list[sweep.SweepJob]()
    new = NewFolders.before(words, "hydra.sweep.dir=" if multirun else "hydra.run.dir=")
    folder: Path | None = None

    def run_config(config: DictConfig) -> None:  # launchers may run it in processes of their own
        keep_memory()
        run_folder = Path(HydraConfig.get().runtime.output_dir)
        # Not resolved: an override may name another setting.
        given = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        overrides = [str(override) for override in given] if isinstance(given, list) else []
        try:
            if multirun:
                _announce(HydraConfig.get().job.num, folder, overrides, arguments)
            experiment = HydraConfig.get().runtime.choices.get("experiment")
            job = _parse_config(config, verb, overrides, arguments, experiment)
            log.debug("%s: %s", run_folder, " ".join(overrides) or "the default film")
            if multirun and job.execution.cluster is not None:  # all films share the cluster
                if HydraConfig.get().runtime.choices.get("hydra/launcher") != "basic":
                    raise RequestError(
                        "cluster=ray distributes a sweep by itself; leave out hydra/launcher"
                    )
                return jobs.append(sweep.SweepJob(job, run_folder, overrides))
            print_timed(lambda: TASKS[verb](job, run_folder, force=force))
            sweep.clear_failure(run_folder)
        except Interrupted as error:  # Hydra reports exceptions of other classes by itself
            raise KeyboardInterrupt(SWEEP_KEPT if multirun else str(error)) from None
        except Exception as error:  # a sweep continues with its other films, and reports at the end
            if multirun:
                sweep.record_failure(run_folder, error, overrides)
            else:
                new.remove(run_folder)
                failures.append(error)

    root = root_config(verb)
    with _hydra_command_line(verb, arguments):
        register_package_parts(arguments)
        read_experiments_without_header()
        foreign_configs.check(arguments)
        folder = sweep.start_sweep(arguments, root) if multirun else None
        try:
            hydra.main(config_path=str(CONFIGS), config_name=root, version_base="1.3")(run_config)()
            if folder is not None:
                if jobs:
                    sweep.render_together(jobs, force)
                sweep.raise_failures(folder, started)
        except Exception:
            if folder is not None:
                sweep.remove_refused(folder, started)
                new.remove(folder)
            raise
        if folder is not None:
            compare, gallery = (shell_command(name, folder) for name in ("compare", "gallery"))
            hint = f"compare them: {compare}; show them: {gallery}"
            out.print(Text(hint, "dim"), soft_wrap=True)
        elif failures:
            raise failures[0]


def _parse_config(
    config: Any,
    verb: str,
    overrides: Iterable[str],
    arguments: Sequence[str],
    experiment: str | None = None,
) -> FaceJob | DreamJob:
    """Return the job that a composed config asks for, by its plan or its recipe if it names one.

    What an experiment sweeps over counts as overridden, but only the command line itself can
    consent to code and choose files.

    Args:
        config: composed.
        verb: of the command line.
        overrides: those that the config was composed with.
        arguments: of the command line, for Hydra.
        experiment: the name of the experiment in the config.
    """
    overridden, explicit = _overridden(overrides), foreign_configs.keys(arguments)
    plain = _plain(config)
    values = config_with_recipe(plain, overridden, verb, explicit)
    values = config_with_plan(values, overridden, verb, explicit)
    replaced = any(key in FILM_PARTS or key.startswith("tracks.") for key in overridden)
    named = experiment is not None and ("experiment" in overridden or not replaced)
    if plain.get("recipe"):
        if replaced:
            values.pop(EXPERIMENT, None)
    elif named and values.get("plan") is None:
        # A film is not the default experiment if an override replaces a part that makes it.
        values[EXPERIMENT] = experiment
    trusted = require_code_consent(values, _consents(arguments), verb)
    return parse_job(values | {"trust": sorted(trusted)})


def _announce(
    number: int, folder: Path | None, overrides: Iterable[str], arguments: Sequence[str]
) -> None:
    """Say which run of a sweep begins, and what it varies."""
    total = None if folder is None else sweep.expected_runs(folder)
    of_all = [override for override in overrides if override not in arguments]
    varied = f": {' '.join(of_all)}" if of_all else ""
    log.info("run %d%s%s", number + 1, f" of {total}" if total else "", varied)


@contextmanager
def _hydra_command_line(verb: str, arguments: list[str]) -> Iterator[None]:
    """Let Hydra read these arguments, and raise its errors, while the block runs."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [f"forgetting {verb}", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full_error is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def compose_job(words: Sequence[str], verb: str) -> FaceJob | DreamJob:
    """Return the job that the words behind a verb ask for, where Hydra runs nothing."""
    arguments = prepare(words, verb)
    register_package_parts(arguments)
    read_experiments_without_header()
    foreign_configs.check(arguments)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(root_config(verb), foreign_configs.overrides(arguments))
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    return _parse_config(config, verb, overrides, arguments)


def list_layers(words: list[str], verb: str) -> None:
    """Print the layers of the network that a config of ``verb`` names."""
    from forgetting.cli import tables
    from forgetting.models.flops import multiply_adds
    from forgetting.models.latents import Seed

    job = compose_job(words, verb)
    if not isinstance(job, FaceJob):
        classifier = job.classifier.load()
        costs = multiply_adds(classifier, Seed().sample(classifier))
        return out.print(tables.layer_table(classifier, costs))
    generator = job.generator.load()
    costs = multiply_adds(generator, job.latent.sample(generator))
    out.print(tables.layer_table(generator, costs))


def _consents(arguments: Sequence[str]) -> set[str]:
    """Return ``key=value`` of everything on the command line that can name code of others."""
    return foreign_configs.named_factories(arguments) | set(arguments)


def _plain(config: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    values = {str(key): value for key, value in plain.items()}
    for key, text in strings(values):
        if "${" in text:
            raise RequestError(
                f"{key} holds {text!r}, and the recipe of a film cannot hold ${{; leave it out"
            )
    return values


def _overridden(arguments: Iterable[str]) -> list[str]:
    """Return the dotted keys that overrides set.

    ``ordering@ordering.inside=random`` sets ordering.inside.
    """
    keys = (argument.partition("=")[0].lstrip("+~") for argument in arguments)
    return [key.partition("@")[2] or key for key in keys]
