"""The cookbook: renders every film in docs/cookbook/experiment, and writes docs/cookbook.md with its pictures and times.

python docs/cookbook.py [NAME ...] renders those that are named, and leaves the figures of the others as they are.
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
RECIPES = DOCS / "cookbook" / "experiment"
TIMES = DOCS / "cookbook" / "times.json"
WIDTH = 1568
HEAD = """# Ten films

Each is a file of the settings that differ, in [cookbook/experiment](cookbook/experiment), made of a few lines. The pictures are
eight stations of the very film; the times are those of one whole film of 30 seconds from the command to the finished file, in one run
on two cores with AMX (`make cookbook`), where the default film, `forgetting render`, took {plain:.0f} seconds.
"""


def filmed(folder: Path, *settings: str) -> float:
    """Render a film; returns the seconds it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "forgetting", "render", *settings, f"hydra.run.dir={folder}"],
        check=True,
    )
    return time.perf_counter() - started


def page(times: dict[str, float]) -> str:
    """The cookbook, with the seconds that every film took."""
    parts = [HEAD.format(plain=times["darkness"])]
    for path in sorted(RECIPES.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        prose = [
            line.removeprefix("# ")
            for line in lines
            if line.startswith("# ") and "@package" not in line
        ]
        told = "\n".join(line for line in lines if line.removeprefix("# ") not in prose)
        parts.append(
            f"## {path.stem.replace('_', ' ')}\n\n"
            + "\n".join(prose)
            + f"\n\n![{path.stem}](gallery/cookbook-{path.stem}.jpg)\n\n"
            f"```yaml\n{told}\n```\n\n    forgetting render --config-dir docs/cookbook experiment={path.stem}\n\n"
            f"{times[path.stem]:.0f} seconds.\n"
        )
    return "\n".join(parts)


def main() -> None:
    """Render all of them, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    for name in sys.argv[1:] or [
        "darkness",
        *(path.stem for path in sorted(RECIPES.glob("*.yaml"))),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            where = (
                ()
                if (CONFIGS / "experiment" / f"{name}.yaml").exists()
                else ("--config-dir", str(RECIPES.parent))
            )
            times[name] = round(
                filmed(Path(folder), *where, f"experiment={name}", "film.stations=8"), 1
            )
            sheet = Image.open(Path(folder) / "sheet.png")
        if where:
            size = (WIDTH, round(WIDTH * sheet.height / sheet.width))
            sheet.resize(size, Image.Resampling.LANCZOS).save(
                DOCS / "gallery" / f"cookbook-{name}.jpg", quality=85
            )
        TIMES.write_text(json.dumps(times, indent=1, sort_keys=True) + "\n")
        logging.info("%s", f"{name}: {times[name]:.0f} s")
    (DOCS / "cookbook.md").write_text(page(times), encoding="utf-8")


if __name__ == "__main__":
    main()
