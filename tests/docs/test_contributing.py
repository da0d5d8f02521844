"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    match[1]: match[2]
    for match in re.finditer(r"^## Add an? ([\w ]+)\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
}
BLOCK = r"```\w+\n(.*?)^```$"

RUNNER = """
import shlex
import sys
from forgetting.__main__ import main

for line in sys.stdin.read().splitlines():
    sys.argv = shlex.split(line)
    print("$", line, flush=True)
    try:
        main()
    except SystemExit as ended:
        print("exit", ended.code or 0, flush=True)
"""


def follow(recipe: str, root: Path) -> None:
    """Write the files that a recipe names, and make the changes that it asks for."""
    for path, text in re.findall(rf"^`([\w/.]+)`:\n\n{BLOCK}", recipe, re.MULTILINE | re.DOTALL):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (root / path).exists(), f"{path} exists already"
        (root / path).write_text(text)
    row = re.search(
        rf"^Add to `(\w+)` in `([\w/.]+)`:\n\n{BLOCK}", recipe, re.MULTILINE | re.DOTALL
    )
    if row:
        source = (root / row[2]).read_text()
        start = re.search(rf"^{row[1]}\b.*\{{$", source, re.MULTILINE)
        assert start, f"{row[2]} has no table {row[1]}"
        (root / row[2]).write_text(
            source[: start.end()] + "\n" + row[3] + source[start.end() + 1 :]
        )
    end = re.search(
        rf"^Add at the end of `([\w/.]+)`:\n\n{BLOCK}", recipe, re.MULTILINE | re.DOTALL
    )
    if end:
        (root / end[1]).write_text((root / end[1]).read_text() + "\n\n" + end[2])


def commands(recipe: str) -> list[str]:
    """Return the commands that prove a recipe."""
    return re.findall(r"^    (forgetting .*)$", recipe, re.MULTILINE)


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """Follow all recipes in one copy, run all of their commands, and return what was printed."""
    root = tmp_path_factory.mktemp("contributing")
    for name in ("forgetting", "configs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for recipe in RECIPES.values():
        follow(recipe, root)
    lines = "\n".join(command for recipe in RECIPES.values() for command in commands(recipe))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=lines,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    sections = re.split(r"^\$ ", done.stdout, flags=re.MULTILINE)[1:]
    return root, {section.split("\n")[0]: section for section in sections}, done


def test_there_are_six_recipes():
    assert list(RECIPES) == [
        "ordering",
        "operator",
        "architecture",
        "film format",
        "metric",
        "verb",
    ]
    assert all(commands(recipe) for recipe in RECIPES.values())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_is_followed_works(name, proof):
    root, printed, done = proof
    for command in commands(RECIPES[name]):
        assert "exit 0" in printed.get(command, ""), done.stdout[-2000:] + done.stderr[-2000:]
        folder = re.search(r"hydra\.run\.dir=(\S+)", command)
        if folder:
            assert len(list((root / folder[1]).glob("film.*"))) == 1
    if name == "metric":
        assert "redness" in (root / "out/metric/curve.csv").read_text().splitlines()[0]
    if name == "verb":
        assert "52 units" in done.stdout


def test_files_of_recipes_pass_the_linter(proof):
    root, _, _ = proof
    written = [
        root / path
        for recipe in RECIPES.values()
        for path in re.findall(r"^`([\w/.]+\.py)`:$", recipe, re.MULTILINE)
    ]
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, *map(str, written)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
