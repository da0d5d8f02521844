"""Output of the command line: results, progress, and one sentence for whatever goes wrong."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from forgetting import progress
from forgetting.dependencies import LAUNCHERS, missing_extra
from forgetting.errors import (
    MAX_SENTENCE,
    ForgettingError,
    Interrupted,
    RequestError,
    one_line,
    unknown_name,
)
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.jobs.config_groups import (
    RENAMED,
    experiment_of_other_verb,
    groups_of,
    known_settings,
    renamed_key,
)
from forgetting.printable import printable, sentence, shell_command

T = TypeVar("T")

INTERRUPT_SECONDS = 1.5
"""Seconds after Ctrl-C until the process ends by itself."""

LINE_SECONDS = 60.0
"""Seconds between two lines of progress where the output is no terminal."""


class PlainConsole(Console):
    """A console that shows text as it is written: it reads no markup in it, and obeys none of it.

    Args:
        stderr: whether it prints to the standard error output.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield the parts of what is printed, printable but for Rich's own control codes."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)


out = PlainConsole()
err = PlainConsole(stderr=True)


def styled(markup: str, **values: object) -> Text:
    """Return a template of Rich's markup whose fields hold plain text: ``[b]{name}[/b]``."""
    plain = {name: escape(printable(value)) for name, value in values.items()}
    return Text.from_markup(markup.format(**plain), emoji=False)


class Verbosity(Enum):
    """How much is printed besides results and errors, as the level of the log."""

    QUIET = logging.WARNING
    NORMAL = logging.INFO
    VERBOSE = logging.DEBUG

    @staticmethod
    def of(quiet: bool, verbose: bool) -> Verbosity:
        """Return the verbosity that two flags ask for; quiet wins."""
        return Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL


_verbosity = Verbosity.NORMAL


def set_verbosity(verbosity: Verbosity) -> None:
    """Choose how much this process prints."""
    global _verbosity
    _verbosity = verbosity


@contextmanager
def report_errors(arguments: list[str], verb: str = "render") -> Iterator[None]:
    """Show progress, and end with one sentence and an exit code whatever happens.

    ``FORGETTING_TRACEBACK=1`` shows tracebacks instead.

    Args:
        arguments: of the command line, for hints.
        verb: of the command line.
    """
    quiet = _verbosity is Verbosity.QUIET
    token = progress.display.set(_no_progress if quiet else _show_progress)
    logger = logging.getLogger("forgetting")
    level, handlers = logger.level, logger.handlers
    last_resort, show_warning = logging.lastResort, warnings.showwarning
    logger.setLevel(_verbosity.value)
    logger.handlers = [_ConsoleHandler()]
    # What other libraries log and warn of may quote files of strangers, too.
    logging.lastResort, warnings.showwarning = _ConsoleHandler(logging.WARNING), _show_warning
    try:
        with _exit_after_interrupt():
            yield
    except (KeyboardInterrupt, Interrupted) as error:
        _exit_now(str(error) or "interrupted; nothing was started")
    except typer.Exit:
        raise
    except Exception as error:
        if os.environ.get("FORGETTING_TRACEBACK"):
            raise
        explained = _explain(error, arguments, verb)
        _print_error(str(explained))
        raise typer.Exit(explained.exit_code) from None
    finally:
        progress.display.reset(token)
        logger.setLevel(level)
        logger.handlers = handlers
        logging.lastResort, warnings.showwarning = last_resort, show_warning


def print_timed(task: Callable[[], Path]) -> None:
    """Run a task, and print the path of its result and how long it took."""
    started = time.monotonic()
    path = task()
    out.print(f"{printable(path)} ({time.monotonic() - started:.0f} s)", soft_wrap=True)


def report_unreadable(runs: UnreadableRuns) -> None:
    """Print a line about every run that cannot be read, and exit with 1 if there is one."""
    for text in runs.sentences():
        _print_error(text)
    if runs.reasons:
        raise typer.Exit(ForgettingError.exit_code)


@contextmanager
def _exit_after_interrupt() -> Iterator[None]:
    """End the process soon after Ctrl-C, whatever is running: compilers do not react to it.

    Nothing is lost: what is unfinished has no finished name, and the next run resumes what is
    finished.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with reading:
            while received := reading.recv(1):
                if received[0] == signal.SIGINT:
                    time.sleep(INTERRUPT_SECONDS)
                    _exit_now(
                        "interrupted; what is finished is kept, and the same command resumes it"
                    )

    threading.Thread(target=watch, name="watching for Ctrl-C", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writing.close()


def _exit_now(message: str) -> NoReturn:
    """Print a sentence and end the process without waiting for threads."""
    _print_error(message)
    sys.stdout.flush()
    os._exit(1)


def _print_error(message: str) -> None:
    err.print(styled("[bold red]forgetting:[/] {message}", message=message), soft_wrap=True)


class _ConsoleHandler(logging.Handler):
    """Prints what this package and others log."""

    def emit(self, record: logging.LogRecord) -> None:
        _print_note(record.getMessage())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of another library."""
    _print_note(f"{category.__name__}: {message}")


