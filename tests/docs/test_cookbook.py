"""The cookbook's films are what it says they are, and can be made."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forgetting.jobs.config_groups import CONFIGS
from helpers import ROOT, ffmpeg_report, render_config

DOCS = ROOT / "docs"


FILMS = sorted((DOCS / "cookbook" / "experiment").glob("*.yaml"))


SMALL = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
    "film.size=64",
    "measure.names=none",
]


ELSE = {
    "nobody": ["noise=constant", "~noise.turns"],
    "scream": ["tracks.scream.ordering.layers=b16.*"],
    "tide": ["ordering.layers=b16.*"],
    "vigil": ["film.canvas=[384,216]"],
}


def test_there_are_ten():
    assert len(FILMS) >= 10


@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.stem)
def test_every_film_of_the_cookbook(tmp_path, path):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        searched = f"hydra.searchpath=[file://{DOCS / 'cookbook'}]"
        config = compose(
            "config", [searched, f"experiment={path.stem}", *SMALL, *ELSE.get(path.stem, [])]
        )
    film = render_config(OmegaConf.to_container(config, resolve=True), tmp_path)
    assert "Video" in ffmpeg_report(film)
    told = (DOCS / "cookbook.md").read_text(encoding="utf-8")
    settings = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("# ") or "@package" in line
    ]
    assert "```yaml\n" + "\n".join(settings) + "\n```" in told, "run docs/cookbook.py"
    assert (DOCS / "gallery" / f"cookbook-{path.stem}.jpg").exists()
