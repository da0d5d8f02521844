"""A recipe.yaml makes its film again; a stranger's recipe is data."""

import re

import numpy as np
import pytest

from forgetting.film import decoder

pytestmark = pytest.mark.slow

QUICK = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
    "measure.names=none",
]


def frames(folder):
    return np.stack(list(decoder.decode_frames(folder / "film.mp4")))


def test_a_recipe_makes_its_film_again(command_line, tmp_path):
    settings = ["latent.seed=3", "film.title=Λήθη, don't", "hydra.run.dir=first"]
    assert command_line("render", *QUICK, *settings).exit_code == 0
    again = command_line("render", "first/recipe.yaml", "hydra.run.dir=second")
    assert again.exit_code == 0, again.output
    assert (frames(tmp_path / "first") == frames(tmp_path / "second")).all()
    assert (
        command_line(
            "render", "first/recipe.yaml", "latent.seed=4", "hydra.run.dir=third"
        ).exit_code
        == 0
    )
    assert "seed: 4" in (tmp_path / "third/recipe.yaml").read_text()
    assert "title: Λήθη, don't" in (tmp_path / "third/recipe.yaml").read_text()
    assert command_line("preview", "first/recipe.yaml", "hydra.run.dir=look").exit_code == 0


def test_a_recipe_of_another_verb_or_with_another_film_is_refused(command_line):
    assert command_line("preview", *QUICK, "hydra.run.dir=run").exit_code == 0
    assert command_line("render", *QUICK, "hydra.run.dir=run").exit_code == 0
    for verb, arguments, sentence in (
        ("dream", [], "run: forgetting render run/recipe.yaml"),
        ("render", ["experiment=quick"], "leave out experiment=..."),
        ("render", ["plan=run/plan.npz"], "leave out plan=..."),
    ):
        result = command_line(verb, "run/recipe.yaml", *arguments)
        assert result.exit_code == 2
        assert sentence in result.output


def test_the_recipe_of_a_stranger_is_data(command_line, tmp_path):
    """It opens no file but the recorded one, runs no code, and resolves nothing."""
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    assert command_line("render", *QUICK, "hydra.run.dir=run").exit_code == 0
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    attacks = {
        "a file": (recipe.replace("audio: null", f"audio: {secret}"), "names film.audio="),
        "a secret": (recipe.replace("title: null", "title: ${oc.env:HOME}"), "an interpolation"),
        "code": (
            recipe.replace(
                "_target_: generator/named\n    name: toy",
                "_target_: generator/module\n    factory: evil:make",
            ),
            "this asks to run code",
        ),
        "no recipe": ("film: {}", "holds no config of a film"),
        "depths": ("[" * 20_000, "run/recipe.yaml"),
        "an object": ("!!python/object/apply:os.system ['touch marker']", "run/recipe.yaml"),
    }
    for name, (text, sentence) in attacks.items():
        assert text != recipe
        (tmp_path / "run/recipe.yaml").write_text(text)
        result = command_line("render", "run/recipe.yaml", "hydra.run.dir=other")
        assert result.exit_code == 2, (name, result.output)
        assert sentence in result.output, name
    assert not (tmp_path / "marker").exists()
    assert not list(tmp_path.glob("other/film.*"))
    (tmp_path / "run/recipe.yaml").write_text(attacks["a file"][0])
    result = command_line("render", "run/recipe.yaml")
    suggested = re.search(r"run: (forgetting render \S+recipe.yaml film\.audio=\S+)", result.output)
    assert suggested, result.output


def test_a_recipe_that_is_no_regular_file_is_refused(command_line, tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    result = command_line("render", "folder.yaml")
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
