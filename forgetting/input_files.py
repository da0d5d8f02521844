"""The files that a film depends on: where a config names them, and what is recorded of their content.

A recipe holds the SHA-256 and the size of every such file, by the dotted key that names it. A plan may come from a
stranger, so a file that its recipe names is used only if it is the file that was recorded, or if the command line names it.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from forgetting.errors import RequestError

FILES = ("path", "audio", "mask", "weights")
"""Keys of parts under which a config names a file."""

NOT_INPUT = ("plan", "render", "measure", "cluster", "hydra")
"""Root keys whose values are not read into the pictures or the sound."""

Record = dict[str, dict[str, Any]]
"""Dotted key -> {"sha256": 64 hexadecimal digits, "size": bytes}."""


def paths(config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> path, as written in ``config``, of every file that its film depends on."""
    nodes = {key: value for key, value in config.items() if key not in NOT_INPUT}
    return {f"{parent}.{key}": node[key] for parent, node, key in references(nodes) if parent}


def references(node: Any, parent: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every file that a config names: dotted key of the mapping, the mapping itself, and the key within it."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in FILES and isinstance(value, str) and value:
                yield parent, node, key
            yield from references(value, f"{parent}.{key}" if parent else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from references(value, f"{parent}.{index}" if parent else str(index))


def located(path: str | Path) -> Path:
    """The file that ``path`` means; of the folder of a run, that is its film."""
    expanded = Path(path).expanduser()
    films = sorted(expanded.glob("film.*")) if expanded.is_dir() else []
    return films[0] if films else expanded


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; never waits for a pipe, and never touches a device.

    Raises:
        OSError: the file cannot be opened.
        RequestError: it is a folder, a pipe, a socket, or a device.
    """
    if path.exists() and not path.is_file():
        raise _irregular(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return os.fdopen(descriptor, "rb")


def _irregular(path: Path) -> RequestError:
    return RequestError(f"{path} is not a regular file; name a file and not a folder, pipe, or device")


def record(config: Mapping[str, Any]) -> Record:
    """SHA-256 and size of every file that a config names; a file that does not exist is left out.

    Raises:
        RequestError: a path names something that is not a regular file, or that cannot be read.
    """
    found: Record = {}
    for key, path in paths(config).items():
        digest = _digest(key, path)
        if digest is not None:
            found[key] = digest
    return found


def _digest(key: str, path: str) -> dict[str, Any] | None:
    """Hash and size of the file under ``key``; None if there is no file."""
    try:
        with open_regular(located(path)) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return {"sha256": sha256, "size": file.tell()}
    except FileNotFoundError:
        return None
    except RequestError as error:
        raise RequestError(f"{key}={path} cannot be used: {error}") from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{key}={path} cannot be read ({error}); check the path") from None


def replaced(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The dotted keys whose files have changed between two records."""
    return [key for key in sorted({*recorded, *now}) if recorded.get(key) != now.get(key)]


def verify(config: Mapping[str, Any], recorded: Any, plan: Path, explicit: Iterable[str] = ()) -> None:
    """Refuse the files that a recipe names, unless they are the recorded ones.

    Args:
        config: the config in the recipe of ``plan``.
        recorded: what the recipe holds under ``files``.
        explicit: the dotted keys that the command line sets; the files under them are the user's own choice.

    Raises:
        RequestError: a file is missing, not a regular file, or not the recorded one.
    """
    explicit = list(explicit)
    for key, path in paths(config).items():
        if any(key == name or key.startswith(f"{name}.") for name in explicit):
            continue
        digest = _digest(key, path)
        known = recorded.get(key) if isinstance(recorded, Mapping) else None
        if digest is not None and digest == known:
            continue
        if digest is None:
            reason = "which does not exist here"
        elif known is None:
            reason = "and does not record its content"
        else:
            reason = "and that file is another one than when the plan was made"
        verb = "dream" if "dream" in config else "render"
        command = f"forgetting {verb} plan={shlex.quote(str(plan))} {key}={shlex.quote(path)}"
        raise RequestError(f"the recipe in {plan} names {key}={path}, {reason}; to use a file of your choice, say: {command}")
