"""Makes the films of docs/dreams.md in outputs/dreams, and draws their contact sheets.

python docs/dreams.py [NAME ...] makes those that are named.
"""

import logging
import subprocess
import sys
from pathlib import Path

from PIL import Image

GALLERY, FILMS = Path(__file__).parent / "gallery", Path("outputs/dreams")
WIDTH = 1568
"""Of the sheets, in pixels."""

CAT = ["source=photograph", "source.path=tests/data/photographs/cat.jpg"]
SQUEEZENET = ["classifier=squeezenet-imagenet"]
SMALLER = ["film.size=384"]
EIGHT_SECONDS = ["film.duration=8", "film.stations=8"]

DARKNESS = FILMS / "decay"
"""The run of the film that ``over`` dreams upon."""

DREAMS = {
    "journey": [],
    "journey-squeezenet": SQUEEZENET,
    "places": [
        "experiment=places",
        "film.size=320",
        "film.fps=12",
        "film.duration=14",
    ],
    "dive": ["dream=dive", *SQUEEZENET, *CAT, *EIGHT_SECONDS],
    "still": ["dream=still", *CAT, *EIGHT_SECONDS],
    "breathe": [
        "dream=breathe",
        *SQUEEZENET,
        "source=face",
        "dream.amount.periods=1",
        *EIGHT_SECONDS,
    ],
    "dive-lite2": [
        *SMALLER,
        "dream=dive",
        "objective.layers=blocks.15.depthwise.0",
        *EIGHT_SECONDS,
    ],
    "over": ["dream=over", *SQUEEZENET, "source=film", f"source.path={DARKNESS}"],
    "last_dream": ["experiment=last_dream", "film.layout=diptych", "film.size=384"],
}
"""The settings of every dream, by the name of its sheet."""


def main() -> None:
    """Make all dreams, or those that are named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in sys.argv[1:] or DREAMS:
        if name == "over":
            settings = ["film.size=512", "film.duration=8", "film.fps=12", "measure.names=none"]
            run_forgetting("render", *settings, f"hydra.run.dir={DARKNESS}")
        run_forgetting("dream", *DREAMS[name], f"hydra.run.dir={FILMS / name}")
        sheet = Image.open(FILMS / name / "sheet.png").convert("RGB")
        size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
        path = GALLERY / f"dream-{name}.jpg"
        sheet.resize(size, Image.Resampling.LANCZOS).save(path, quality=84)
        logging.info("%s", path)


def run_forgetting(*arguments: str) -> None:
    """Run a command of forgetting.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([sys.executable, "-m", "forgetting", *arguments], check=True)


if __name__ == "__main__":
    main()
