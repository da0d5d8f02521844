"""Processes that a test may kill at any moment.

They are forks of a server that has imported the package once, so that each of them starts at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from forgetting.cli import main as cli
from forgetting.engines import torch_cpu
from forgetting.film.run_folder import RunFolder
from forgetting.jobs import dream as dreams
from forgetting.jobs import portrait, run
from forgetting.models.architectures import toy
from helpers import render_config

PRELOADED = [module.__name__ for module in (cli, dreams, torch_cpu, portrait, run, toy)]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork to kill")


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start ``function``, which must be importable, in a process and a process group of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_in_own_group, args=(function, arguments), daemon=True)
    process.start()
    return process


def _in_own_group(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.setsid()
    warnings.simplefilter("error")
    function(*arguments)


def ended(process: BaseProcess) -> int:
    """Wait for the process and return its exit code; of a killed process, minus the signal."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def kill(process: BaseProcess, children: bool = False) -> int:
    """Kill the process, and with ``children`` all that it started, and return its exit code."""
    process.kill()
    if children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return ended(process)


def render(config: dict[str, Any], folder: Path, errors: Path | None = None) -> None:
    """Render a film; with ``errors``, append what went wrong to that file."""
    try:
        render_config(config, folder)
    except Exception as error:
        if errors is None:
            raise
        with errors.open("a") as file:
            file.write(f"{error!r}\n")
        sys.exit(1)


def render_until_renaming(config: dict[str, Any], folder: Path, number: int, after: bool) -> None:
    """Render a film, and kill this process before or ``after`` its n-th renaming of a file."""
    calls = 0

    def counted(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def call(self: Path, target: Path) -> Path:
            nonlocal calls
            calls += 1
            if calls == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            renamed = rename(self, target)
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return renamed

        return call

    Path.replace = counted(Path.replace)  # type: ignore[method-assign]
    Path.rename = counted(Path.rename)  # type: ignore[method-assign]
    render(config, folder)


def hold_lock(folder: Path, shard: str | None, connection: Connection) -> None:
    """Hold the lock of a run's folder until a message arrives; send one when it is held."""
    with RunFolder(folder).lock(shard):
        connection.send("held")
        connection.recv()


def command_line(arguments: list[str], folder: Path) -> None:
    """Run the command line in a folder, without its output."""
    from forgetting.__main__ import main

    os.chdir(folder)
    sys.argv = ["forgetting", *arguments]
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    main()
