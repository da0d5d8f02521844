"""A job: a film to make, parsed from a config once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from forgetting.ablation.plan import Plan
from forgetting.errors import unknown_name
from forgetting.film.recipe import verb_of
from forgetting.film.render import FrameSource
from forgetting.film.settings import FilmSettings
from forgetting.jobs.config_groups import RENAMED, groups_of, renamed_key, root_settings
from forgetting.jobs.configs import Execution
from forgetting.jobs.portrait import FaceJob

if TYPE_CHECKING:
    from forgetting.jobs.dream import DreamJob


class Job(Protocol):
    """A film to make: of a face, or a dream."""

    @property
    def verb(self) -> str:
        """The verb of the command line that makes such films."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config as plain values, as the recipe holds it."""
        ...

    @property
    def film(self) -> FilmSettings:
        """How the film is written."""
        ...

    @property
    def execution(self) -> Execution:
        """How it is made and measured."""
        ...

    @property
    def plan(self) -> str | None:
        """Path of an existing plan to render by."""
        ...

    def prepare(self, plan_of_run: Plan | None = None) -> FrameSource:
        """Load what the film needs, and make its plan unless an earlier run made one."""
        ...


def parse_job(config: Mapping[str, Any]) -> FaceJob | DreamJob:
    """Parse a resolved config.

    Raises:
        RequestError: a value that is not possible.
    """
    check_renamed(config)
    check_keys(config)
    return job_class(config).from_config(config)


def job_class(config: Mapping[str, Any]) -> type[FaceJob] | type[DreamJob]:
    """Return what a config is parsed into."""
    if verb_of(config) == FaceJob.verb:
        return FaceJob
    from forgetting.jobs.dream import DreamJob  # faces are painted without it

    return DreamJob


def check_keys(config: Mapping[str, Any]) -> None:
    """Raise where a config sets what no film has."""
    verb = verb_of(config)
    known = [*groups_of(verb), *(setting.key for setting in root_settings(verb))]
    for key in config:
        if key not in (name.partition(".")[0] for name in known) and key != "pacing":
            raise unknown_name("setting", str(key), known)


def check_renamed(config: Mapping[str, Any]) -> None:
    """Raise where a config uses a key by its name of earlier versions."""
    for old in RENAMED:
        *parents, key = old.split(".")
        node: Any = config
        for parent in parents:
            node = node.get(parent)
        if isinstance(node, Mapping) and key in node:
            raise renamed_key(old)
