"""The verb ``faces``: settings as those of ``render``, but for a range of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetting.analysis.faces.seeds import parse_seeds
from forgetting.cli.console import print_timed, report_errors
from forgetting.cli.hydra_verbs import compose_job
from forgetting.engines.allocator import keep_memory
from forgetting.errors import RequestError
from forgetting.jobs.faces import draw_faces as draw
from forgetting.jobs.portrait import FaceJob

SEEDS = "0-63"
"""The seeds that are drawn where the command line names none."""

TAKEN = ("latent.seed", "latent.seeds", "film.grid", "hydra.run.dir")
"""Settings that the verb answers itself; the commands that its page shows set the first three."""


def draw_faces(words: list[str]) -> None:
    """Draw the sheet and the page that the words behind ``faces`` ask for."""
    with report_errors(words, "render"):
        if any(word in ("-m", "--multirun") for word in words):
            raise RequestError("forgetting faces draws all seeds on one sheet; leave out -m")
        taken, others = _split(words)
        seeds = parse_seeds(taken.get("latent.seed", taken.get("latent.seeds", SEEDS)))
        job = compose_job(others, "render")
        if not isinstance(job, FaceJob):
            raise RequestError("forgetting faces draws faces, and a dream has none")
        folder = Path(taken["hydra.run.dir"]) if "hydra.run.dir" in taken else None
        keep_memory()
        print_timed(lambda: draw(job, seeds, folder, others))


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the settings that the verb answers itself, and all other words."""
    taken, others = dict[str, str](), []
    for word in words:
        key, _, value = word.partition("=")
        if key in TAKEN:
            taken[key] = value.strip("'\"")
        else:
            others.append(word)
    return taken, others
