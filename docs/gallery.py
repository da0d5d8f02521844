"""The contact sheets in the README: for every experiment what 'forgetting preview experiment=NAME' draws, as JPEG."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from forgetting.settings import CONFIGS

GALLERY = Path(__file__).parent / "gallery"
WIDTH = 1568


def main() -> None:
    """Draw all of them, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    GALLERY.mkdir(exist_ok=True)
    for name in sys.argv[1:] or sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "forgetting", "preview", f"experiment={name}", f"hydra.run.dir={folder}"]
            subprocess.run(command, check=True)
            sheet = Image.open(Path(folder) / "sheet.png")
        size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
        sheet.resize(size, Image.Resampling.LANCZOS).save(GALLERY / f"{name}.jpg", quality=88)
        logging.info("%s", GALLERY / f"{name}.jpg")


if __name__ == "__main__":
    main()
