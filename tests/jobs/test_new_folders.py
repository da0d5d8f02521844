"""Folders of runs: no two runs share one, none is overwritten, and a typo leaves none behind."""

from pathlib import Path

import pytest

from forgetting.jobs import new_folders
from helpers import THREE_FRAMES, file_hashes

SMALL = [*THREE_FRAMES, "film.size=64", "measure.names=none"]


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(new_folders, "_now", lambda: "2026-11-25_04-05-06")
    made = [new_folders.make_new_folder(str(tmp_path / "outputs")) for _ in range(3)]
    assert [Path(path).name for path in made] == [
        "2026-11-25_04-05-06",
        "2026-11-25_04-05-06_2",
        "2026-11-25_04-05-06_3",
    ]
    assert all(Path(path).is_dir() for path in made)


@pytest.mark.slow
def test_two_films_of_the_same_second(command_line, tmp_path):
    for seed in (1, 2):
        assert command_line("render", *SMALL, f"latent.seed={seed}").exit_code == 0
    assert len(list(tmp_path.glob("outputs/*/film.mp4"))) == 2


@pytest.mark.parametrize(
    "typo",
    ["film.fps=fast", "film.fsp=3", "ordering=random ordering.scope=world", "plan=none.npz"],
)
@pytest.mark.parametrize("folder", ["", "hydra.run.dir=my/films/first"])
def test_a_typo_leaves_no_folder(command_line, tmp_path, typo, folder):
    result = command_line("render", *THREE_FRAMES, *typo.split(), *folder.split())
    assert result.exit_code == 2, result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("typo", ["film.fps=fast,slow", "film.fsp=3,4", "latent.psi=x,y"])
@pytest.mark.parametrize("folder", ["", "hydra.sweep.dir=my/sweep"])
def test_a_typo_in_a_sweep_leaves_no_folder(command_line, tmp_path, typo, folder):
    result = command_line("render", "-m", *THREE_FRAMES, typo, *folder.split())
    assert result.exit_code == 2, result.output
    assert not list(tmp_path.iterdir())


def test_folders_that_were_there_stay(command_line, tmp_path):
    (tmp_path / "mine/empty").mkdir(parents=True)
    for folder in ("hydra.run.dir=mine/empty", "hydra.run.dir=mine/empty/new"):
        assert command_line("render", *THREE_FRAMES, "film.fps=fast", folder).exit_code == 2
    assert [path.name for path in tmp_path.glob("*/*")] == ["empty"]
    assert not list((tmp_path / "mine/empty").iterdir())


@pytest.mark.slow
def test_a_film_of_other_settings_is_replaced_only_by_force(command_line, tmp_path):
    """By render, and by preview, which would replace its contact sheet."""
    folder = "hydra.run.dir=film"
    assert command_line("render", *SMALL, folder).exit_code == 0
    before = file_hashes(tmp_path / "film")
    for verb in ("render", "preview"):
        result = command_line(verb, *SMALL, "latent.seed=4", "film=webm", folder)
        assert result.exit_code == 2, result.output
        assert "film holds another film (film.format was mp4, is webm" in result.output
        assert "latent.seed was 10, is 4" in result.output
        assert result.output.endswith("or add --force to replace that film\n")
        assert file_hashes(tmp_path / "film") == before
    assert command_line("render", *SMALL, "measure.rate=1", folder).exit_code == 0, "the same film"
    again = command_line("render", *SMALL, "latent.seed=4", "film=webm", folder, "--force")
    assert again.exit_code == 0, again.output
    assert [path.name for path in (tmp_path / "film").glob("film.*")] == ["film.webm"]
