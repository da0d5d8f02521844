"""A process in which hostile files are read: what it does is watched, and its limits are small."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg

import forked

MEMORY = 300
"""Megabytes that reading may take beyond what the process takes before."""

SECONDS = 5.0
"""Seconds of the processor that reading a file may take."""

FORBIDDEN = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.bind",
    "socket.sendto",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.startfile",
    "pickle.find_class",
    "ctypes.dlopen",
    "webbrowser.open",
)
"""Events of the interpreter's audit that reading a file of a stranger never raises."""

WRITING = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")


class Watch:
    """What the process does while it reads.

    Args:
        writable: the folders in which it may write.
    """

    def __init__(self, *writable: Path) -> None:
        self.writable, self.seen, self.active = [path.resolve() for path in writable], [], False
        self.ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        sys.addaudithook(self._audit)

    @contextmanager
    def __call__(self, name: str, seconds: float = SECONDS) -> Iterator[None]:
        """Watch what the block does; raise if any of it is forbidden, or takes too much.

        Args:
            name: of what is read.
            seconds: of the processor that the block may take.
        """
        self.seen, before, started = [], _peak(), _cpu()
        self.active = True
        signal.alarm(60)
        try:
            yield
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        finally:
            self.active = False
            signal.alarm(0)
        took, memory = _cpu() - started, (_peak() - before) / 2**20
        assert not self.seen, (name, self.seen)
        assert took < seconds, f"{name}: {took:.1f} s"
        assert memory < MEMORY, f"{name}: {memory:.0f} MB"

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        is_program = event == "subprocess.Popen"
        if event in FORBIDDEN or (is_program and arguments[0] != self.ffmpeg):
            self.seen.append((event, str(arguments)[:200]))
        elif event in WRITING:
            # The folder that a relative name belongs to follows the names.
            two = event in ("os.rename", "os.link", "os.symlink")
            path, folder = arguments[1 if two else 0], arguments[-1]
            if isinstance(folder, int) and folder > 0 and event != "os.mkdir":
                path = Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(path)
            if not self._may_write(path):
                self.seen.append((event, str(path)))
        elif event == "open" and self._writes(arguments) and not self._may_write(arguments[0]):
            self.seen.append((event, str(arguments)[:200]))

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        _, mode, flags = arguments
        if isinstance(mode, str):
            return bool(set(mode) & set("wax+"))
        return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))

    def _may_write(self, path: Any) -> bool:
        if isinstance(path, int):
            return True
        path = Path(os.fsdecode(path)).absolute()
        path = path.parent.resolve() / path.name
        allowed = (*self.writable, Path("/dev"))
        return any(path.is_relative_to(folder) for folder in allowed)


def run(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``function`` returns in a process of its own; its errors are raised here."""
    ours, theirs = multiprocessing.Pipe()
    process = forked.start(_report, function, arguments, theirs)
    theirs.close()
    try:
        result, error = ours.recv()
    except EOFError:
        raise AssertionError(f"the process ended with {forked.ended(process)}") from None
    finally:
        ours.close()
    assert not error, error
    return result


def _report(function: Callable[..., Any], arguments: tuple[Any, ...], connection: Any) -> None:
    try:
        result = function(*arguments), None
    except BaseException:
        result = None, traceback.format_exc()
    connection.send(result)


def _peak() -> int:
    """Return the largest memory that this process has had, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def _cpu() -> float:
    """Return the seconds of the processor that this process and its finished children took."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def snapshot(folder: Path) -> dict[str, Any]:
    """Return what lies in a folder: size, time of change and type of everything."""
    states = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        states[str(path.relative_to(folder))] = state.st_mode, state.st_size, state.st_mtime_ns
    return states