def _print_note(note: str) -> None:
    err.print(Text(sentence(note, MAX_SENTENCE), "dim"), soft_wrap=True)


def _explain(error: Exception, arguments: list[str], verb: str = "render") -> ForgettingError:
    """Return what went wrong as an error of ours."""
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        MissingConfigException,
        OverrideParseException,
    )
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, ForgettingError):
        return error
    if isinstance(error, HydraException) and (old := _old_key(error, arguments)):
        return renamed_key(old)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and name in LAUNCHERS:
            return missing_extra(f"Hydra's launcher {name}", LAUNCHERS[name])
        return unknown_name(group or "config", name, error.options)
    if isinstance(error, HydraException) and (other := experiment_of_other_verb(arguments, verb)):
        right = "render" if verb == "dream" else "dream"
        return RequestError(
            f"experiment={other} is not one of forgetting {verb}; "
            f"run: {shell_command(right, f'experiment={other}')}"
        )
    if isinstance(error, OverrideParseException):
        return RequestError(
            f"{error.override!r} is not understood; write key=value, "
            "for instance experiment=dissolve or latent.seed=7"
        )
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        match = re.match(r"Could not override '([^']*)'", str(error))
        if isinstance(error, ConfigCompositionException) and match:
            key = str(getattr(error.__cause__, "full_key", None) or match[1])
            known = known_settings(key.rpartition(".")[0], arguments, verb)
            return unknown_name("setting", key, known)
        return RequestError(f"the config cannot be composed: {one_line(error, 2000)}")
    if isinstance(error, ValueError) and "Config group override" in str(error):
        examples = " or ".join(f"{group}=..." for group in list(groups_of(verb))[:3])
        return RequestError(f"a part cannot be null; choose one of its options, as in {examples}")
    if isinstance(error, OSError):
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return ForgettingError(f"{what}; choose another folder with hydra.run.dir=PATH")
    if isinstance(error, MemoryError):
        return ForgettingError(
            "there is not enough memory for this; a smaller model or a shorter film needs less"
        )
    name = type(error).__name__
    return ForgettingError(f"{name}: {error} (set FORGETTING_TRACEBACK=1 to see where)")


def _old_key(error: Exception, arguments: list[str]) -> str | None:
    """Return the first key that has another name now, on the command line or in a file."""
    keys = [argument.partition("=")[0].lstrip("+~").partition("@")[0] for argument in arguments]
    keys += re.findall(r"Could not override '([^'@]*)", str(error))
    olds = [old for key in keys for old in RENAMED if key == old or key.startswith(f"{old}.")]
    return olds[0] if olds else None


def _no_progress(items: Iterable[T], what: progress.Description, total: int | None) -> Iterator[T]:
    yield from items


def _show_progress(
    items: Iterable[T], what: progress.Description, total: int | None
) -> Iterator[T]:
    """Iterate under a progress bar; where the output is no terminal, print a line now and then."""

    def describe() -> str:
        return printable(what() if callable(what) else what)

    if not err.is_terminal:
        yield from _progress_lines(items, describe, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(describe(), total=total)
        for item in items:
            yield item
            bar.update(task, advance=1, description=describe())


def _progress_lines(
    items: Iterable[T], describe: Callable[[], str], total: int | None
) -> Iterator[T]:
    """Print a line at the start, then one a minute with the share, the rate and the time left."""
    err.print(f"{describe()} ...", soft_wrap=True)
    started = printed = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - printed >= LINE_SECONDS:
            printed = now
            err.print(f"{describe()}: {_share(count, total, now - started)}", soft_wrap=True)


def _share(count: int, total: int | None, seconds: float) -> str:
    """Return ``120 of 720 (17 %), 2.0/s, 300 s left``."""
    rate = count / max(seconds, 1e-9)
    if total is None:
        return f"{count}, {rate:.1f}/s"
    left = (total - count) / max(rate, 1e-9)
    return f"{count} of {total} ({100 * count / total:.0f} %), {rate:.1f}/s, {left:.0f} s left"
