import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from test_encoder import decode, probe

from forgetting.ablation import pacing, schedules
from forgetting.ablation import plan as plans
from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators import removal
from forgetting.ablation.orderings import basic
from forgetting.engines.engine import to_bytes
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film import recipe, render
from forgetting.film.images import fit
from forgetting.jobs import configs, portrait, run
from forgetting.jobs.config_groups import CONFIGS, GROUPS, group_options
from forgetting.models import generator_zoo, latents
from forgetting.models.checkpoints import native
from forgetting.models.units import Units

EXPERIMENTS = sorted(option.name for option in group_options("experiment"))
THREE_FRAMES = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
]
"""Measuring is tried where measures are."""


def config(*overrides, root="config"):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(
            compose(root, ["measure.names=none", *overrides]), resolve=True
        )


def test_the_promised_experiments_are_there():
    promised = {
        "darkness",
        "coarse_first",
        "fine_first",
        "bleaching",
        "dissolve",
        "remember",
        "pendulum",
        "quick",
    }
    assert promised <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_renders(tmp_path, name):
    path = run.render(config(f"experiment={name}", *THREE_FRAMES), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "film.mp4",
        "plan.npz",
        "poster.png",
        "recipe.yaml",
        "sheet.png",
        "summary.json",
    ]
    height, width = portrait.assemble(config(f"experiment={name}", *THREE_FRAMES)).film.shape(
        32, 32
    )
    assert decode(path, width, height).shape == (3, height, width, 3)
    assert len(plans.load_plan(tmp_path / "plan.npz")) == 3


@pytest.mark.parametrize(
    "group",
    [group for group in GROUPS if group not in ("experiment", "generator", "noise", "cluster")],
)
def test_every_option_of_every_group_renders(tmp_path, group):
    scores = tmp_path / "scores.npy"
    np.save(scores, np.arange(52.0))
    for option in group_options(group):
        settings = [
            *THREE_FRAMES,
            f"{group}={option.name}",
            *([f"ordering.path={scores}"] if option.name == "file" else []),
        ]
        folder = tmp_path / option.name
        folder.mkdir()
        assert run.render(config(*settings), folder).exists()


@pytest.mark.parametrize("noise", ["constant", "off", "animated"])
def test_noise_in_films(tmp_path, noise):
    """Of a network that has some; all frames in one piece and in two are the same."""
    network, films = TINY["stylegan2-orig"](), []
    native.write_checkpoint(
        tmp_path / "mine.safetensors",
        "stylegan2",
        network.hyperparameters,
        network.state_dict(),
        "a test",
    )
    for segment in (2, 9):
        settings = (
            "generator=file",
            f"generator.path={tmp_path / 'mine.safetensors'}",
            f"noise={noise}",
            "film=ffv1",
            "film.size=16",
        )
        more = (
            *THREE_FRAMES[1:-1],
            "film.duration=2",
            f"film.segment={segment}",
            "noise.turns=1" if noise == "animated" else "units=channels",
        )
        (tmp_path / str(segment)).mkdir()
        films.append(decode(run.render(config(*settings, *more), tmp_path / str(segment)), 16))
    assert np.array_equal(*films)
    still = fit(to_bytes(network.bind(latents.Seed()(network))())[0].numpy(), (16, 16))
    assert (np.abs(films[0][0].astype(int) - still).max() <= 1) == (noise != "off")


def test_every_part_is_in_a_config():
    """What can be built can be chosen, and what can be chosen can be built."""
    named = set(
        re.findall(
            r"_target_: ([\w.]+)", "".join(path.read_text() for path in CONFIGS.rglob("*.yaml"))
        )
    )
    assert named == set(configs.PARTS)


def test_configs_hold_the_defaults_of_their_parts():
    for part, key in (
        (removal.Zero, "operator"),
        (basic.Contribution, "ordering"),
        (pacing.Perceptual, "pacing"),
    ):
        assert configs.build_part(config("~experiment")[key]) == part()
    assert configs.build_part(config("~experiment")["schedule"]) == schedules.Schedule()


