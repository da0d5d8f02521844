"""What the package imports and what pyproject.toml lists are the same."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from helpers import THREE_FRAMES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IMPORTED = {
    "pip": "runs as a command, which downloads the models",
    "hydra-joblib-launcher": "a plugin of Hydra",
    "hydra-submitit-launcher": "a plugin of Hydra",
}


def listed(requirements):
    """Return the names of requirements, normalised."""
    names = (re.match(r"[\w.-]+", requirement)[0] for requirement in requirements)
    return {name.lower().replace("_", "-") for name in names}


def imported():
    """Return the distributions whose modules the package imports, by statement or by name."""
    modules = set()
    for path in (ROOT / "forgetting").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and "import_extra" in (
                getattr(node.func, "id", ""),
                getattr(node.func, "attr", ""),
            ):
                modules.add(node.args[0].value.partition(".")[0])
    modules -= {"forgetting", "__future__", *sys.stdlib_module_names}
    homes = packages_distributions()
    return {homes[module][0].lower().replace("_", "-"): module for module in modules}


def test_everything_that_is_imported_is_listed():
    extras = PROJECT["optional-dependencies"]
    known = listed(PROJECT["dependencies"]).union(
        *(listed(extras[name]) for name in ("measures", "joblib", "slurm", "dream", "ray"))
    )
    assert set(imported()) - known == set()


def test_everything_that_is_listed_is_imported():
    extras = PROJECT["optional-dependencies"]
    known = listed(PROJECT["dependencies"]).union(
        *(listed(extras[name]) for name in ("measures", "joblib", "slurm", "dream", "ray"))
    )
    assert known - set(imported()) - set(NOT_IMPORTED) == set()


@pytest.mark.slow
def test_a_film_needs_neither_torchvision_nor_openvino(tmp_path):
    """A torchvision that does not fit its torch fails when it is imported, and not before."""
    script = (
        "import sys; sys.modules.update(torchvision=None, openvino=None); "
        "from forgetting.__main__ import main; main()"
    )
    settings = [name for name in THREE_FRAMES if not name.startswith("engine")]
    command = [sys.executable, "-c", script, "render", *settings, "measure.names=plain"]
    made = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path}"], capture_output=True, text=True, cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    assert "openvino is not installed" in made.stderr
    assert (tmp_path / "film.mp4").exists()


def test_experiments_and_the_font_are_in_the_wheel():
    """Everything below forgetting/ and configs/ is, so nothing there may be ignored by git."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    wheel = tool["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {
        "packages": ["forgetting"],
        "force-include": {"configs": "forgetting/configs"},
    }
    needed = ["configs/experiment/cookbook/vigil.yaml", "forgetting/data/fonts/OFL.txt"]
    command = ["git", "-C", str(ROOT), "check-ignore", *needed]
    if (ROOT / ".git").exists():
        assert subprocess.run(command, capture_output=True).returncode == 1
    assert all((ROOT / path).exists() for path in needed)
