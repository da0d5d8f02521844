"""Draws the pictures of docs/films.md: a sheet of every experiment, a clip, and a row of captions.

python docs/gallery.py [NAME ...] draws those that are named.
"""

import logging
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import imageio.v3 as iio
from PIL import Image

from forgetting.jobs.config_groups import group_options

GALLERY = Path(__file__).parent / "gallery"
WIDTH = 1568
"""Of the sheets, in pixels."""

CLIP = "clip"
"""The name of the clip among the pictures; its file is darkness.webp."""

CAPTIONS = "captions"
"""The name of the row of captions among the pictures."""

CANVASES = ("[1920,1080]", "[1080,1920]", "null")
"""The canvases of the captions: with a margin beside and below the picture, and without."""

CLIP_FPS, CLIP_SECONDS = 12, 12
LAST_FRAME_MILLISECONDS = 600
CLIP_QUALITY = 85  # below one megabyte

SHEETS = {
    option.name: [f"experiment={option.name}"]
    for option in group_options("experiment")
    if option.name != "study"
}
SHEETS["painted-eyes"] = ["generator=painted-eyes", "latent.label=1"]


def main() -> None:
    """Draw all pictures, or those that are named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    GALLERY.mkdir(exist_ok=True)
    others = {CLIP: draw_clip, CAPTIONS: draw_captions}
    for name in sys.argv[1:] or [*SHEETS, *others]:
        with tempfile.TemporaryDirectory() as folder:
            draw = others.get(name, partial(draw_sheet, name))
            logging.info("%s", draw(Path(folder)))


def draw_sheet(name: str, folder: Path) -> Path:
    """Draw the contact sheet of a film, and return its path; the run lies in ``folder``."""
    run_forgetting("preview", *SHEETS[name], f"hydra.run.dir={folder}")
    sheet = Image.open(folder / "sheet.png")
    size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
    path = GALLERY / f"{name}.jpg"
    sheet.resize(size, Image.Resampling.LANCZOS).save(path, quality=88)
    return path


def draw_clip(folder: Path) -> Path:
    """Make the looping clip of the default film, and return its path."""
    settings = ["film=png", "film.size=256", f"film.fps={CLIP_FPS}"]
    settings += [f"film.duration={CLIP_SECONDS}", "measure.names=none"]
    run_forgetting("render", *settings, f"hydra.run.dir={folder}")
    frames = [
        iio.imread(still, plugin="pillow") for still in sorted((folder / "film").glob("*.png"))
    ]
    durations = [round(1000 / CLIP_FPS)] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    path = GALLERY / "darkness.webp"
    options = {"quality": CLIP_QUALITY, "method": 6, "kmax": 60}
    iio.imwrite(path, frames, plugin="pillow", duration=durations, loop=0, **options)
    return path


def draw_captions(folder: Path) -> Path:
    """Draw a title, and a caption in each of its places; return the path."""
    stills = []
    for number, canvas in enumerate(CANVASES):
        run = folder / str(number)
        settings = [
            "experiment=cookbook/vigil",
            "film=png",
        ]
        settings += ["film.layout=face", f"film.canvas={canvas}", "film.fps=1", "film.duration=8"]
        run_forgetting("render", *settings, "measure.names=none", f"hydra.run.dir={run}")
        frames = sorted((run / "film").glob("*.png"))
        if not stills:
            stills.append(Image.open(frames[1]))  # the title, which takes three frames
        stills.append(Image.open(frames[4]))
    gap, height = 12, 440
    stills = [
        still.resize((round(still.width * height / still.height), height), Image.Resampling.LANCZOS)
        for still in stills
    ]
    row = Image.new("RGB", (sum(still.width + gap for still in stills) - gap, height), "white")
    x = 0
    for still in stills:
        row.paste(still, (x, 0))
        x += still.width + gap
    path = GALLERY / f"{CAPTIONS}.jpg"
    row.save(path, quality=88)
    return path


def run_forgetting(*arguments: str) -> None:
    """Run a command of forgetting.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "forgetting", *arguments], check=True)


if __name__ == "__main__":
    main()
