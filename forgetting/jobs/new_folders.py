"""Folders of runs: a new one for every run, and none after a request that could not be carried out.

Hydra makes the folder of a run before any setting of it has been checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

from omegaconf import OmegaConf

_OUTPUTS = "outputs"
"""The folder of runs whose folder the command line does not name."""


def make_new_folder(parent: str) -> str:
    """Make a folder below ``parent`` that is named by the time, and return its path.

    Runs that begin in the same second get folders of their own: the name ends with a number then.
    """
    name = _now()
    path = Path(parent, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(2):
        with suppress(FileExistsError):
            path.mkdir()
            return str(path)
        path = path.with_name(f"{name}_{number}")
    raise AssertionError


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


# Cached, because a config may be resolved more than once.
OmegaConf.register_new_resolver("new_folder", make_new_folder, replace=True, use_cache=True)


@dataclass(frozen=True)
class NewFolders:
    """The folders that do not exist before a command makes the folder of its run.

    Args:
        missing: of these that the command names.
        is_named: whether it names the folder of the run itself.
    """

    missing: frozenset[Path]
    is_named: bool

    @staticmethod
    def before(arguments: Sequence[str], key: str) -> NewFolders:
        """Return the folders that are missing now.

        Args:
            arguments: of the command line.
            key: of the setting that names the folder: ``hydra.run.dir`` or ``hydra.sweep.dir``.
        """
        named = [word.partition("=")[2].strip("'\"") for word in arguments if word.startswith(key)]
        text = named[-1] if named else _OUTPUTS
        path = Path(text.partition("${")[0]).absolute()
        missing = frozenset(folder for folder in (path, *path.parents) if not folder.exists())
        return NewFolders(missing, bool(named) and "${" not in text)

    def remove(self, folder: Path) -> None:
        """Remove the folder of the run, and those around it, if they are new and empty."""
        for path in (folder.absolute(), *folder.absolute().parents):
            if path in self.missing or (path == folder.absolute() and not self.is_named):
                with suppress(OSError):  # it is not empty
                    path.rmdir()
