"""The table of everything: a strip of stations of the default face for every kind, ordering and operator.

python docs/table.py [NAME ...] draws docs/gallery/table-{units,orderings,operators}.jpg; a strip takes about ten seconds.
"""

import logging
import sys
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont

from forgetting import experiment, sheet
from forgetting.allocator import keep_memory
from forgetting.film import fit
from forgetting.settings import CONFIGS, groups

GALLERY = Path(__file__).parent / "gallery"
SIZE, STATIONS, LABEL = 144, 9, 120
COMMON = ("experiment=darkness", "schedule=linear", "film.fps=8", "film.ending=smudge", "engine.precision=float32")
TOGETHER = ("ordering=random", "ordering.layers=b32.*", "pacing=units")

TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "units": {kind: (f"units={kind}", "schedule.until=1") for kind in ("channels", "styles", "weights", "mapping")},
    "orderings": {
        one.name: (f"ordering={one.name}", "schedule.until=0.6") for one in groups("ordering") if one.name not in ("file", "together")
    },
    "operators": {one.name: (*TOGETHER, f"operator={one.name}") for one in groups("operator")},
}


def strip(settings: tuple[str, ...]) -> np.ndarray:
    """Stations of one film, side by side."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [*COMMON, *settings]), resolve=True)
    run = experiment.prepare(config)  # type: ignore[arg-type]
    stops = sheet.stations(len(run.plan), STATIONS)
    return np.concatenate([fit(frame, (SIZE, SIZE)) for frame in run.stage.finished(stops)], axis=1)


def main() -> None:
    """Draw the tables, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("forgetting").setLevel(logging.WARNING)
    keep_memory()
    for name in sys.argv[1:] or TABLES:
        rows = TABLES[name]
        table = Image.new("RGB", (LABEL + STATIONS * SIZE, len(rows) * SIZE), sheet.GROUND)
        pen, font = ImageDraw.Draw(table), ImageFont.load_default(17)
        for number, (label, settings) in enumerate(rows.items()):
            table.paste(Image.fromarray(strip(settings)), (LABEL, number * SIZE))
            pen.text((8, number * SIZE + SIZE // 2), label, (238, 238, 238), font, anchor="lm")
            logging.info("%s", f"{name}: {label}")
        table.save(GALLERY / f"table-{name}.jpg", quality=74)


if __name__ == "__main__":
    main()
