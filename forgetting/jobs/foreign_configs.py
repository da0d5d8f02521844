"""Checks of the config files that users bring, before Hydra acts on them.

Hydra configures logging, sets environment variables and instantiates callbacks, launchers and
sweepers that a config names. Experiments may come from strangers, so their files may set none of
this: all YAML files below ``--config-dir`` and ``hydra.searchpath`` are read here first. They set
settings of the film and nothing else.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from forgetting.errors import RequestError, one_line
from forgetting.files import open_regular
from forgetting.jobs.config_groups import CONFIGS
from forgetting.printable import quoted
from forgetting.safe_yaml import MAX_BYTES, load_yaml, strings

EXECUTION_ONLY = ("cluster", "trust")
"""Root keys that decide where a film is made and which code is trusted."""

COMMAND_LINE_ONLY = ("hydra", *EXECUTION_ONLY)
"""Root nodes that files of users may not set; ``hydra`` has the exceptions below."""

MAX_FILES = 2000
"""YAML files in a folder of users."""

PLAIN = re.compile(r"\$\{[\w.\[\]-]*\}")
"""An interpolation that names another key of the same config."""

NAME = r"[\w-][\w.-]*"
OPTION = re.compile(rf"/?{NAME}(?:/{NAME})*")
"""A group or an option in a defaults list.

