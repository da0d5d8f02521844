"""Draws the tables of docs/everything.md: every kind of unit, ordering and operator on one face.

A strip shows nine frames of a film and takes ten seconds to draw. Tables of combinations show two
moments for every kind of unit. python docs/table.py [NAME ...] draws docs/gallery/table-NAME.jpg.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image, ImageDraw

from forgetting.engines.allocator import keep_memory
from forgetting.engines.pixels import Frame
from forgetting.film.contact_sheet import BACKGROUND, sample_positions
from forgetting.film.fonts import Font
from forgetting.film.images import fit
from forgetting.film.render import composed_frames
from forgetting.jobs.config_groups import CONFIGS, group_options
from forgetting.jobs.job import parse_job
from forgetting.models.units import PICTURE, UNIT_KINDS

GALLERY = Path(__file__).parent / "gallery"
SIZE, STRIP_FRAMES, LABEL_WIDTH, HEAD_HEIGHT = 144, 9, 120, 32
TEXT_COLOUR = (238, 238, 238)

STRIP = (
    "experiment=darkness",
    "schedule=linear",
    "film.fps=8",
    "film.ending=smudge",
    "engine.precision=float32",
)
TWO_LAYERS = ("ordering=random", "ordering.layers=b32.*", "pacing=units")

MOMENTS = {
    "channels": (6, 25),
    "styles": (10, 35),
    "weights": (15, 45),
    "mapping": (20, 60),
}
"""Kind of units -> the percentages of ablated units that are drawn."""

COMBINATION = (
    "schedule=linear",
    "pacing=units",
    "film.ending=smudge",
    "engine=torch",
    "film.fps=101",  # frame k of a second has k percent of the units ablated
    "film.duration=1",
)

ORDERINGS = [
    option.name for option in group_options("ordering") if option.name not in ("file", "together")
]
OPERATORS = {option.name: (f"operator={option.name}",) for option in group_options("operator")}
OPERATORS["freeze"] += ("latent=drift", "latent.share=1")  # changes nothing on a face that stays

BLOCKS = ("b8.*", "b16.*", "b32.*", "b64.*", "b128.*")
"""The layers whose units are replaced by zero and amplified."""

Draw = Callable[[], Frame]


def render(settings: Sequence[str], positions: Sequence[int] | None = None) -> Frame:
    """Return frames of a film side by side: those at ``positions``, or evenly spaced ones."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", [*settings]), resolve=True)
    source = parse_job(config).prepare()
    frames = len(source.compositor.plan)
    positions = positions or sample_positions(frames, STRIP_FRAMES)
    pictures = [fit(frame, (SIZE, SIZE)) for frame in composed_frames(source, positions)]
    return np.concatenate(pictures, axis=1)


def strip(*settings: str) -> Draw:
    """Return what draws evenly spaced frames of a film."""
    return lambda: render((*STRIP, *settings))


def combination(*settings: str) -> Draw:
    """Return what draws two moments for every kind of units."""

    def draw() -> Frame:
        cells = [
            render((*COMBINATION, f"units={kind}", *settings), percentages)
            for kind, percentages in MOMENTS.items()
        ]
        return np.concatenate(cells, axis=1)

    return draw


def _block(layers: str, operator: str) -> Draw:
    return strip(
        "ordering=random",
        f"ordering.layers={layers}",
        "schedule.until=1",
        "pacing=units",
        f"operator={operator}",
    )


TABLES: Mapping[str, Mapping[str, Draw]] = {
    "units": {
        kind: strip(f"units={kind}", "schedule.until=1")
        for kind in UNIT_KINDS
        if kind != PICTURE.kind
    },
    "orderings": {name: strip(f"ordering={name}", "schedule.until=0.6") for name in ORDERINGS},
    "operators": {name: strip(*TWO_LAYERS, *settings) for name, settings in OPERATORS.items()},
    "directions": {
        f"{layers} {operator}": _block(layers, operator)
        for layers in BLOCKS
        for operator in ("zero", "amplify")
    },
    "units-orderings": {name: combination(f"ordering={name}") for name in ORDERINGS},
    "units-operators": {
        name: combination("ordering=random", *settings) for name, settings in OPERATORS.items()
    },
}
"""Name of the table -> label of the row -> what draws the row."""


def draw_table(name: str) -> Image.Image:
    """Return a table with its labels."""
    rows = {}
    for label, draw in TABLES[name].items():
        rows[label] = draw()
        logging.info("%s", f"{name}: {label}")
    heads = list(MOMENTS) if name.startswith("units-") else []
    top = HEAD_HEIGHT if heads else 0
    width = LABEL_WIDTH + next(iter(rows.values())).shape[1]
    table = Image.new("RGB", (width, top + len(rows) * SIZE), BACKGROUND)
    pen, font = ImageDraw.Draw(table), Font().at(19)
    for number, head in enumerate(heads):
        position = (LABEL_WIDTH + (2 * number + 1) * SIZE, top // 2)
        pen.text(position, head, TEXT_COLOUR, font, anchor="mm")
    for number, (label, row) in enumerate(rows.items()):
        y = top + number * SIZE
        table.paste(Image.fromarray(row), (LABEL_WIDTH, y))
        pen.text((8, y + SIZE // 2), label, TEXT_COLOUR, font, anchor="lm")
    return table


def main() -> None:
    """Draw all tables, or those that are named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("forgetting").setLevel(logging.WARNING)
    keep_memory()
    for name in sys.argv[1:] or TABLES:
        draw_table(name).save(GALLERY / f"table-{name}.jpg", quality=74)


if __name__ == "__main__":
    main()
