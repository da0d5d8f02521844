"""Renders the films of configs/experiment/cookbook, and writes docs/cookbook.md.

python docs/cookbook.py [NAME ...] renders those that are named and keeps the times of the others.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from forgetting.jobs.config_groups import CONFIGS

DOCS = Path(__file__).parent
EXPERIMENTS = CONFIGS / "experiment" / "cookbook"
TIMES = DOCS / "cookbook" / "times.json"
WIDTH = 1568
"""Of the sheets, in pixels."""

INTRODUCTION = """# Cookbook

Ten films. Each is a file of the settings that differ, in
[configs/experiment/cookbook](../configs/experiment/cookbook). The pictures are eight frames of the
film. The times are those of one film of 30 seconds, from the command to the finished file, in one
run of `make cookbook` on two cores with AMX. In that run the default film, `forgetting render`,
took {default:.0f} seconds.
"""


def main() -> None:
    """Render all films, or those that are named on the command line, and write the page."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seconds = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    names = ["darkness", *(path.stem for path in sorted(EXPERIMENTS.glob("*.yaml")))]
    for name in sys.argv[1:] or names:
        with tempfile.TemporaryDirectory() as folder:
            seconds[name] = round(render(name, Path(folder)), 1)
            sheet = Image.open(Path(folder) / "sheet.png")
        if is_of_cookbook(name):
            size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
            path = DOCS / "gallery" / f"cookbook-{name}.jpg"
            sheet.resize(size, Image.Resampling.LANCZOS).save(path, quality=85)
        TIMES.write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n")
        logging.info("%s", f"{name}: {seconds[name]:.0f} s")
    (DOCS / "cookbook.md").write_text(page(seconds), encoding="utf-8")


def is_of_cookbook(name: str) -> bool:
    """Return whether an experiment belongs to the cookbook."""
    return (EXPERIMENTS / f"{name}.yaml").exists()


def render(name: str, folder: Path) -> float:
    """Render the film of an experiment in ``folder``; return the seconds that it took.

    Raises:
        CalledProcessError: the film could not be rendered.
    """
    experiment = f"cookbook/{name}" if is_of_cookbook(name) else name
    settings = [f"experiment={experiment}", "film.stations=8", f"hydra.run.dir={folder}"]
    started = time.perf_counter()
    command = [sys.executable, "-m", "forgetting", "render", *settings]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def page(seconds: dict[str, float]) -> str:
    """Return the text of docs/cookbook.md; ``seconds`` holds the time of every film."""
    sections = [INTRODUCTION.format(default=seconds["darkness"])]
    sections += [section(path, seconds[path.stem]) for path in sorted(EXPERIMENTS.glob("*.yaml"))]
    return "\n".join(sections)


def section(path: Path, seconds: float) -> str:
    """Return the section of a film: the comments of its file, its sheet, and its settings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ") and "@package" not in line]
    description = "\n".join(line.removeprefix("# ") for line in comments)
    settings = "\n".join(line for line in lines if line not in comments)
    name = path.stem
    return (
        f"## {name.replace('_', ' ')}\n\n{description}\n\n"
        f"![{name}](gallery/cookbook-{name}.jpg)\n\n"
        f"```yaml\n{settings}\n```\n\n"
        f"    forgetting render experiment=cookbook/{name}\n\n"
        f"{seconds:.0f} seconds.\n"
    )


if __name__ == "__main__":
    main()
