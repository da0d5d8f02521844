"""Experiments of strangers are data: Hydra reads nothing in them but the settings of a film."""

import os
import re
import shutil
import sys

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from forgetting.cli.main import app
from forgetting.errors import RequestError
from forgetting.jobs import foreign_configs
from forgetting.jobs.config_groups import CONFIGS
from hostile_experiments import GLOBAL, HOSTILE_EXPERIMENTS, TOUCH

pytestmark = pytest.mark.slow

QUICK = [
    "generator=toy",
    "engine=torch",
    "film.fps=2",
    "film.duration=1",
    "film.preset=ultrafast",
    "measure.names=none",
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command line in an empty folder: arguments -> result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 2000)
    monkeypatch.setenv("SECRET", "a secret of mine")
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def write(folder, text, name="experiment/theirs.yaml"):
    path = folder / "theirs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("attack", HOSTILE_EXPERIMENTS)
def test_an_experiment_of_a_stranger_is_refused(run, tmp_path, monkeypatch, attack):
    """Nothing is written, run, or read from the environment; one sentence names the file."""
    marker = tmp_path / "marker"
    monkeypatch.setattr("forgetting.jobs.executor.import_extra", lambda *_: marker.touch())
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\ndef make(): pass\n")
    write(
        tmp_path,
        GLOBAL + f"hydra: {{job: {{env_set: {{IMAGEIO_FFMPEG_EXE: {marker}}}}}}}",
        "../elsewhere/evil.yaml",
    )
    write(
        tmp_path,
        GLOBAL + f"hydra: {{job: {{env_set: {{IMAGEIO_FFMPEG_EXE: {marker}}}}}}}",
        ".hidden/evil.yaml",
    )
    text = (
        HOSTILE_EXPERIMENTS[attack]
        .replace("MARKER", str(marker))
        .replace("ELSEWHERE", str(tmp_path / "elsewhere"))
    )
    path = write(tmp_path, text)
    result = run("render", "--config-dir", "theirs", "experiment=theirs", *QUICK)
    evidence = (
        marker.exists(),
        os.environ.pop("IMAGEIO_FFMPEG_EXE", None),
        list(tmp_path.rglob("film.mp4")),
    )
    assert evidence == (False, None, [])
    assert result.exit_code == 2, result.output
    assert str(path.relative_to(tmp_path)) in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert "a secret of mine" not in result.output


@pytest.mark.parametrize("folder", ["hydra/callbacks", "Hydra/launcher", "cluster"])
def test_folders_that_add_to_groups_of_the_program_are_refused(run, tmp_path, folder):
    marker = tmp_path / "marker"
    text = f"evil: {{{TOUCH.replace('MARKER', str(marker))}}}"
    write(tmp_path, text, f"{folder}/evil.yaml")
    write(tmp_path, GLOBAL, "experiment/theirs.yaml")
    result = run("render", "--config-dir", "theirs", f"+{folder.lower()}=evil", *QUICK)
    assert not marker.exists()
    assert result.exit_code == 2
    assert f"theirs/{folder.partition('/')[0]} would add options" in result.output


@pytest.mark.parametrize("verb", ["render", "preview", "dream", "layers"])
@pytest.mark.parametrize(
    "way",
    [
        ["--config-dir=theirs"],
        ["-cd", "theirs"],
        ["hydra.searchpath=[file://theirs]"],
        ["hydra.searchpath=[theirs]"],
    ],
)
def test_every_way_to_bring_files_is_checked(run, tmp_path, verb, way):
    write(tmp_path, HOSTILE_EXPERIMENTS["a secret in a title"])
    result = run(verb, *way, "experiment=theirs", "film.fps=2", "film.duration=0.5", "film.size=32")
    assert result.exit_code == 2
    assert re.search(r"theirs/experiment/theirs.yaml holds .* at film.title", result.output)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-path", "theirs/experiment"],
        ["-cp", "theirs/experiment"],
        ["--config-name=theirs"],
        ["-cn", "theirs"],
        ["--experimental-rerun", "theirs.pickle"],
        ["hydra.searchpath=[pkg://theirs]"],
        ["hydra.searchpath=[${oc.env:SECRET}]"],
        ["experiment=../../theirs/experiment/theirs"],
        ["--config-dir", "theirs", "experiment=.hidden/theirs"],
        ["--config-dir", "theirs", "+operator@hydra.callbacks=zero"],
    ],
)
def test_other_ways_to_bring_files_are_refused(run, tmp_path, arguments):
    write(tmp_path, GLOBAL)
    (tmp_path / "theirs/__init__.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w').close()")
    result = run("render", *arguments, *QUICK)
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "marker").exists()
    assert result.output.startswith("forgetting: ")
    assert "Error" not in result.output


def test_pipes_and_links_are_not_followed(run, tmp_path):
    (tmp_path / "theirs").mkdir()
    os.mkfifo(tmp_path / "theirs/pipe.yaml")
    with pytest.raises(RequestError, match=r"theirs/pipe.yaml is not a regular file"):
        foreign_configs.check(["--config-dir", "theirs"])
    (tmp_path / "theirs/pipe.yaml").unlink()
    (tmp_path / "theirs/experiment").symlink_to(tmp_path)
    with pytest.raises(RequestError, match="is a link to a folder"):
        foreign_configs.check(["--config-dir", "theirs"])


MINE = """# @package _global_
defaults:
- override /operator: mean
- override /ordering: random
- override /film: mine
film: {title: 'fps ${film.fps}, 5 $'}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      latent.seed: 3,4
"""


def test_experiments_of_a_user_set_everything_else(run, tmp_path):
    """Settings, defaults, packages, keys of the same config, and sweeps over settings."""
    write(tmp_path, MINE)
    write(tmp_path, "# mine\ndefaults: [mp4, _self_]\nstations: 2\n", "film/mine.yaml")
    quick = [setting for setting in QUICK if setting != "film.fps=2"] + ["film.fps=3"]
    result = run(
        "render",
        "-m",
        "--config-dir",
        "theirs",
        "experiment=theirs",
        *quick,
        "hydra.sweep.dir=sweep",
    )
    assert result.exit_code == 0, result.output
    titles = [
        OmegaConf.load(path)["config"]["film"]["title"]
        for path in tmp_path.glob("sweep/*/recipe.yaml")
    ]
    assert titles == ["fps 3, 5 $"] * 2
    assert run("layers", "--config-dir", "theirs", "generator=toy").exit_code == 0


def test_code_that_the_command_line_sweeps_over_is_consented_to():
    arguments = [
        "generator=module",
        "generator.factory=a.b:c,d:e",
        "source.generator.factory=f:g",
        "latent.seed=1,2",
    ]
    named = {"generator.factory=a.b:c", "generator.factory=d:e", "source.generator.factory=f:g"}
    assert foreign_configs.named_factories(arguments) == named


def test_a_copy_of_the_cookbook_passes(tmp_path):
    shutil.copytree(CONFIGS / "experiment/cookbook", tmp_path / "experiment")
    foreign_configs.check(["--config-dir", str(tmp_path), "experiment=canvas"])
