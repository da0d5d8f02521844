"""The contact sheets in the README, as JPEG: what 'forgetting preview' draws of every experiment, and of other networks."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from forgetting.jobs.config_groups import group_options

GALLERY = Path(__file__).parent / "gallery"
WIDTH = 1568
SHEETS = {
    one.name: [f"experiment={one.name}"]
    for one in group_options("experiment")
    if one.name != "study"
}
SHEETS["painted-eyes"] = ["generator=painted-eyes", "latent.label=1"]


def main() -> None:
    """Draw all of them, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    GALLERY.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SHEETS:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "forgetting",
                "preview",
                *SHEETS[name],
                f"hydra.run.dir={folder}",
            ]
            subprocess.run(command, check=True)
            sheet = Image.open(Path(folder) / "sheet.png")
        size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
        sheet.resize(size, Image.Resampling.LANCZOS).save(GALLERY / f"{name}.jpg", quality=88)
        logging.info("%s", GALLERY / f"{name}.jpg")


if __name__ == "__main__":
    main()
