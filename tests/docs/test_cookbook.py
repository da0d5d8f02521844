"""The cookbook's films are what it says they are, and can be made."""

import re

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forgetting.film import decoder, metadata
from forgetting.jobs.config_groups import CONFIGS
from helpers import ROOT, render_config

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs"


FILMS = sorted((CONFIGS / "experiment/cookbook").glob("*.yaml"))


SMALL = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
    "film.size=64",
    "measure.names=none",
]


OTHER_SETTINGS = {
    "nobody": ["noise=constant", "~noise.turns", "film.title=null"],
    "scream": [
        "units=channels",
        "ordering.layers=b16.*",
        "tracks.inverted.ordering.layers=b8.*",
    ],
    "tide": ["ordering.layers=b16.*"],
    "vigil": ["film.canvas=[384,216]"],
}
"""What a film needs to be made of a toy network, and small."""


def test_the_page_names_every_film_and_no_other():
    page = (DOCS / "cookbook.md").read_text(encoding="utf-8")
    assert FILMS
    assert re.findall(r"experiment=cookbook/(\w+)", page) == [path.stem for path in FILMS]


@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.stem)
def test_every_film_of_the_cookbook(tmp_path, path):
    """It renders, it changes, and the page shows its settings and a picture."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(
            "config",
            [
                f"experiment=cookbook/{path.stem}",
                *SMALL,
                *OTHER_SETTINGS.get(path.stem, []),
            ],
        )
    film = render_config(OmegaConf.to_container(config, resolve=True), tmp_path)
    frames = list(decoder.decode_frames(film))[metadata.title_frames(film) :]
    assert len(frames) == 3
    assert any(not np.array_equal(frames[0], frame) for frame in frames[1:])
    page = (DOCS / "cookbook.md").read_text(encoding="utf-8")
    settings = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("# ") or "@package" in line
    ]
    assert "```yaml\n" + "\n".join(settings) + "\n```" in page, "run docs/cookbook.py"
    assert (DOCS / "gallery" / f"cookbook-{path.stem}.jpg").exists()
