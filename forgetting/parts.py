"""The registry of parts: public names such as ``ordering/random``, and the classes behind them.

Configs, recipes, plans and hashes name parts by these names and never by module paths. A part is a
frozen dataclass with the decorator :func:`part`. Only the module of a part that is named is
imported.

Packages can bring parts of their own through the entry point group ``forgetting.parts``: an entry
point ``ordering/greenest`` of the distribution ``my-parts`` is the part
``ordering/my_parts.greenest``. A name with a dot always belongs to a package, so no package can
replace a part of ours.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from forgetting.errors import RequestError, unknown_name
from forgetting.printable import quoted

C = TypeVar("C", bound=type)

TARGET = "_target_"
"""The key of a config node that names its part."""

ENTRY_POINTS = "forgetting.parts"
"""The group of entry points through which packages bring parts."""

_PACKAGE = Path(__file__).parent
_DECORATED = re.compile(r'^@part\("([a-z_]+/[a-z_0-9]+)"\)', re.MULTILINE)


@cache
def part_modules() -> dict[str, str]:
    """Return the module of every part of ours by the part's name.

    The decorators are read off the source files, so that adding a part touches no other file and
    looking one up imports no other module.
    """
    modules = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        for name in _DECORATED.findall(path.read_text(encoding="utf-8")):
            parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
            modules[name] = ".".join(parts)
    return modules


_CLASSES: dict[str, type] = {}


def part(name: str) -> Callable[[C], C]:
    """Register the decorated class under a public name, ``GROUP/NAME``."""

    def register(cls: C) -> C:
        _CLASSES[name] = cls
        return cls

    return register


def find_part(name: str, where: str = "config", trusted: Collection[str] = ()) -> type:
    """Return the class of a part; its module is imported if it has not been yet.

    Args:
        name: the public name, such as ``ordering/random`` or ``ordering/my_parts.greenest``.
        where: the config key that names it, for the message.
        trusted: packages whose parts may be imported.

    Raises:
        RequestError: there is no such part, or its package is not trusted.
    """
    modules = part_modules()
    if name in modules:
        importlib.import_module(modules[name])
        return _CLASSES[name]
    if (package := package_of(name)) is None:
        groups = (name.partition("/")[0], where.rpartition(".")[2])
        candidates = [known for known in modules if known.partition("/")[0] in groups]
        raise unknown_name("part", name, candidates or list(modules), f"{where} may name")
    entry = next((entry for known, entry in package_parts() if known == name), None)
    if entry is None:
        raise unknown_name("part", name, [known for known, _ in package_parts()], "installed are")
    if package not in trusted:
        raise RequestError(
            f"{where} names {name}, which runs code of the package {package}; "
            f"if you trust it, add {quoted(f'trust={package}')} to the command line"
        )
    cls = entry.load()
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise RequestError(f"the part {name} must be a dataclass, got {cls!r}; ask its author")
    return cls


def package_of(name: str) -> str | None:
    """Return the package that a part's name belongs to, or None for a part of ours."""
    _, _, own = name.partition("/")
    package, dot, _ = own.partition(".")
    return package if dot else None


def package_parts() -> Iterator[tuple[str, EntryPoint]]:
    """Yield name and entry point of every part that installed packages bring; imports nothing."""
    for entry in entry_points(group=ENTRY_POINTS):
        group, slash, own = entry.name.partition("/")
        if slash and own and entry.dist is not None:
            # A dot in it would end the package's name, and `trust` would trust another package.
            package = re.sub(r"[-_.]+", "_", entry.dist.name).lower()
            yield f"{group}/{package}.{own}", entry


def part_label(name: Any) -> str:
    """Return what people call a part: ``random`` for ``ordering/random``."""
    return str(name).rpartition("/")[2]


@dataclass(frozen=True)
class Field:
    """A setting of a part: its name and its default, as a config holds it."""

    name: str
    default: Any


def part_fields(cls: type) -> list[Field]:
    """Return the settings of a part in their order; a setting without a default has None."""
    fields = []
    for field in dataclasses.fields(cls):
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields.append(Field(field.name, None if default is dataclasses.MISSING else default))
    return fields
