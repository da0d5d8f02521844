"""The files that a film depends on, and the record of their content in its recipe.

A recipe holds the SHA-256 and the size of every such file, by the dotted key that names it. A plan
may come from a stranger, so a file that its recipe names is used only if it is the file that was
recorded, or if the command line names it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from forgetting.errors import RequestError
from forgetting.files import is_link, open_regular, user_path
from forgetting.printable import shell_command

FILES = ("path", "audio", "mask", "weights", "labels", "font")
"""Keys of parts under which a config names a file."""

NOT_INPUT = ("plan", "render", "measure", "cluster", "hydra")
"""Root keys whose values are not read into the pictures or the sound."""

RECORDED = "a recorded file"
"""What stands for the path of a file where only its content matters."""

Record = dict[str, dict[str, Any]]
"""Dotted key -> {"sha256": 64 hexadecimal digits, "size": bytes}."""


def paths(config: Mapping[str, Any]) -> dict[str, str]:
    """Return dotted key -> path, as ``config`` has it, of every file that its film depends on."""
    nodes = {key: value for key, value in config.items() if key not in NOT_INPUT}
    return {f"{parent}.{key}": node[key] for parent, node, key in references(nodes) if parent}


def references(node: Any, parent: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield every file that a config names.

    Yields:
        The dotted key of the mapping that holds the path, the mapping, and the key within it.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in FILES and isinstance(value, str) and value:
                yield parent, node, key
            yield from references(value, f"{parent}.{key}" if parent else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from references(value, f"{parent}.{index}" if parent else str(index))


def located(path: str | Path) -> Path:
    """Return the file that ``path`` means; for the folder of a run, its film."""
    expanded = user_path(path)
    films = sorted(expanded.glob("film.*")) if expanded.is_dir() else []
    return films[0] if films else expanded


def record(config: Mapping[str, Any]) -> Record:
    """Return hash and size of every file that a config names and that exists.

    Raises:
        RequestError: a path names something that is not a regular file, or that cannot be read.
    """
    records: Record = {}
    for key, path in paths(config).items():
        digest = _digest(key, path)
        if digest is not None:
            records[key] = digest
    return records


def _digest(key: str, path: str) -> dict[str, Any] | None:
    """Return hash and size of the file under ``key``; None if there is no file."""
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


def without_paths(config: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the paths of files whose content is recorded.

    Films are the same wherever their files lie.
    """
    copied = copy.deepcopy(dict(config))
    for parent, node, key in references(copied):
        if f"{parent}.{key}" in recorded:
            node[key] = RECORDED
    return copied


def kept_font(folder: Path) -> Path | None:
    """Return the copy of a film's font in the folder of its run, if there is one."""
    paths = (path for path in sorted(folder.glob("font.*")) if not is_link(path))
    return next(filter(Path.is_file, paths), None)


def with_kept_font(
    config: Mapping[str, Any], recorded: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Return a config that names the copy of its font in ``folder``, if that is the same font."""
    copy_of_font = kept_font(folder)
    known = recorded.get("film.font")
    if not copy_of_font or not known or _digest("film.font", str(copy_of_font)) != known:
        return dict(config)
    return {**config, "film": {**config["film"], "font": str(copy_of_font)}}


def replaced(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys whose files differ between two records."""
    return [key for key in sorted({*recorded, *now}) if recorded.get(key) != now.get(key)]


def verify(
    config: Mapping[str, Any], recorded: Any, plan: Path, verb: str, explicit: Iterable[str] = ()
) -> None:
    """Raise unless the files that a recipe names are the files that it records.

    Args:
        config: the config in the recipe of ``plan``.
        recorded: what the recipe holds under ``files``.
        plan: path of the plan, or of the recipe itself, for the message.
        verb: that renders such a config.
        explicit: the dotted keys that the command line sets; the files under them are the user's
            own choice.

    Raises:
        RequestError: a file is missing, is no regular file, or is not the recorded file.
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
        source = str(plan) if plan.suffix in (".yaml", ".yml") else f"plan={plan}"
        command = shell_command(verb, source, f"{key}={path}")
        raise RequestError(
            f"the recipe in {plan} names {key}={path}, {reason}; to use a file of your choice, "
            f"run: {command}"
        )
