"""The verbs whose arguments are Hydra's: it composes configs, and every config becomes a job."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from forgetting.cli.console import out, print_timed, report_errors
from forgetting.engines.allocator import keep_memory
from forgetting.errors import Interrupted, RequestError
from forgetting.film.recipe import EXPERIMENT, config_with_plan
from forgetting.jobs import foreign_configs, run, sweep
from forgetting.jobs.config_groups import CONFIGS, root_config
from forgetting.jobs.configs import require_code_consent
from forgetting.jobs.dream import DreamJob
from forgetting.jobs.job import parse_job
from forgetting.jobs.new_folders import NewFolders
from forgetting.jobs.package_parts import register_package_parts
from forgetting.jobs.portrait import FaceJob
from forgetting.printable import shell_command

log = logging.getLogger(__name__)

TASKS: dict[str, Callable[..., Path]] = {
    "render": run.render,
    "dream": run.render,
    "preview": run.preview,
}


def run_verb(verb: str, arguments: list[str]) -> None:
    """Compose the config, or the configs of a sweep, and run the verb's task on each."""
    force, arguments = "--force" in arguments, [word for word in arguments if word != "--force"]
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    started, quoted = time.time(), [quote_override(argument) for argument in arguments]
    failures, jobs = list[Exception](), list[sweep.SweepJob]()
    new = NewFolders.before(quoted, "hydra.sweep.dir=" if multirun else "hydra.run.dir=")

    def run_config(config: DictConfig) -> None:  # launchers may run it in processes of their own
        keep_memory()
        folder = Path(HydraConfig.get().runtime.output_dir)
        overrides = list(HydraConfig.get().overrides.task)
        try:
            # What an experiment sweeps over counts as overridden, but only the command line itself
            # can consent to code and choose files.
            values = config_with_plan(
                _plain(config), _overridden(overrides), verb, foreign_configs.keys(quoted)
            )
            if values.get("plan") is None and (name := _experiment_name(overrides)):
                values[EXPERIMENT] = name
            trusted = require_code_consent(values, _consents(quoted), verb)
            job = parse_job(values | {"trust": sorted(trusted)})
            log.debug("%s: %s", folder, " ".join(overrides) or "the default film")
            if multirun and job.execution.cluster is not None:  # all films share the cluster
                if HydraConfig.get().runtime.choices.get("hydra/launcher") != "basic":
                    raise RequestError(
                        "cluster=ray distributes a sweep by itself; leave out hydra/launcher"
                    )
                return jobs.append(sweep.SweepJob(job, folder, overrides))
            print_timed(lambda: TASKS[verb](job, folder, force=force))
            sweep.clear_failure(folder)
        except Interrupted:
            raise
        except Exception as error:  # a sweep continues with its other films, and reports at the end
            if multirun:
                sweep.record_failure(folder, error, overrides)
            else:
                new.remove(folder)
                failures.append(error)

    root = root_config(verb)
    with report_errors(arguments, verb), _hydra_command_line(verb, quoted):
        register_package_parts(arguments)
        foreign_configs.check(quoted)
        folder = sweep.start_sweep(quoted, root) if multirun else None
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


def _experiment_name(overrides: list[str]) -> str | None:
    """Return the name of the experiment that the film of a config is, for its recipe.

    A film is not the default experiment if an override replaces one of the parts that make it.
    """
    name = HydraConfig.get().runtime.choices.get("experiment")
    keys = _overridden(overrides)
    parts = {"ordering", "operator", "schedule", "units", "tracks"}
    replaced = any(key in parts or key.startswith("tracks.") for key in keys)
    return str(name) if name and ("experiment" in keys or not replaced) else None


@contextmanager
def _hydra_command_line(verb: str, quoted: list[str]) -> Iterator[None]:
    """Let Hydra read these arguments, and raise its errors, while the block runs."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [f"forgetting {verb}", *quoted]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full_error is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def compose_job(arguments: Sequence[str], verb: str) -> FaceJob | DreamJob:
    """Return the job that the arguments of a verb ask for, where Hydra runs nothing."""
    quoted = [quote_override(argument) for argument in arguments]
    register_package_parts(list(arguments))
    foreign_configs.check(quoted)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = _plain(compose(root_config(verb), foreign_configs.overrides(quoted)))
    trusted = require_code_consent(config, _consents(quoted), verb)
    return parse_job(config | {"trust": sorted(trusted)})


def list_layers(arguments: list[str]) -> None:
    """Print the layers of the network that a config names."""
    from forgetting.cli import tables
    from forgetting.models.flops import multiply_adds
    from forgetting.models.latents import Seed

    of_classifier = any(argument.startswith("classifier") for argument in arguments)
    verb = "dream" if of_classifier else "render"
    with report_errors(arguments, verb):
        job = compose_job(arguments, verb)
        if isinstance(job, DreamJob):
            classifier = job.classifier.load()
            costs = multiply_adds(classifier, Seed().sample(classifier))
            return out.print(tables.layer_table(classifier, costs))
        generator = job.generator.load()
        costs = multiply_adds(generator, job.latent.sample(generator))
        out.print(tables.layer_table(generator, costs))


def quote_override(argument: str) -> str:
    """Quote ``key=PATH`` for Hydra's grammar where the name of a file has special characters.

    >>> quote_override("film.size=256")
    'film.size=256'
    """
    key, _, value = argument.partition("=")
    if not re.search(r"[^\w./:~\\-]", value) or not Path(value).expanduser().exists():
        return argument
    value = value.replace("'", "\\'")
    return f"{key}='{value}'"


def _consents(quoted: list[str]) -> set[str]:
    """Return ``key=value`` of everything on the command line that can name code of others."""
    return foreign_configs.named_factories(quoted) | set(quoted)


def _plain(config: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _overridden(arguments: Iterable[str]) -> list[str]:
    """Return the dotted keys that overrides set.

    ``ordering@ordering.inside=random`` sets ordering.inside.
    """
    keys = (argument.partition("=")[0].lstrip("+~") for argument in arguments)
    return [key.partition("@")[2] or key for key in keys]
