"""Output of the command line: results, progress, and one sentence for whatever goes wrong."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from forgetting import progress
from forgetting.cli import progress_display
from forgetting.cli.interrupt import KEPT, exit_after_interrupt, exit_now
from forgetting.errors import MAX_SENTENCE, ForgettingError, Interrupted, RequestError
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.printable import printable, sentence

LOG_FORMAT = "%(asctime)s %(message)s"


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
_log_file: logging.Handler | None = None


def set_verbosity(verbosity: Verbosity) -> None:
    """Choose how much this process prints."""
    global _verbosity
    _verbosity = verbosity


def set_log_file(path: Path | None) -> None:
    """Write what this process logs, its progress and its results, into a file, too.

    Raises:
        RequestError: the file cannot be written.
    """
    global _log_file
    _log_file = None
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise RequestError(
            f"--log-file={path} cannot be written ({error.strerror or error}); name another file"
        ) from None
    _log_file = _LogFile(path)


@contextmanager
def report_errors(arguments: list[str], verb: str = "render") -> Iterator[None]:
    """Show progress, and end with one sentence and an exit code whatever happens.

    ``FORGETTING_TRACEBACK=1`` shows tracebacks instead.

    Args:
        arguments: of the command line, for hints.
        verb: of the command line.
    """
    token = progress.display.set(_progress_display())
    logger = logging.getLogger("forgetting")
    level, handlers = logger.level, logger.handlers
    last_resort, show_warning = logging.lastResort, warnings.showwarning
    logger.setLevel(_verbosity.value if _log_file is None else logging.DEBUG)
    logger.handlers = [_ConsoleHandler(_verbosity.value), *filter(None, [_log_file])]
    # What other libraries log and warn of may quote files of strangers, too.
    logging.lastResort, warnings.showwarning = _ConsoleHandler(logging.WARNING), _show_warning
    try:
        with exit_after_interrupt(print_error):
            yield
    except (KeyboardInterrupt, Interrupted) as error:
        exit_now(print_error, str(error) or KEPT)
    except typer.Exit:
        raise
    except Exception as error:
        if os.environ.get("FORGETTING_TRACEBACK"):
            raise
        from forgetting.cli.explain import explain

        explained = explain(error, arguments, verb)
        print_error(str(explained))
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
    line = f"{printable(path)} ({progress.duration(time.monotonic() - started)})"
    out.print(line, soft_wrap=True)
    _write_log(line)


def report_unreadable(runs: UnreadableRuns) -> None:
    """Print a line about every run that cannot be read, and exit with 1 if there is one."""
    for text in runs.sentences():
        print_error(text)
    if runs.reasons:
        raise typer.Exit(ForgettingError.exit_code)


def print_error(message: str) -> None:
    """Print why something failed, on one line."""
    err.print(styled("[bold red]forgetting:[/] {message}", message=message), soft_wrap=True)
    _write_log(message)


def _write_log(line: str) -> None:
    """Write a line into the log file, if there is one."""
    if _log_file is not None:
        _log_file.handle(logging.makeLogRecord({"msg": line, "levelno": logging.INFO}))


class _LogFile(logging.Handler):
    """A file of lines with their times; what a terminal would obey is escaped in it, too.

    It is opened for every line, so that it can be moved, and a full disk ends no film.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.setFormatter(logging.Formatter(LOG_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(printable(self.format(record)) + "\n")


class _ConsoleHandler(logging.Handler):
    """Prints what this package and others log; what was printed already says nothing new."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.printed = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.printed:
            self.printed.add(line)
            _print_note(line)


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


def _progress_display() -> Callable[..., Any]:
    """Return what shows progress: on the console, and as lines in the log file."""
    lines = progress_display.print_lines
    if _verbosity is Verbosity.QUIET:
        shown: Callable[..., Any] = progress_display.hide
    elif err.is_terminal:
        shown = partial(progress_display.show_bar, err)
    else:
        shown = partial(lines, lambda line: err.print(line, soft_wrap=True))
    if _log_file is None:
        return shown
    return lambda items, what, total: lines(_write_log, shown(items, what, total), what, total)