A path without ``..``, hidden folders, and interpolations.
"""


def check(arguments: Sequence[str]) -> None:
    """Refuse command lines whose config files set more than settings of the film.

    Args:
        arguments: what stands behind the verb, quoted for Hydra's grammar.

    Raises:
        RequestError: an option or a file is refused; the message names the file and the key.
    """
    given = _given(arguments)
    for option, value in (
        ("--config-path", given.config_path),
        ("--config-name", given.config_name),
    ):
        if value is not None:
            raise RequestError(
                f"{option}={value} would replace the config that every film begins with; put your "
                "settings into "
                "DIR/experiment/NAME.yaml and say: --config-dir DIR experiment=NAME"
            )
    if given.experimental_rerun is not None:
        raise RequestError(
            f"--experimental-rerun={given.experimental_rerun} would load a pickle, which can run "
            "any code; "
            "say plan=PATH to render a plan again"
        )
    folders = _folders(given)
    for folder in folders:
        check_folder(folder)
    groups = {
        path.name for folder in (CONFIGS, *folders) for path in folder.iterdir() if path.is_dir()
    }
    for override in _parsed(given.overrides):
        key, package, line = (
            override.key_or_group,
            override.package or "",
            override.input_line or "",
        )
        if package.split(".")[0] == "hydra":
            raise RequestError(
                f"{line} would load an option into the node hydra; write hydra.KEY=VALUE instead"
            )
        _check_option_name(key, package, line.partition("=")[2], groups, "the command line")


def overrides(arguments: Sequence[str]) -> list[str]:
    """Return the overrides in ``arguments`` for ``hydra.compose``, which has no ``--config-dir``.

    It becomes a search path.
    """
    given = _given(arguments)
    lines = [
        override.input_line
        for override in _parsed(given.overrides)
        if not _is_search_path(override)
    ]
    folders = [str(folder.resolve()).replace("'", "\\'") for folder in _folders(given)]
    paths = ",".join(f"'file://{folder}'" for folder in folders)
    return [*map(str, lines), *([f"hydra.searchpath=[{paths}]"] if folders else [])]


def named_factories(arguments: Sequence[str]) -> set[str]:
    """Return ``key=value`` of every factory that the command line names, also in sweeps."""
    named = set[str]()
    for override in _parsed(_given(arguments).overrides):
        key = override.key_or_group
        if key.rpartition(".")[2] == "factory":
            swept = override.sweep_string_iterator() if override.is_sweep_override() else None
            singles = (
                [override] if swept is None else _parsed([f"{key}={value}" for value in swept])
            )
            named |= {f"{key}={single.value()}" for single in singles}
    return named


def keys(arguments: Sequence[str]) -> list[str]:
    """The dotted keys that the command line itself sets."""
    return [
        override.package or override.key_or_group
        for override in _parsed(_given(arguments).overrides)
    ]


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    from hydra._internal.utils import get_args_parser  # pinned below Hydra 1.4

    return get_args_parser().parse_known_args(list(arguments))[0]


def _parsed(overrides: Sequence[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return list(OverridesParser.create().parse_overrides(list(overrides)))


def _is_search_path(override: Any) -> bool:
    return str(override.key_or_group).startswith("hydra.searchpath")


def _folders(given: argparse.Namespace) -> list[Path]:
    """The existing folders in which Hydra would look for files of users."""
    names = []
    for override in _parsed(given.overrides):
        if not _is_search_path(override):
            continue
        value = None if override.is_sweep_override() else override.value()
        for name in value if isinstance(value, list) else [None]:
            if (
                not isinstance(name, str)
                or "${" in name
                or ("://" in name and not name.startswith("file://"))
            ):
                raise RequestError(
                    f"{override.input_line} must be a list of folders, as in "
                    "hydra.searchpath=[file:///home/me/configs]; "
                    "--config-dir DIR does the same for one"
                )
            names.append(name.removeprefix("file://"))
    names += [given.config_dir] if given.config_dir is not None else []
    return [Path(name) for name in names if Path(name).is_dir()]


def check_folder(folder: Path) -> None:
    """Read every YAML file below ``folder``, but for hidden folders, which no file can name.

    Raises:
        RequestError: a file sets what only the command line may set; or the folder cannot be
            checked.
    """
    for name in sorted(path.name for path in folder.iterdir()):
        if name.casefold() in COMMAND_LINE_ONLY and (folder / name).is_dir():
            raise RequestError(
                f"{folder / name} would add options to the group {name.casefold()}, which come "
                "with the program alone; "
                "remove that folder, and set what you need on the command line"
            )
    files = list[Path]()
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in sorted(folders) if not name.startswith(".")]
        for name in folders:
            if (Path(where) / name).is_symlink():
                raise RequestError(
                    f"{Path(where) / name} is a link to a folder, which is not followed; copy the "
                    "folder"
                )
        files += [Path(where) / name for name in sorted(names) if name.lower().endswith(".yaml")]
        if len(files) > MAX_FILES:
            raise RequestError(
                f"{folder} holds more than {MAX_FILES} YAML files; keep your experiments in a "
                "folder of their own"
            )
    groups = {
        path.name for parent in (CONFIGS, folder) for path in parent.iterdir() if path.is_dir()
    }
    for path in files:
        _check_file(path, groups)


def _check_file(path: Path, groups: Collection[str]) -> None:
    """Refuse a config file of a user that sets more than settings of the film."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read ({error.strerror or error}); remove it, or check its rights"
        ) from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not text in UTF-8; save it as that, or remove it") from None
    tree = load_yaml(text, str(path))
    for line in text.splitlines():
        if match := re.match(r"\s*#[#\s]*@\s*package\b[\s:]*(.*)", line):
            _check_package(path, "@package", match[1])
    if tree is None:
        return
    if not isinstance(tree, dict):
        raise RequestError(
            f"{path} is a {type(tree).__name__}, and a config is a mapping; write KEY: VALUE"
        )
    for key, value in strings(tree):
        if "${" in PLAIN.sub("", value):
            raise RequestError(
                f"{path} holds {_short(value)} at {key}; a config file may name other keys of the "
                "same config, as in "
                "${film.fps}, and nothing else, so write the value itself"
            )
        if re.search(r"\$\{\.*hydra\b", value):
            raise RequestError(
                f"{path} names a key of hydra at {key} ({_short(value)}); write the value itself"
            )
    for key in tree:
        if str(key).partition(".")[0].casefold() in EXECUTION_ONLY:
            raise _refused(path, str(key), f"{key}=VALUE")
    if "hydra" in tree:
        _check_hydra(path, tree["hydra"], groups)
    for key in tree:
        if key != "hydra" and re.split(r"[./@]", str(key))[0].strip("+~ ").casefold() == "hydra":
            raise _refused(path, str(key), "hydra.KEY=VALUE")
    if "defaults" in tree:
        _check_defaults(path, tree["defaults"])


def _check_hydra(path: Path, node: Any, groups: Collection[str]) -> None:
    """Allow ``hydra.mode`` and ``hydra.sweeper.params``."""
    if not isinstance(node, dict):
        raise _refused(path, "hydra", "hydra.KEY=VALUE")
    for key, value in node.items():
        if key == "mode" and value in ("RUN", "MULTIRUN"):
            continue
        if key != "sweeper" or not isinstance(value, dict):
            raise _refused(path, f"hydra.{key}", f"hydra.{key}=VALUE")
        for name, params in value.items():
            if name != "params" or not isinstance(params, (dict, type(None))):
                raise _refused(path, f"hydra.sweeper.{name}", f"hydra.sweeper.{name}=VALUE")
            for param, values in (params or {}).items():
                _check_param(path, str(param), values, groups)


