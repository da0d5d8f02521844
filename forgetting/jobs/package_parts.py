"""Parts of other packages as options of config groups; they need no YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.core.config_store import ConfigStore

from forgetting.parts import TARGET, find_part, package_of, package_parts, part_fields


def register_package_parts(arguments: Iterable[str] = ()) -> None:
    """Add the option ``GROUP=PACKAGE.NAME`` for every part that installed packages bring.

    A part that the command line chooses is imported, and its option has the settings of its
    dataclass. Nothing else is imported: an option that a file names holds the part's name alone.

    Args:
        arguments: of the command line.

    Raises:
        RequestError: a part that is named is not a dataclass.
    """
    store = ConfigStore.instance()
    chosen = {  # a sweep chooses several options, separated by commas
        (group, option)
        for group, _, options in (argument.partition("=") for argument in arguments)
        for option in options.split(",")
    }
    for name, _ in package_parts():
        group, _, option = name.partition("/")
        node: dict[str, Any] = {TARGET: name}
        if (group, option) in chosen:
            cls = find_part(name, group, {str(package_of(name))})
            node |= {field.name: field.default for field in part_fields(cls)}
        store.store(group=group, name=option, node=node, provider="forgetting")
