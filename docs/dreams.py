"""The contact sheets of docs/dreams.md, as JPEG: python docs/dreams.py [NAME ...] makes the films, in outputs/dreams, and draws them."""

import logging
import subprocess
import sys
from pathlib import Path

from PIL import Image

GALLERY, FILMS = Path(__file__).parent / "gallery", Path("outputs/dreams")
WIDTH = 1568
CAT = "source.path=tests/data/photographs/cat.jpg"
DECAY = ["render", "experiment=darkness", "film.size=512", "film.duration=8", "film.fps=12"]
LITE2 = ["classifier=efficientnet-lite2", "film.size=384"]
DREAMS = {
    "journey": [],
    "journey-lite2": [*LITE2, "source.seed=3"],
    "dive": ["dream=dive", "source=photograph", CAT, "film.duration=8", "film.stations=8"],
    "still": [
        "dream=still",
        "classifier=efficientnet-lite2",
        "source=photograph",
        CAT,
        "film.duration=8",
        "film.stations=8",
    ],
    "breathe": [
        "dream=breathe",
        "source=face",
        "film.duration=8",
        "dream.amount.periods=1",
        "film.stations=8",
    ],
    "dive-lite2": [
        *LITE2,
        "dream=dive",
        "objective.layers=blocks.15.depthwise.0",
        "film.duration=8",
        "film.stations=8",
    ],
    "over": ["dream=over", "source=film", f"source.path={FILMS / 'decay'}"],
    "last_dream": ["experiment=last_dream", "film.layout=diptych", "film.size=384"],
}


def forgetting(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "forgetting", *arguments], check=True)


def main() -> None:
    """Make all of them, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in sys.argv[1:] or DREAMS:
        if name == "over":
            forgetting(*DECAY, "measure.names=none", f"hydra.run.dir={FILMS / 'decay'}")
        forgetting("dream", *DREAMS[name], f"hydra.run.dir={FILMS / name}")
        sheet = Image.open(FILMS / name / "sheet.png").convert("RGB")
        size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
        sheet.resize(size, Image.Resampling.LANCZOS).save(GALLERY / f"dream-{name}.jpg", quality=84)
        logging.info("%s", GALLERY / f"dream-{name}.jpg")


if __name__ == "__main__":
    main()