def _check_param(path: Path, key: str, value: Any, groups: Collection[str]) -> None:
    """Refuse a sweep over anything but settings of the film.

    Hydra reads ``key=value`` as if the command line said it.
    """
    where = f"hydra.sweeper.params.{key}"
    match = re.fullmatch(r"[+~]{0,2}([\w/.-]+)(?:@([\w.:-]*))?", key)
    if match is None:
        raise RequestError(
            f"{path} sweeps over {_short(key)}, which is not a key; write GROUP or NODE.KEY"
        )
    name, package = match[1], match[2] or ""
    parts = [part.casefold() for part in re.split(r"[./:]", f"{name}.{package}")]
    roots = {re.split(r"[./]", name.strip("/"))[0].casefold(), _root(package)}
    if "hydra" in parts or roots & set(EXECUTION_ONLY):
        raise _refused(path, where, f"{name}=VALUE")
    if parts[-1] == "factory" or name.rpartition(".")[2].casefold() == "factory":
        raise _refused(path, where, f"{name}=VALUE", "it names code that would be run")
    texts = [text for _, text in strings({key: value})]
    if any("$" in text for text in texts):
        raise RequestError(f"{path} holds an interpolation at {where}; write the values themselves")
    for text in texts:
        _check_option_name(name, package, text, groups, str(path))


def _check_option_name(
    key: str, package: str, value: str, groups: Collection[str], source: str
) -> None:
    """Refuse an option of a group that lies outside of the config folders or is hidden."""
    if "." in key or not (key.split("/")[0] in groups or "/" in key or package):
        return
    if re.search(r"(?:^|[/\\,(\[\s'\"])\.", value):
        raise RequestError(
            f"{source} asks for {key}={_short(value)}, a file outside of the config folder; "
            "name an option by the name of its file, and add its folder with --config-dir"
        )


def _check_defaults(path: Path, entries: Any) -> None:
    """Refuse a defaults list that chooses, or loads into, what only the command line may set."""
    if not isinstance(entries, list):
        raise RequestError(f"the defaults in {path} must be a list, got {_short(entries)}")
    for entry in entries:
        choices = entry.items() if isinstance(entry, dict) else [(entry, None)]
        for key, value in choices:
            if not isinstance(key, str):
                raise RequestError(
                    f"the defaults in {path} hold {_short(entry)}; write GROUP: NAME"
                )
            *_, option = key.split() or [""]
            option, _, package = option.partition("@")
            for name in (option, *_values(path, entry, value)):
                if not OPTION.fullmatch(name):
                    raise RequestError(
                        f"{path} names {_short(name)} in its defaults, which is not the plain "
                        "name of an option; "
                        "name a file of the config folder without its ending"
                    )
            parts = [part.casefold() for part in option.strip("/").split("/")]
            if "hydra" in parts or parts[0] in EXECUTION_ONLY:
                raise _refused(path, f"defaults: {key}", f"{option.strip('/')}=NAME")
            for name in package.split(":"):
                _check_package(path, f"defaults: {key}", name)


def _values(path: Path, entry: Any, value: Any) -> list[str]:
    """The options that an entry of a defaults list names."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(name, str) for name in values):
        raise RequestError(f"the defaults in {path} hold {_short(entry)}; write GROUP: NAME")
    return values


def _check_package(path: Path, key: str, package: str) -> None:
    """Refuse a package that puts a file's settings under a node of the command line."""
    parts = [part.casefold() for part in re.split(r"[./:\s]+", package)]
    if "hydra" in parts or _root(package) in EXECUTION_ONLY or "$" in package:
        raise _refused(path, f"{key} {package}", "hydra.KEY=VALUE")


def _root(package: str) -> str:
    """The first node of a package."""
    names = [
        part.casefold()
        for part in package.strip().split(".")
        if part not in ("_global_", "_here_", "")
    ]
    return names[0] if names else ""


def _refused(
    path: Path, key: str, command: str, reason: str = "it decides what runs on this machine"
) -> RequestError:
    return RequestError(
        f"{path} sets {_short(key)}, and only the command line may, because {reason}; remove it "
        "there, and if you trust it "
        f"say: {quoted(command)} (of hydra, files may set hydra.mode and hydra.sweeper.params)"
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(one_line(text, 80))
