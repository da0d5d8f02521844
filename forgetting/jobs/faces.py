"""Choosing a face by looking: a numbered sheet of the faces of many seeds, and a page to click.

FOLDER/sheet.png        all faces, each above its number
FOLDER/index.html       the page
FOLDER/faces/SEED.jpg   a face
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from forgetting import files
from forgetting.ablation.edits import AblationTask
from forgetting.analysis.faces.page import SCRIPT, write_page
from forgetting.analysis.faces.sheet import FaceSheet
from forgetting.engines.engine import FrameRequest
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.film.images import fit, save_png
from forgetting.jobs.new_folders import make_new_folder
from forgetting.jobs.portrait import FaceJob
from forgetting.models.latents import Seed
from forgetting.progress import track

log = logging.getLogger(__name__)

FACE = 320
"""The largest height of a face on the page."""


OUTPUTS = "outputs/faces"
"""The folder of sheets whose folder the command line does not name."""


@torch.no_grad()
def draw_faces(
    job: FaceJob, seeds: Sequence[int], folder: Path | None, words: Sequence[str]
) -> Path:
    """Draw the intact faces of some seeds; return the path of the page to choose from.

    One engine renders all of them, and none is kept in full size.

    Args:
        job: its network, noise, engine, and truncation.
        seeds: of the faces.
        folder: that the sheet and the page are written into; a new one below ``OUTPUTS`` for None.
        words: settings that lead to these faces, which the page repeats in its commands.

    Raises:
        RequestError: the face of the job moves, so that one picture would not show it; or the
            folder holds something else.
    """
    latent = job.latent
    if not isinstance(latent, Seed):
        raise RequestError(
            "forgetting faces draws faces that stand still; leave out the setting of latent"
        )
    if folder is not None:
        _check_folder(folder)
    generator = job.noise.apply(job.generator.load())

    def face(seed: int) -> Tensor:
        ws = replace(latent, seed=seed, seeds=None).sample(generator)
        return job.noise.animate(ws, 0, job.film.frames)

    task = AblationTask(generator, face(seeds[0]), (), moving=True)
    intact = torch.zeros(len(task))
    engine, why = job.engine.choose(task, intact.expand(2, -1))
    log.info("%s", why)

    def requests() -> Iterator[FrameRequest]:
        return (FrameRequest(intact, face(seed)) for seed in seeds)

    sheet = FaceSheet(len(seeds), generator.size)
    height = min(FACE, generator.size[0])
    shape = height, max(1, round(height * generator.size[1] / generator.size[0]))
    folder = Path(make_new_folder(OUTPUTS)) if folder is None else folder
    with friendly_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(folder / "faces") as part:
            part.mkdir()
            rendered = track(engine.render(requests()), "drawing faces", len(seeds))
            for number, (seed, drawn) in enumerate(zip(seeds, rendered, strict=True)):
                sheet.draw(number, drawn.rgb, str(seed))
                picture = Image.fromarray(fit(drawn.rgb, shape))
                picture.save(part / f"{seed}.jpg", quality=88, subsampling=0)
        with files.atomic_write(folder / "sheet.png") as part:
            save_png(sheet.frame, part, "")
        return write_page(folder, seeds, shape, words)


def _check_folder(folder: Path) -> None:
    """Raise if a folder holds something else than faces, which would be replaced."""
    holds_other = folder.exists() and any(folder.iterdir()) and not (folder / SCRIPT).exists()
    if files.is_link(folder) or holds_other:
        raise RequestError(
            f"{folder} holds something else; name another folder with hydra.run.dir=PATH"
        )
