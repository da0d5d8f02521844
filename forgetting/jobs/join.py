"""A film of the parts that several processes or machines rendered."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forgetting.ablation.plan import save_plan
from forgetting.analysis.measure import MeasureSettings, measure_segments
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.files import is_link
from forgetting.film import recipe as recipes
from forgetting.film.run_folder import PLAN, RunFolder
from forgetting.jobs.configs import measure_settings
from forgetting.jobs.run import trusted_config
from forgetting.printable import shell_command

log = logging.getLogger(__name__)


def join(folders: Sequence[Path], into: Path | None = None) -> Path:
    """Make a film of the segments that lie in several folders; no network is needed.

    Its curve is that of what was measured when the segments were rendered.

    Args:
        folders: those of the parts, or folders in which these lie.
        into: folder of the film; by default that of the first part.
    """
    folders = [part for folder in folders for part in _parts(folder)]
    into = folders[0] if into is None else into
    plan, *others = (RunFolder(folder).required_plan() for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if recipes.segment_key(other) != recipes.segment_key(plan):
            ours, theirs = recipes.film_identity(plan), recipes.film_identity(other)
            why = ", ".join(recipes.differences(ours, theirs)) or "their plans differ"
            raise RequestError(f"{folders[0]} and {folder} are parts of different films: {why}")
    config = trusted_config(plan, folders[0], code=False)
    into.mkdir(parents=True, exist_ok=True)
    run = RunFolder(into)
    with friendly_os_errors(into), run.lock(None):
        existing = run.existing_plan()
        if existing is not None and recipes.segment_key(existing) != recipes.segment_key(plan):
            raise RequestError(f"{into} holds another film; choose another folder with --into PATH")
        if existing is None:
            save_plan(plan, into / "plan.npz")
        stores = [RunFolder(folder).store(plan) for folder in folders]
        seconds = round(sum(store.seconds for store in stores), 1)
        is_measured = measure_segments(
            plan, _measure_settings(config), into, stores, render_seconds=seconds
        )
        film = run.finish(stores, plan)
    run.remove_segments()
    if not is_measured:
        log.info(
            "the film has no curve, because not all of its parts were measured; to measure it, "
            "run: %s",
            shell_command("measure", into),
        )
    return film


def _measure_settings(config: Mapping[str, Any]) -> MeasureSettings:
    """Return what was measured of a film; nothing where a metric is not known on this machine."""
    try:
        return measure_settings(config)
    except RequestError as error:
        log.info("the film gets no curve: %s", error)
        return MeasureSettings("none")


def _parts(folder: Path) -> list[Path]:
    """Return the folders of runs within a folder, or the folder itself where there are none."""
    within = [] if os.path.lexists(folder / PLAN) else sorted(folder.glob(f"*/{PLAN}"))
    return [path.parent for path in within if not is_link(path.parent)] or [folder]
