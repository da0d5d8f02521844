"""The table of everything, on the default face.

Strips of stations for every kind of units, ordering and operator, ten seconds a strip; and two moments for every ordering and
operator of every kind of units, a second each: python docs/table.py [NAME ...] draws docs/gallery/table-NAME.jpg.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw, ImageFont

from forgetting.engines.allocator import keep_memory
from forgetting.film import contact_sheet
from forgetting.film.images import fit
from forgetting.film.render import composed_frames
from forgetting.jobs import portrait
from forgetting.jobs.config_groups import CONFIGS, group_options
from forgetting.models.units import UNIT_KINDS

GALLERY = Path(__file__).parent / "gallery"
SIZE, STATIONS, LABEL, HEAD = 144, 9, 120, 32
STRIP = (
    "experiment=darkness",
    "schedule=linear",
    "film.fps=8",
    "film.ending=smudge",
    "engine.precision=float32",
)
TOGETHER = ("ordering=random", "ordering.layers=b32.*", "pacing=units")
MOMENTS = {
    "channels": (6, 25),
    "styles": (10, 35),
    "weights": (15, 45),
    "mapping": (20, 60),
}  # percent of all units gone
MOMENT = (
    "schedule=linear",
    "pacing=units",
    "film.ending=smudge",
    "engine=torch",
    "film.fps=101",
    "film.duration=1",
)

ORDERINGS = [one.name for one in group_options("ordering") if one.name not in ("file", "together")]
OPERATORS = {one.name: (f"operator={one.name}",) for one in group_options("operator")}
OPERATORS["freeze"] += (
    "latent=drift",
    "latent.share=1",
)  # on a face that stays, it says what it says
Draw = Callable[[], np.ndarray]


def filmed(settings: tuple[str, ...], stops: list[int] | None = None) -> np.ndarray:
    """Frames of one film, or its stations, side by side."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [*settings]), resolve=True)
    run = portrait.prepare(config)  # type: ignore[arg-type]
    stops = stops or contact_sheet.sample_positions(len(run.plan), STATIONS)
    return np.concatenate(
        [fit(frame, (SIZE, SIZE)) for frame in composed_frames(run.stage, stops)], axis=1
    )


def strip(*settings: str) -> Draw:
    """Stations of a film."""
    return lambda: filmed((*STRIP, *settings))


def crossing(*settings: str) -> Draw:
    """Two moments for every kind of units."""
    return lambda: np.concatenate(
        [
            filmed((*MOMENT, f"units={kind}", *settings), [*stops])
            for kind, stops in MOMENTS.items()
        ],
        axis=1,
    )


LAYERS = ("b8.*", "b16.*", "b32.*", "b64.*", "b128.*")
"""Of which the same units are turned down and up."""


TABLES: Mapping[str, Mapping[str, Draw]] = {
    "units": {
        kind: strip(f"units={kind}", "schedule.until=1") for kind in UNIT_KINDS if kind != "picture"
    },
    "orderings": {name: strip(f"ordering={name}", "schedule.until=0.6") for name in ORDERINGS},
    "operators": {name: strip(*TOGETHER, *settings) for name, settings in OPERATORS.items()},
    "directions": {
        f"{layers} {name}": strip(
            "ordering=random",
            f"ordering.layers={layers}",
            "schedule.until=1",
            "pacing=units",
            f"operator={name}",
        )
        for layers in LAYERS
        for name in ("zero", "amplify")
    },
    "units-orderings": {name: crossing(f"ordering={name}") for name in ORDERINGS},
    "units-operators": {
        name: crossing("ordering=random", *settings) for name, settings in OPERATORS.items()
    },
}


def main() -> None:
    """Draw the tables, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("forgetting").setLevel(logging.WARNING)
    keep_memory()
    for name in sys.argv[1:] or TABLES:
        lines = []
        for label, draw in TABLES[name].items():
            lines.append(draw())
            logging.info("%s", f"{name}: {label}")
        heads = list(MOMENTS) if name.startswith("units-") else []
        top = HEAD if heads else 0
        table = Image.new(
            "RGB", (LABEL + lines[0].shape[1], top + len(lines) * SIZE), contact_sheet.BACKGROUND
        )
        pen, font = ImageDraw.Draw(table), ImageFont.load_default(17)
        for number, head in enumerate(heads):
            pen.text(
                (LABEL + 2 * SIZE * number + SIZE, top // 2),
                head,
                (238, 238, 238),
                font,
                anchor="mm",
            )
        for number, (label, line) in enumerate(zip(TABLES[name], lines, strict=True)):
            table.paste(Image.fromarray(line), (LABEL, top + number * SIZE))
            pen.text(
                (8, top + number * SIZE + SIZE // 2), label, (238, 238, 238), font, anchor="lm"
            )
        table.save(GALLERY / f"table-{name}.jpg", quality=74)


if __name__ == "__main__":
    main()
