"""Experiments of strangers are data: Hydra reads nothing in them but the settings of a film."""

import os
import re
import sys

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from forgetting.cli.main import app
from forgetting.errors import RequestError
from forgetting.jobs import foreign_configs

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


GLOBAL = "# @package _global_\n"
MARK = (
    "_target_: pathlib.Path.write_text, self: {_target_: pathlib.Path, _args_: [MARKER]}, data: x"
)

TOUCH = "_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [MARKER]}"
LOGGING = (
    "{version: 1, handlers: {evil: {class: logging.FileHandler, filename: MARKER}}, "
    "root: {handlers: [evil]}}"
)

ATTACKS = {
    "callbacks": GLOBAL + f"hydra: {{callbacks: {{evil: {{{TOUCH}}}}}}}",
    "callbacks in the sweeper": GLOBAL + f"hydra: {{sweeper: {{_target_: x, evil: {{{MARK}}}}}}}",
    "environment": GLOBAL + "hydra: {job: {env_set: {IMAGEIO_FFMPEG_EXE: MARKER}}}",
    "job logging": GLOBAL + f"hydra: {{job_logging: {LOGGING}}}",
    "hydra logging": GLOBAL + f"hydra: {{hydra_logging: {LOGGING}}}",
    "run folder": GLOBAL + "hydra: {run: {dir: MARKER}}",
    "search path": GLOBAL + "hydra: {searchpath: ['file://MARKER']}",
    "launcher": GLOBAL
    + "defaults: [{override /hydra/launcher: submitit_local}]\n"
    + "hydra: {launcher: {setup: ['touch MARKER']}}",
    "only the launcher's choice": GLOBAL + "defaults: [{override /hydra/launcher: joblib}]",
    "package of a default": GLOBAL + "defaults: [{/operator@hydra.callbacks.evil: zero}]",
    "package in the header": "# @package hydra.job.env_set\nIMAGEIO_FFMPEG_EXE: MARKER",
    "two headers": "\n# @package hydra.job\nenv_set: {IMAGEIO_FFMPEG_EXE: MARKER}",
    "a secret in a title": GLOBAL + "film: {title: '${oc.env:SECRET}'}",
    "a nested secret": GLOBAL + "film: {title: 'a ${film.${oc.env:SECRET}} b'}",
    "our own resolver": GLOBAL + "film: {title: '${recipe_name:}'}",
    "a key of hydra": GLOBAL + "film: {title: '${hydra.runtime.cwd}'}",
    "a swept environment": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {+hydra.job.env_set.IMAGEIO_FFMPEG_EXE: MARKER}}}",
    "a swept package": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {'+operator@hydra.callbacks.evil': zero}}}",
    "a swept secret": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {film.title: '$\\{oc.env\\:SECRET\\}'}}}",
    "swept code": GLOBAL
    + "defaults: [{override /generator: module}]\n"
    + "hydra: {mode: MULTIRUN, sweeper: {params: {generator.factory: 'evil:make'}}}",
    "a swept cluster": GLOBAL + "hydra: {mode: MULTIRUN, sweeper: {params: {cluster: ray}}}",
    "a cluster": GLOBAL + "cluster: {_target_: cluster/ray, address: 'ray://192.0.2.1:1'}",
    "the choice of a cluster": GLOBAL + "defaults: [{override /cluster: ray}]",
    "a file elsewhere": GLOBAL + "defaults: [../../elsewhere/evil]",
    "an option elsewhere": GLOBAL + "defaults: [{override /film: ../../elsewhere/evil}]",
    "an absolute file": GLOBAL + "defaults: [/ELSEWHERE/evil]",
    "a hidden file": GLOBAL + "defaults: [/.hidden/evil]",
    "an interpolated file": GLOBAL + "defaults: ['${oc.env:SECRET}']",
    "a merged node": GLOBAL
    + "x: &x {hydra: {job: {env_set: {IMAGEIO_FFMPEG_EXE: MARKER}}}}\n<<: *x",
    "python objects": GLOBAL + "film: {title: !!python/object/apply:os.system ['touch MARKER']}",
    "laughs": GLOBAL
    + "a0: &a0 [x]\n"
    + "".join(f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)),
    "depths": "[" * 20_000,
    "itself": "film: &f {title: *f}",
}


@pytest.mark.parametrize("attack", ATTACKS)
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
        ATTACKS[attack]
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
    write(tmp_path, ATTACKS["a secret in a title"])
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


def test_the_cookbook_passes():
    foreign_configs.check(["--config-dir", "docs/cookbook", "experiment=canvas"])