def test_the_default_is_darkness():
    assert config() == config("experiment=darkness")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "forgetting.cli.main.sys.exit",
        "forgetting.models.generator_zoo.subprocess.run",
        "forgetting.film.settings.Films",
        "builtins.eval",
        "1",
    ],
)
def test_only_parts_are_built(target):
    with pytest.raises(RequestError, match="no part"):
        configs.build_part({"_target_": target, "x": "echo"}, "film")


@pytest.mark.parametrize("key", ["generator", "schedule", "film"])
def test_a_part_in_the_wrong_place(key):
    wrong = config("generator=toy") | {key: {"_target_": "latent/seed"}}
    with pytest.raises(RequestError, match=f"config key '{key}' must be a forgetting"):
        portrait.assemble(wrong)


def test_a_setting_that_a_part_does_not_have():
    with pytest.raises(RequestError, match=r"no setting 'film.fsp' .did you mean 'film.fps'"):
        configs.build_part({"_target_": "film/film", "fsp": 3}, "film")


def test_values_are_checked_before_anything_slow(monkeypatch):
    monkeypatch.setattr(generator_zoo, "load", lambda name: pytest.fail("nothing should be loaded"))
    with pytest.raises(RequestError, match=r"film.fps"):
        portrait.prepare(config("film.fps=0"))


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
    run.render(config(*chosen, "film.fps=4", "film.duration=2"), first)
    again = recipe.config_with_plan(config(f"plan={first / 'plan.npz'}"), ["plan"])
    run.render(again, second)
    for name in (*(f"film/{k:05d}.png" for k in range(8)), "poster.png", "sheet.png"):
        assert np.array_equal(
            *(np.asarray(Image.open(folder / name)) for folder in (first, second))
        ), name
    assert torch.equal(
        *(plans.load_plan(folder / "plan.npz").ablation for folder in (first, second))
    )
    changed = recipe.config_with_plan(
        config(f"plan={first / 'plan.npz'}", "film=gif", "latent.seed=5"),
        ["plan", "film.format", "latent.seed"],
    )
    assert changed["latent"]["seed"] == 5
    assert changed["operator"]["_target_"].endswith("Mean")
    run.render(changed, third)
    assert (third / "film.gif").exists()


