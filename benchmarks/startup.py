"""How long one waits for a command: until its first frame, and until it has finished.

python benchmarks/startup.py [--rounds 5] [--commands COMMAND ...] [--against CHECKOUT]

Every command is typed twice, on a terminal: *first* with a cache that holds the models and nothing
else, then *again* with what is in the cache by then. The cache is a folder of its own in every
round. The first frame is there when the progress bar counts it, which is drawn ten times a second.
The last column is the processors' time, of all threads together, which other work on the machine
disturbs less. ``--against`` runs another checkout of the project in the same rounds
(``rounds.py``), with the same Python and the same packages; ratios are of this one's time to that
one's. Before anything is timed, each checkout makes a short film, which writes Python's bytecode.
"""

import argparse
import errno
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forgetting.files import cache_folder
from forgetting.models import generator_zoo
from paired_ratios import Spread, ratio_text
from rounds import add_rounds, interleave, print_table
from stopwatch import Lap, Stopwatch, other_work_line

THIS = Path(__file__).resolve().parent.parent

COMMANDS = ("preview", "render film.duration=2", "render")

TIMES = ("first", "again")

CONTROL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

FIRST_FRAME = re.compile(r"rendering [^\r\n]*?\b[1-9]\d*/[1-9]")
"""What the progress bar shows when a frame has been painted: ``rendering frames ━━ 1/720``."""


@dataclass(frozen=True)
class Wait:
    """How long a command took.

    Args:
        painted: seconds until the first frame.
        lap: until it had finished.
    """

    painted: float
    lap: Lap


def environment(checkout: Path, cache: Path) -> dict[str, str]:
    """Return the environment of a command of a checkout, on a terminal of 120 columns."""
    terminal = {"TERM": "xterm", "COLUMNS": "120"}
    return os.environ | terminal | {"PYTHONPATH": str(checkout), "FORGETTING_CACHE": str(cache)}


def wait_for(words: Sequence[str], variables: dict[str, str], folder: Path) -> Wait:
    """Run a command on a terminal, and return how long it took.

    Args:
        words: behind ``forgetting``.
        variables: its environment.
        folder: in which it is typed.
    """
    terminal, far_end = pty.openpty()
    watch, shown, painted = Stopwatch(), "", None
    with subprocess.Popen(
        [sys.executable, "-m", "forgetting", *words],
        stdin=subprocess.DEVNULL,
        stdout=far_end,
        stderr=far_end,
        env=variables,
        cwd=folder,
    ) as process:
        os.close(far_end)
        for text in read_terminal(terminal):
            shown += text
            if painted is None and FIRST_FRAME.search(CONTROL_CODES.sub("", shown)):
                painted = watch.lap().seconds
    lap = watch.lap()
    os.close(terminal)
    if process.returncode or painted is None:
        plain = CONTROL_CODES.sub("", shown).strip()
        ended = f"ended with {process.returncode}" if process.returncode else "painted no frame"
        sys.exit(f"forgetting {shlex.join(words)} {ended}:\n{plain[-2000:]}")
    return Wait(painted, lap)


def read_terminal(terminal: int) -> Iterator[str]:
    """Yield what a terminal shows, piece by piece, until its last process has ended."""
    while True:
        try:
            content = os.read(terminal, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that nothing follows
                return
            raise
        if not content:
            return
        yield content.decode(errors="replace")


@contextmanager
def new_cache(models: Path) -> Iterator[Path]:
    """Yield a cache folder that holds the files of ``models`` and nothing else."""
    with tempfile.TemporaryDirectory(dir=models.parent) as folder:
        cache = Path(folder) / "cache"
        shutil.copytree(models, cache / "models", copy_function=os.link)
        yield cache


def wait_twice(command: str, checkout: Path, models: Path) -> dict[str, Wait]:
    """Run a command with a new cache, and again with the same; return both."""
    with new_cache(models) as cache:
        variables = environment(checkout, cache)
        waits = {}
        for time in TIMES:
            folder = cache.parent / time
            folder.mkdir()
            waits[time] = wait_for(shlex.split(command), variables, folder)
        return waits


def check_checkout(checkout: Path) -> None:
    """End with a sentence unless commands run the code of ``checkout``."""
    code = "import forgetting; print(forgetting.__file__)"
    variables = environment(checkout, checkout)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, env=variables, cwd=folder, stdout=subprocess.PIPE, text=True)
    if not Path(ran.stdout.strip()).is_relative_to(checkout):
        sys.exit(f"{checkout} is no checkout of the project: Python imports {ran.stdout.strip()}")


def print_command(command: str, checkouts: dict[str, Path], models: Path, rounds: int) -> None:
    """Print how long one waits for a command of every checkout; the last one is the base."""
    tasks = {name: partial(wait_twice, command, path, models) for name, path in checkouts.items()}
    waits = interleave(tasks, rounds)
    base, compared, lines = [*checkouts][-1], len(checkouts) > 1, []
    for time in TIMES:
        for name in checkouts:
            line = [f"{time}, {name}" if compared else time]
            for figure in FIGURES.values():
                own, of_base = ([figure(wait[time]) for wait in waits[n]] for n in (name, base))
                line.append(Spread.of(own).text(1))
                if compared:
                    line.append("1" if name == base else ratio_text(own, of_base))
            lines.append(line)
    heads = [cell for head in FIGURES for cell in (head, *["times as long"] * compared)]
    print_table([f"forgetting {command}", *heads], lines)
    together = zip(*waits.values(), strict=True)
    laps = [[wait.lap for twice in row for wait in twice.values()] for row in together]
    print(f"{other_work_line(laps)}\n", flush=True)


FIGURES: dict[str, Callable[[Wait], float]] = {
    "s to the first frame": lambda wait: wait.painted,
    "s to the end": lambda wait: wait.lap.seconds,
    "processors' s": lambda wait: wait.lap.processor_seconds,
}
"""What is printed of every wait."""


def main() -> None:
    """Print a table for every command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rounds(parser)
    parser.add_argument("--commands", nargs="+", default=COMMANDS, metavar="COMMAND")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    options = parser.parse_args()
    checkouts = {"this": THIS}
    if options.against is not None:
        checkouts["that"] = options.against.resolve()
    for checkout in checkouts.values():
        check_checkout(checkout)
    generator_zoo.load("ffhq-mobile")  # fetches it where it has not been fetched
    with tempfile.TemporaryDirectory() as scratch:
        models = Path(scratch) / "models"  # a copy on the file system on which caches are made
        shutil.copytree(cache_folder() / "models", models)
        for checkout in checkouts.values():
            wait_twice("render film.duration=1", checkout, models)
        for command in options.commands:
            print_command(command, checkouts, models, options.rounds)


if __name__ == "__main__":
    main()
