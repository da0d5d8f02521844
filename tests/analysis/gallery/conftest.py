"""Fixtures of the gallery: films, and the galleries made of them."""

import json
import shutil
from dataclasses import replace

import pytest

from forgetting.ablation import plan as plans
from forgetting.analysis.gallery import site as gallery
from helpers import compose_config, render_config

SMALL = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=96",
    "film.fps=12",
    "film.duration=3",
    "pacing=units",
]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two orderings, two faces; large, titled and unmeasured films, and one no browser plays."""
    folder = tmp_path_factory.mktemp("runs")
    plain = "measure.names=plain"
    render_config(compose_config(*SMALL, "latent.seed=1", plain), folder / "a")
    render_config(compose_config(*SMALL, "latent.seed=2", plain), folder / "b")
    render_config(
        compose_config(*SMALL, "latent.seed=1", "ordering=random", "film=webm", plain), folder / "c"
    )
    render_config(
        compose_config(
            *SMALL, "latent.seed=2", "ordering=random", "film.duration=4", "film.size=400"
        ),
        folder / "d",
    )
    render_config(
        compose_config(
            *SMALL,
            "latent.seed=3",
            "film=png",
            "film.duration=2",
            "film.every=2",
            "film.title=E",
            "film.title_duration=0.5",
            plain,
        ),
        folder / "e",
    )
    return folder


@pytest.fixture(scope="session")
def site(runs):
    return gallery.make_gallery(runs, runs.parent / f"{runs.name}-gallery").parent


def _gallery_of_recipes(runs, folder, count):
    """The page of one film under several recipes."""
    plan = plans.load_plan(runs / "a" / "plan.npz")
    for number in range(count):
        run = folder / f"{number:03d}"
        shutil.copytree(runs / "a", run)
        recipe = plan.recipe.replace("    seed: 1\n", f"    seed: {number + 100}\n", 1)
        plans.save_plan(replace(plan, recipe=recipe), run / "plan.npz")
        (run / "recipe.yaml").write_text(recipe)
        (run / "summary.json").write_text(json.dumps({"evenness": (37 * number) % 100 / 100}))
    return gallery.make_gallery(folder).parent


@pytest.fixture(scope="session")
def many(runs, tmp_path_factory):
    """A gallery of 40 films, more than a window shows."""
    return _gallery_of_recipes(runs, tmp_path_factory.mktemp("many"), 40)


@pytest.fixture(scope="session")
def hundred(runs, tmp_path_factory):
    """A gallery of a hundred films."""
    return _gallery_of_recipes(runs, tmp_path_factory.mktemp("hundred"), 100)


CHANGES = {
    "config:\n": "config:\n  experiment: '</title><b>/home/me/[x]'\n",
    "    seed: 1\n": "    seed: 7\n",
    "psi: 0.7": "psi: 1.0",
    "softness: 0.06": "softness: 0.1",
    "preset: ultrafast": "preset: slow",
    "crf: null": "crf: 19",
    "segment: 240": "segment: 120",
    "poster: 0.5": "poster: 0.2",
    "stations: 16": "stations: 9",
}
"""Lines of a recipe, and what stands in their place in one of several films."""


@pytest.fixture(scope="session")
def many_settings(runs, tmp_path_factory):
    """A gallery of films each of which differs in another setting; one has a hostile name."""
    folder, plan = tmp_path_factory.mktemp("settings"), plans.load_plan(runs / "a" / "plan.npz")
    for number, (line, other) in enumerate({"": "", **CHANGES}.items()):
        run = folder / str(number)
        shutil.copytree(runs / "a", run)
        assert line in plan.recipe
        recipe = plan.recipe.replace(line, other, 1) if line else plan.recipe
        plans.save_plan(replace(plan, recipe=recipe), run / "plan.npz")
        (run / "recipe.yaml").write_text(recipe)
    return gallery.make_gallery(folder).parent
