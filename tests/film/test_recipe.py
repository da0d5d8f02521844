"""Recipes: plans rendered again, and what films hold of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from forgetting.ablation import plan as plans
from forgetting.errors import RequestError
from forgetting.film import recipe
from forgetting.models.checkpoints import native
from forgetting.parts import part, part_modules
from helpers import THREE_FRAMES, TINY, compose_config, ffmpeg_report, prepare_config, render_config


def by_plan(path, *overrides, keys=()):
    """Return the config that renders the plan at ``path``; ``keys`` are those of ``overrides``."""
    config = compose_config(f"plan={path}", *overrides)
    return recipe.config_with_plan(config, ["plan", *keys], "render")


@pytest.mark.slow
def test_a_plan_is_replayed_bit_for_bit(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        folder.mkdir()
    chosen = [
        "generator=toy",
        "operator=mean",
        "latent.seed=4",
        "film.format=png",
        "film.size=64",
        "ordering=random",
    ]
    render_config(compose_config(*chosen, "film.fps=4", "film.duration=2"), first)
    again = by_plan(first / "plan.npz")
    render_config(again, second)
    for name in (*(f"film/{k:05d}.png" for k in range(8)), "poster.png", "sheet.png"):
        assert np.array_equal(
            *(np.asarray(Image.open(folder / name)) for folder in (first, second))
        ), name
    assert torch.equal(
        *(plans.load_plan(folder / "plan.npz").ablation for folder in (first, second))
    )
    changed = by_plan(
        first / "plan.npz", "film=gif", "latent.seed=5", keys=["film.format", "latent.seed"]
    )
    assert changed["latent"]["seed"] == 5
    assert changed["operator"]["_target_"] == "operator/mean"
    render_config(changed, third)
    assert (third / "film.gif").exists()


@part("generator/other")
@dataclass(frozen=True)
class OtherGenerator:
    """A network that is not the one of the plan."""

    def load(self):
        return TINY["dcgan"]()


@pytest.mark.slow
def test_overrides_that_contradict_the_plan(tmp_path, monkeypatch):
    monkeypatch.setitem(part_modules(), "generator/other", "forgetting.models.custom")
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    path = tmp_path / "plan.npz"
    for key in ("ordering", "schedule.until", "pacing", "experiment"):
        with pytest.raises(
            RequestError, match=f"already decides which units are ablated when; leave out {key}"
        ):
            by_plan(path, keys=[key])
    with pytest.raises(
        RequestError, match="has 3 frames, and film.fps x film.duration asks for 30"
    ):
        by_plan(path, "film.duration=10", keys=["film.duration"])
    slower = by_plan(path, "film.fps=1", keys=["film.fps"])
    assert slower["film"]["duration"] == 3
    with pytest.raises(RequestError, match="there is no plan"):
        by_plan("nowhere.npz")
    with pytest.raises(RequestError, match="the plan is for another network"):
        prepare_config(by_plan(path) | {"generator": {"_target_": "generator/other"}})


@pytest.mark.parametrize(
    "text", ["{", "text", "config: 3", "config: {}", "a: [", "config: {film: 1}"]
)
def test_a_plan_whose_recipe_cannot_be_read(tmp_path, text):
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "unreadable.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array(text)})
    with pytest.raises(RequestError, match=r"the recipe in plan .*unreadable.npz"):
        by_plan(tmp_path / "unreadable.npz")


def test_a_plan_without_a_recipe_is_rendered_by_the_current_config(tmp_path):
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "bare.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array("")})
    config = by_plan(tmp_path / "bare.npz", "generator=toy", keys=["generator"])
    assert prepare_config(config).compositor.film.frames == 3


def test_the_recipe_describes_how_a_film_was_rendered(tmp_path):
    path = render_config(compose_config(*THREE_FRAMES, "latent.seed=11"), tmp_path)
    recorded = OmegaConf.to_container(OmegaConf.load(tmp_path / "recipe.yaml"))
    assert recorded["config"]["latent"]["seed"] == 11
    assert recorded["versions"]["torch"] == str(torch.__version__)
    assert len(recorded["model"]["sha256"]) == 64
    assert '"seed": 11' in ffmpeg_report(path)
    assert '"seed": 11' in Image.open(tmp_path / "poster.png").text["Comment"]
    assert plans.load_plan(tmp_path / "plan.npz").recipe == (tmp_path / "recipe.yaml").read_text()


def test_a_film_holds_no_path_of_this_machine(tmp_path):
    path = render_config(compose_config(*THREE_FRAMES), tmp_path)
    assert str(Path.home()).encode() not in path.read_bytes()


def test_a_film_holds_the_name_but_not_the_folder_of_its_network(tmp_path):
    network = TINY["dcgan"]()
    path = tmp_path / "secret" / "mine.safetensors"
    path.parent.mkdir()
    native.write_checkpoint(path, "dcgan", network.hyperparameters, network.state_dict(), "a test")
    film = render_config(
        compose_config(*THREE_FRAMES[1:], "generator=file", f"generator.path={path}"),
        tmp_path / "film",
    )
    assert b"secret" not in film.read_bytes()
    assert b"mine.safetensors" in film.read_bytes()
    assert "secret" in (tmp_path / "film" / "recipe.yaml").read_text(), (
        "resuming needs the whole path"
    )
