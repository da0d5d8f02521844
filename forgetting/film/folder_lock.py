"""Which processes may work in the folder of a run at the same time.

A whole render or a join excludes everything else. A shard excludes whole renders and itself, and
runs beside other shards. Each of them holds a lock file beside the segments: ``lock`` or
``lock-K-of-N``. A lock ends with the process that holds it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from forgetting import files
from forgetting.errors import ForgettingError
from forgetting.film.segments import parse_shard

GUARD_SECONDS = 10.0
"""How long a process waits for another to take or release locks, which takes milliseconds."""

_GUARD = "lock-guard"
"""Held for a moment by a process that takes a lock or removes the files, so that nothing changes
between its check of the others' locks and its own."""

_WHOLE = "lock"


@dataclass(frozen=True)
class FolderLock:
    """The locks of a run's folder; ``path`` is the folder of its segments, where they lie."""

    path: Path

    @contextmanager
    def hold(self, shard: str | None = None) -> Iterator[None]:
        """Hold the lock of a whole render, or of the shard ``K/N``.

        Raises:
            ForgettingError: another process works in the folder.
        """
        name = _WHOLE if shard is None else "lock-{}-of-{}".format(*parse_shard(shard))
        with self._guarded():
            held = self._held()
            if held if shard is None else held & {_WHOLE, name}:
                raise self._busy()
            self._check_file(self.path / name)
            lock = FileLock(self.path / name)
            lock.acquire(timeout=0)
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Return whether any process works in the folder: a whole render, a join or a shard."""
        if not any(self._files()):
            return False
        try:
            with self._guarded(create=False):
                return bool(self._held())
        except FileNotFoundError:  # the folder is just being removed
            return False
        except ForgettingError:
            return True

    def remove_folder(self) -> None:
        """Remove the folder with everything in it, unless another process works there."""
        if not self.path.exists():
            return
        with files.temporary_path(self.path) as removed:
            guard, is_unlinked = self._acquire_guard(), False
            try:
                if self._held():
                    return
                # Every folder disappears in one step. Removing can take long, and happens after
                # the release.
                removed.mkdir()
                for path in self.path.iterdir():
                    if path.name != _GUARD:
                        path.rename(removed / path.name)
                # While it is held, so that a process that waits for this file notices. Windows
                # refuses to remove a file that is open.
                with suppress(PermissionError):
                    (self.path / _GUARD).unlink()
                    is_unlinked = True
            finally:
                guard.release()
            with suppress(OSError):  # where another process has begun to work in the folder
                if not is_unlinked:
                    (self.path / _GUARD).unlink()
                self.path.rmdir()

    def _files(self) -> Iterator[Path]:
        """Return the lock files; what is anything but a file was made by no lock of ours."""
        return (
            path
            for path in self.path.glob("lock*")
            if path.name != _GUARD and path.is_file() and not files.is_link(path)
        )

    @staticmethod
    def _check_file(path: Path) -> None:
        """Raise if something else than a file has the name of a lock file.

        Raises:
            RequestError: a link, a pipe or a folder has it.
        """
        if os.path.lexists(path):
            files.check_own(path)

    def _held(self) -> set[str]:
        """Return the names of the locks that processes hold; the guard must be held."""
        held = set()
        for path in self._files():
            try:
                with FileLock(path).acquire(timeout=0):
                    pass
            except Timeout:
                held.add(path.name)
        return held

    @contextmanager
    def _guarded(self, create: bool = True) -> Iterator[None]:
        guard = self._acquire_guard(create)
        try:
            yield
        finally:
            guard.release()

    def _acquire_guard(self, create: bool = True) -> BaseFileLock:
        """Return the acquired guard.

        Args:
            create: whether folder and file are created where they do not exist.

        Raises:
            FileNotFoundError: they do not exist and are not created.
            ForgettingError: another process holds the guard for too long.
        """
        path, deadline = self.path / _GUARD, time.monotonic() + GUARD_SECONDS
        while time.monotonic() < deadline:
            guard = FileLock(path)
            try:
                if create:
                    files.make_own_folder(path.parent)
                self._check_file(path)
                if create:
                    path.touch()
                before = path.stat()
                guard.acquire(timeout=GUARD_SECONDS)
                # Another process may have removed the file while this one waited for it: then
                # later processes lock another file of the same name.
                if os.path.samestat(before, path.stat()):
                    return guard
            except FileNotFoundError:
                if not create:
                    guard.release()
                    raise
            except Timeout:
                break
            guard.release()
        raise self._busy()

    def _busy(self) -> ForgettingError:
        return ForgettingError(
            f"another process is making a film in {self.path.parent}; "
            "wait for it, or choose another folder with hydra.run.dir=PATH"
        )
