from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from forgetting.ablation import plan as plans
from forgetting.errors import RequestError
from forgetting.film import recipe
from forgetting.jobs import configs
from forgetting.models import generator_zoo
from forgetting.models.checkpoints import native
from helpers import THREE_FRAMES, TINY, compose_config, ffmpeg_report, prepare_config, render_config


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
    again = recipe.config_with_plan(compose_config(f"plan={first / 'plan.npz'}"), ["plan"])
    render_config(again, second)
    for name in (*(f"film/{k:05d}.png" for k in range(8)), "poster.png", "sheet.png"):
        assert np.array_equal(
            *(np.asarray(Image.open(folder / name)) for folder in (first, second))
        ), name
    assert torch.equal(
        *(plans.load_plan(folder / "plan.npz").ablation for folder in (first, second))
    )
    changed = recipe.config_with_plan(
        compose_config(f"plan={first / 'plan.npz'}", "film=gif", "latent.seed=5"),
        ["plan", "film.format", "latent.seed"],
    )
    assert changed["latent"]["seed"] == 5
    assert changed["operator"]["_target_"].endswith("Mean")
    render_config(changed, third)
    assert (third / "film.gif").exists()


def test_what_a_plan_has_decided(tmp_path):
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    path = tmp_path / "plan.npz"
    for key in ("ordering", "schedule.until", "pacing", "experiment"):
        with pytest.raises(RequestError, match=f"already decides who dies when; leave out {key}"):
            recipe.config_with_plan(compose_config(f"plan={path}"), ["plan", key])
    with pytest.raises(
        RequestError, match="has 3 frames, and film.fps x film.duration asks for 30"
    ):
        recipe.config_with_plan(
            compose_config(f"plan={path}", "film.duration=10"), ["plan", "film.duration"]
        )
    slower = recipe.config_with_plan(
        compose_config(f"plan={path}", "film.fps=1"), ["plan", "film.fps"]
    )
    assert slower["film"]["duration"] == 3
    with pytest.raises(RequestError, match="there is no plan"):
        recipe.config_with_plan(compose_config("plan=nowhere.npz"), ["plan"])
    with pytest.raises(RequestError, match="the plan is for another network"):
        prepare_config(
            recipe.config_with_plan(compose_config(f"plan={path}"), ["plan"])
            | {"generator": _dcgan_like()}
        )


def _dcgan_like():
    class Other(generator_zoo.NamedGenerator):
        def __call__(self):
            from conftest import TINY

            return TINY["dcgan"]()

    configs.PARTS["test.Other"] = Other
    return {"_target_": "test.Other", "name": "toy"}


@pytest.mark.parametrize(
    "text", ["{", "text", "config: 3", "config: {}", "a: [", "config: {film: 1}"]
)
def test_a_plan_with_a_strange_recipe(tmp_path, text):
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "strange.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array(text)})
    with pytest.raises(RequestError, match=r"the recipe in plan .*strange.npz"):
        recipe.config_with_plan(compose_config(f"plan={tmp_path / 'strange.npz'}"), ["plan"])


def test_a_plan_without_a_recipe_is_rendered_by_the_current_config(tmp_path):
    render_config(compose_config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "bare.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array("")})
    found = recipe.config_with_plan(
        compose_config(f"plan={tmp_path / 'bare.npz'}", "generator=toy"), ["plan", "generator"]
    )
    assert prepare_config(found).film.frames == 3


def test_the_recipe_says_how_a_film_was_made(tmp_path):
    path = render_config(compose_config(*THREE_FRAMES, "latent.seed=11"), tmp_path)
    told = OmegaConf.to_container(OmegaConf.load(tmp_path / "recipe.yaml"))
    assert told["config"]["latent"]["seed"] == 11
    assert told["versions"]["torch"] == str(torch.__version__)
    assert len(told["model"]["sha256"]) == 64
    assert '"seed": 11' in ffmpeg_report(path)
    assert '"seed": 11' in Image.open(tmp_path / "poster.png").text["Comment"]
    assert plans.load_plan(tmp_path / "plan.npz").recipe == (tmp_path / "recipe.yaml").read_text()


def test_no_path_of_this_machine_in_a_film(tmp_path):
    path = render_config(compose_config(*THREE_FRAMES), tmp_path)
    assert str(Path.home()).encode() not in path.read_bytes()


def test_a_film_does_not_tell_where_its_network_lay(tmp_path):
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
        "or resuming could not find it"
    )
