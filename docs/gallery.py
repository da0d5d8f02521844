"""Draws the pictures of docs/films.md: a contact sheet of every experiment, and a clip of the film.

python docs/gallery.py [NAME ...] draws those that are named.
"""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio.v3 as iio
from PIL import Image

from forgetting.jobs.config_groups import group_options

GALLERY = Path(__file__).parent / "gallery"
WIDTH = 1568
"""Of the sheets, in pixels."""

CLIP = "clip"
"""The name of the clip among the pictures; its file is darkness.webp."""

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
    for name in sys.argv[1:] or [*SHEETS, CLIP]:
        with tempfile.TemporaryDirectory() as folder:
            path = draw_clip(Path(folder)) if name == CLIP else draw_sheet(name, Path(folder))
        logging.info("%s", path)


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


def run_forgetting(*arguments: str) -> None:
    """Run a command of forgetting.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "forgetting", *arguments], check=True)


if __name__ == "__main__":
    main()