def test_what_a_plan_has_decided(tmp_path):
    run.render(config(*THREE_FRAMES), tmp_path)
    path = tmp_path / "plan.npz"
    for key in ("ordering", "schedule.until", "pacing", "experiment"):
        with pytest.raises(RequestError, match=f"already decides who dies when; leave out {key}"):
            recipe.config_with_plan(config(f"plan={path}"), ["plan", key])
    with pytest.raises(
        RequestError, match="has 3 frames, and film.fps x film.duration asks for 30"
    ):
        recipe.config_with_plan(
            config(f"plan={path}", "film.duration=10"), ["plan", "film.duration"]
        )
    slower = recipe.config_with_plan(config(f"plan={path}", "film.fps=1"), ["plan", "film.fps"])
    assert slower["film"]["duration"] == 3
    with pytest.raises(RequestError, match="there is no plan"):
        recipe.config_with_plan(config("plan=nowhere.npz"), ["plan"])
    with pytest.raises(RequestError, match="the plan is for another network"):
        portrait.prepare(
            recipe.config_with_plan(config(f"plan={path}"), ["plan"]) | {"generator": _dcgan_like()}
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
    run.render(config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "strange.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array(text)})
    with pytest.raises(RequestError, match=r"the recipe in plan .*strange.npz"):
        recipe.config_with_plan(config(f"plan={tmp_path / 'strange.npz'}"), ["plan"])


def test_a_plan_without_a_recipe_is_rendered_by_the_current_config(tmp_path):
    run.render(config(*THREE_FRAMES), tmp_path)
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "bare.npz").open("wb") as file:
        np.savez(file, **arrays | {"recipe": np.array("")})
    found = recipe.config_with_plan(
        config(f"plan={tmp_path / 'bare.npz'}", "generator=toy"), ["plan", "generator"]
    )
    assert portrait.prepare(found).film.frames == 3


def test_the_recipe_says_how_a_film_was_made(tmp_path):
    path = run.render(config(*THREE_FRAMES, "latent.seed=11"), tmp_path)
    told = OmegaConf.to_container(OmegaConf.load(tmp_path / "recipe.yaml"))
    assert told["config"]["latent"]["seed"] == 11
    assert told["versions"]["torch"] == str(torch.__version__)
    assert len(told["model"]["sha256"]) == 64
    assert '"seed": 11' in probe(path)
    assert '"seed": 11' in Image.open(tmp_path / "poster.png").text["Comment"]
    assert plans.load_plan(tmp_path / "plan.npz").recipe == (tmp_path / "recipe.yaml").read_text()


def test_a_preview_is_the_sheet_of_the_film(tmp_path):
    (tmp_path / "film").mkdir()
    (tmp_path / "preview").mkdir()
    settings = config(
        "generator=toy", "engine=torch", "film.fps=10", "film.duration=3", "film.preset=ultrafast"
    )
    run.render(settings, tmp_path / "film")
    sheet = run.preview(settings, tmp_path / "preview")
    assert sorted(path.name for path in (tmp_path / "preview").iterdir()) == [
        "plan.npz",
        "sheet.png",
    ]
    assert np.array_equal(
        np.asarray(Image.open(sheet)), np.asarray(Image.open(tmp_path / "film" / "sheet.png"))
    )


def test_no_path_of_this_machine_in_a_film(tmp_path):
    path = run.render(config(*THREE_FRAMES), tmp_path)
    assert str(Path.home()).encode() not in path.read_bytes()


@pytest.mark.parametrize("architecture", TINY)
def test_every_experiment_on_every_architecture(tmp_path, architecture):
    """As a file of one's own; a few frames each, without writing them."""
    network = TINY[architecture]()
    path = tmp_path / "network.safetensors"
    kind = next(name for name, part in native.ARCHITECTURES.items() if type(network) is part)
    native.write_checkpoint(path, kind, network.hyperparameters, network.state_dict(), "a test")
    for name in EXPERIMENTS:
        settings = (
            f"experiment={name}",
            *THREE_FRAMES[1:],
            "generator=file",
            f"generator.path={path}",
            "pacing.probes=8",
        )
        ready = portrait.prepare(config(*settings))
        frames = list(ready.engine(ready.plan.rows([0, 1, 2])))
        assert len(frames) == 3
        assert frames[0].shape == (*network.size, 3)


@pytest.mark.parametrize("latent", ["seed", "walk", "wander", "breathe"])
def test_the_last_frame_of_a_loop_is_a_neighbour_of_the_first(tmp_path, latent):
    """Nothing in the finished film tells where it begins."""
    settings = (
        "experiment=pendulum",
        f"latent={latent}",
        "generator=toy",
        "engine=torch",
        "film=ffv1",
        "film.duration=4",
        "film.size=32",
    )
    decoded = decode(run.render(config(*settings), tmp_path), 32).astype(float)
    steps = np.abs(np.roll(decoded, -1, axis=0) - decoded).mean((1, 2, 3))
    assert len(steps) == 96
    assert np.abs(decoded[48] - decoded[0]).mean() > 5 * steps[-1], "something happens on the way"
    assert steps[-1] <= steps[:-1].max()


def test_nobodys_code_is_run_unasked(tmp_path):
    node = {
        "generator": {
            "_target_": "generator/module",
            "factory": "some.where:make",
        }
    }
    with pytest.raises(RequestError, match="asks to run code, 'some.where:make'; if you trust it"):
        configs.require_code_consent(node, ["generator=module", "generator.factory=another:make"])
    configs.require_code_consent(node, ["generator.factory=some.where:make"])
    configs.require_code_consent(config("generator=toy"), [])


def test_a_film_does_not_tell_where_its_network_lay(tmp_path):
    network = TINY["dcgan"]()
    path = tmp_path / "secret" / "mine.safetensors"
    path.parent.mkdir()
    native.write_checkpoint(path, "dcgan", network.hyperparameters, network.state_dict(), "a test")
    film = run.render(
        config(*THREE_FRAMES[1:], "generator=file", f"generator.path={path}"), tmp_path / "film"
    )
    assert b"secret" not in film.read_bytes()
    assert b"mine.safetensors" in film.read_bytes()
    assert "secret" in (tmp_path / "film" / "recipe.yaml").read_text(), (
        "or resuming could not find it"
    )


def test_a_face_may_move_while_it_dies(tmp_path):
    settings = (
        "generator=toy",
        "engine=torch",
        "latent=walk",
        "film.fps=8",
        "film.duration=1",
        "film.format=png",
        "film.size=32",
        "film.ending=smudge",
    )
    run.render(config(*settings), tmp_path)
    ready = portrait.prepare(config(*settings))
    network = generator_zoo.load("toy")
    for index in (0, 3, 7):
        row, ws = ready.plan.row(index), latents.Walk((10, 11, 12))(network, index, 8)
        expected = next(
            TorchConfig().start(
                AblationTask(network, ws, (Target(removal.Zero(), Units(network.layers)),))
            )(row[None])
        )
        assert np.array_equal(
            np.asarray(Image.open(tmp_path / "film" / f"{index:05d}.png")), expected
        )


def test_a_wall_is_the_same_death_of_several(tmp_path):
    settings = (
        "generator=toy",
        "engine=torch",
        "film.wall=3x2",
        "film.size=96",
        "film.layout=diptych",
        "latent.seed=4",
        "film.ending=smudge",
    )
    ready = portrait.prepare(config(*settings, "film.fps=4", "film.duration=1"))
    (frame,) = render.composed_frames(ready.stage, [2])
    assert frame.shape == (96, 96 + 2 + 96, 3)
    network = generator_zoo.load("toy")
    for number, (y, x) in enumerate(((0, 0), (0, 32), (0, 64), (48, 0), (48, 32), (48, 64))):
        scene = AblationTask.of(network, latents.Seed(4 + number)(network), removal.Zero())
        alone = next(TorchConfig().start(scene)(ready.plan.rows([2])))
        assert np.array_equal(frame[y : y + 48, x : x + 32], fit(alone, (48, 32))), number
    for wrong in ("3", "0x3", "axb"):
        with pytest.raises(RequestError, match="film.wall must be columns x rows"):
            portrait.assemble(config("generator=toy", f"film.wall={wrong}"))


def test_what_the_map_shows_is_asked_every_so_often(tmp_path):
    """At those frames it is what the units say then; between them it lies between; wherever a film is begun, it is the same."""
    settings = (
        "generator=toy",
        "engine=torch",
        "film.layout=map",
        "film.size=64",
        "film.fps=10",
        "film.duration=3.1",
    )
    stage = portrait.prepare(config(*settings)).stage
    every = render.RECORDING_STEP
    told = [levels for _, levels in stage.shots(range(31))]
    for index in (0, every, 2 * every, 30):
        ((_, direct),) = stage.listener.shots(stage.layout.plan.rows([index]))
        assert np.array_equal(told[index], direct)
    np.testing.assert_allclose(
        told[every + 3], 0.75 * told[every] + 0.25 * told[2 * every], rtol=1e-5, atol=1e-6
    )
    ((_, alone),) = stage.shots([every + 3])
    assert np.array_equal(alone, told[every + 3])
