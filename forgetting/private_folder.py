"""Folders of the cache that no other user can write.

A folder is opened step by step, and its files are opened within it, so that nobody can exchange
a part of the path between the check and the opening. Windows can open no folders and has no owners
and modes that Python could read; there links are checked by name, and a folder counts as private if
it lies below the user's own, which Windows closes to others.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from forgetting.files import is_link

PART = ".part"
"""How the names of unfinished files end."""

_OWNERS = hasattr(os, "geteuid")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class NotPrivate(Exception):
    """Others could have written a file or a folder; the message says why."""


@dataclass(frozen=True)
class Entry:
    """A file in a folder.

    Args:
        name: of the file.
        size: in bytes.
        used: when it was used last, in nanoseconds.
    """

    name: str
    size: int
    used: int


@dataclass(frozen=True)
class OpenFolder:
    """An open folder; what is done in it follows no links.

    Args:
        path: of the folder.
        descriptor: of the folder; None where the system opens no folders.
    """

    path: Path
    descriptor: int | None

    def open_file(self, name: str) -> BufferedReader:
        """Open a file, and count it as used now.

        Raises:
            OSError: it does not exist, is a link, or cannot be opened.
            NotPrivate: it is no regular file, or others could have written it.
        """
        if self.descriptor is None and is_link(self.path / name):
            raise NotPrivate(f"{self.path / name} is a link")
        flags = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self._at(name), flags, dir_fd=self.descriptor)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise NotPrivate(f"{self.path / name} is no regular file")
            _check_owner(self.path / name, status)
            if _OWNERS and status.st_mode & 0o022:
                raise NotPrivate(f"others can write {self.path / name}")
            with suppress(OSError):  # a disk may be read-only
                os.utime(descriptor if os.utime in os.supports_fd else self.path / name)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    def write_file(self, name: str, *contents: bytes) -> None:
        """Write a file, which appears whole or not at all."""
        part = f"{name}.{os.getpid()}-{secrets.token_hex(4)}{PART}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
        descriptor = os.open(self._at(part), flags, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for content in contents:
                    file.write(content)
            within = self.descriptor
            os.replace(self._at(part), self._at(name), src_dir_fd=within, dst_dir_fd=within)
        except BaseException:
            with suppress(OSError):
                self.remove_file(part)
            raise

    def remove_file(self, name: str) -> None:
        """Remove a file; of a link only the link.

        Raises:
            OSError: it does not exist, or cannot be removed.
        """
        os.unlink(self._at(name), dir_fd=self.descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder.

        Raises:
            OSError: it does not exist, is not empty, or cannot be removed.
        """
        os.rmdir(self._at(name), dir_fd=self.descriptor)

    def entries(self) -> list[Entry]:
        """Return the regular files of the folder."""
        regular = []
        with os.scandir(self.path if self.descriptor is None else self.descriptor) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removed it
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        regular.append(Entry(entry.name, status.st_size, status.st_mtime_ns))
        return regular

    def folders(self) -> list[str]:
        """Return the names of the folders in it."""
        with os.scandir(self.path if self.descriptor is None else self.descriptor) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    @contextmanager
    def open_folder(self, name: str) -> Iterator[OpenFolder]:
        """Open a folder in it.

        Raises:
            OSError: it cannot be opened.
            NotPrivate: it is a link or no folder.
        """
        with _open(self.path / name, self._at(name), self.descriptor) as folder:
            yield folder

    @contextmanager
    def open_private(self, name: str, make: bool = False) -> Iterator[OpenFolder]:
        """Open a folder in it that others can neither read nor write.

        Args:
            name: of the folder.
            make: whether it is made if it does not exist.

        Raises:
            OSError: it cannot be opened.
            NotPrivate: it is a link or no folder, or others can read or write it.
        """
        if make:
            with suppress(FileExistsError):
                os.mkdir(self._at(name), 0o700, dir_fd=self.descriptor)
        with self.open_folder(name) as folder:
            if folder.descriptor is not None:
                status = os.fstat(folder.descriptor)
                _check_owner(folder.path, status)
                if (mode := stat.S_IMODE(status.st_mode) & 0o777) != 0o700:
                    raise NotPrivate(f"{folder.path} has the mode {mode:03o} instead of 700")
            yield folder

    def _at(self, name: str) -> str | Path:
        """Return what the system's calls take for a name in this folder."""
        return name if self.descriptor is not None else self.path / name


@contextmanager
def open_private(root: Path, *names: str, make: bool = False) -> Iterator[OpenFolder]:
    """Open a private folder below one that others may read.

    Args:
        root: the folder that others may read; it is no link.
        *names: of the folders on the way, the last of which is opened.
        make: whether folders that do not exist are made.

    Raises:
        OSError: a folder does not exist, or cannot be opened.
        NotPrivate: a folder is a link, or others can read or write it.
    """
    if not _OWNERS and not root.resolve().is_relative_to(Path.home().resolve()):
        raise NotPrivate(f"{root} does not lie in the folder of the user")
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder(root))
        for name in names:
            folder = stack.enter_context(folder.open_private(name, make))
        yield folder


@contextmanager
def open_folder(path: Path) -> Iterator[OpenFolder]:
    """Open a folder.

    Raises:
        OSError: it cannot be opened.
        NotPrivate: it is a link or no folder.
    """
    with _open(path, path, None) as folder:
        yield folder


@contextmanager
def _open(path: Path, at: str | Path, parent: int | None) -> Iterator[OpenFolder]:
    if not (_OWNERS and os.open in os.supports_dir_fd):
        if is_link(path):
            raise NotPrivate(f"{path} is a link")
        if not path.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield OpenFolder(path, None)
        return
    try:
        descriptor = os.open(at, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotPrivate(f"{path} is a link, or no folder") from None
        raise
    try:
        yield OpenFolder(path, descriptor)
    finally:
        os.close(descriptor)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if _OWNERS and status.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to another user")
