"""How the command line speaks: one sentence for whatever goes wrong, progress, and an end soon after Ctrl-C."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from forgetting import progress
from forgetting.dependencies import LAUNCHERS, missing_extra
from forgetting.errors import ForgettingError, Interrupted, RequestError, one_line, unknown_name
from forgetting.jobs.config_groups import experiment_of_other_verb, groups_of, known_settings

T = TypeVar("T")

PATIENCE = 1.5
"""Seconds after Ctrl-C until the process ends by itself."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def report_errors(arguments: list[str], verb: str = "render") -> Iterator[None]:
    """Show progress, and end with one sentence and an exit code whatever happens; FORGETTING_TRACEBACK=1 shows more."""
    token = progress.display.set(_show)
    logging.getLogger("forgetting").setLevel(logging.INFO)
    logging.getLogger("forgetting").handlers = [_Told()]
    try:
        with _impatience():
            yield
    except (KeyboardInterrupt, Interrupted) as error:
        _leave(str(error) or "interrupted; nothing was begun")
    except Exception as error:
        if os.environ.get("FORGETTING_TRACEBACK"):
            raise
        told = _explain(error, arguments, verb)
        _fail(str(told), told.exit_code)
    finally:
        progress.display.reset(token)


@contextmanager
def _impatience() -> Iterator[None]:
    """Leave soon after Ctrl-C, whatever is running: compilers do not listen, and some swallow what Python raises.

    Nothing is lost by it: what is unfinished has no finished name, and the next run goes on from what is finished.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with heard:
            while found := heard.recv(1):
                if found[0] == signal.SIGINT:
                    time.sleep(PATIENCE)
                    _leave(
                        "interrupted; what is finished is kept, and the same command goes on from there"
                    )

    threading.Thread(target=watch, name="listening for Ctrl-C", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()


def _leave(sentence: str) -> NoReturn:
    """Say it, and end without waiting for threads and for memory to be given back."""
    _say(sentence)
    sys.stdout.flush()
    os._exit(1)


def _say(sentence: str) -> None:
    err.print(f"[bold red]forgetting:[/] {escape(' '.join(sentence.split()))}", soft_wrap=True)


class _Told(logging.Handler):
    """What the library logs, told to people."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(f"[dim]{escape(record.getMessage())}", soft_wrap=True)


def _fail(sentence: str, code: int) -> NoReturn:
    _say(sentence)
    raise typer.Exit(code)


def _explain(error: Exception, arguments: list[str], verb: str = "render") -> ForgettingError:
    """What went wrong, as one of our own errors."""
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        MissingConfigException,
        OverrideParseException,
    )
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, ForgettingError):
        return error
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and name in LAUNCHERS:
            return missing_extra(f"Hydra's launcher {name}", LAUNCHERS[name])
        return unknown_name(group or "config", name, error.options)
    if isinstance(error, HydraException) and (other := experiment_of_other_verb(arguments, verb)):
        theirs = "render" if verb == "dream" else "dream"
        return RequestError(
            f"experiment={other} is none for forgetting {verb}; say: forgetting {theirs} experiment={other}"
        )
    if isinstance(error, OverrideParseException):
        return RequestError(
            f"{error.override!r} is not understood; write key=value, for instance experiment=dissolve or latent.seed=7"
        )
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        if isinstance(error, ConfigCompositionException) and (
            found := re.match(r"Could not override '([^']*)'", str(error))
        ):
            key = str(getattr(error.__cause__, "full_key", None) or found[1])
            return unknown_name(
                "setting", key, known_settings(key.rpartition(".")[0], arguments, verb)
            )
        return RequestError(f"the config cannot be put together: {one_line(error, 2000)}")
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return RequestError(
            f"a part cannot be null; choose one of its options, as in {' or '.join(f'{g}=...' for g in list(groups_of(verb))[:3])}"
        )
    if isinstance(error, OSError):
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return ForgettingError(f"{what}; choose another folder with hydra.run.dir=PATH")
    if isinstance(error, MemoryError):
        return ForgettingError(
            "there is not enough memory for this; a smaller model or a shorter film needs less"
        )
    return ForgettingError(
        f"{type(error).__name__}: {error} (set FORGETTING_TRACEBACK=1 to see where)"
    )


def _show(items: Iterable[T], what: progress.Description, total: int | None) -> Iterator[T]:
    """Iterate under a progress bar with the time left; a line at the start where there is no terminal."""
    told = what if callable(what) else lambda: str(what)
    if not err.is_terminal:
        err.print(f"{told()} ...")
        yield from items
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(told(), total=total)
        for item in items:
            yield item
            bar.update(task, advance=1, description=told())
