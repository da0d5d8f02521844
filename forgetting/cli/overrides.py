"""Values as a shell passes them, quoted where Hydra's grammar needs it.

A value of a setting that holds text (a title, a path, a name) is that text, whatever characters it
has. Three things keep their meaning: ``null``; a value that is in quotes as a whole, which are
Hydra's; and ``${KEY}``, which names another setting. In a sweep, commas separate values.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from forgetting.parts import find_part, part_modules

_KEY = re.compile(r"[+~]{0,2}[\w./-]+(?:@[\w.:-]*)?")

ROOT_TEXTS = ("plan", "recipe")
"""Root keys that hold text."""

HYDRA_TEXTS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name")
"""Keys of Hydra that hold text."""


def quote_override(override: str, sweep: bool = False) -> str:
    r"""Quote the value of ``key=value`` for Hydra's grammar where it needs it.

    Args:
        override: as the shell passed it.
        sweep: whether commas separate the values of a sweep.

    >>> quote_override("film.size=256")
    'film.size=256'
    >>> quote_override("film.title=Don't forget")
    "film.title='Don\\'t forget'"
    """
    key, equals, value = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        return override
    parsed = _parse(override)
    if not _is_text(key.lstrip("+~").partition("@")[0]):
        return override if parsed is not None else _quoted(key, value, sweep)
    if value in ("", "null") or (parsed is not None and _holds_only_text(parsed, sweep)):
        return override
    return _quoted(key, value, sweep)


def _parse(override: str) -> Override | None:
    """Return what Hydra reads, or None where its grammar refuses it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _holds_only_text(parsed: Override, sweep: bool) -> bool:
    """Return whether Hydra reads text alone, and the text that was written."""
    if not parsed.is_sweep_override():
        return isinstance(parsed._value, QuotedString)
    if not sweep:
        return False
    if not parsed.is_choice_sweep():
        return True
    values = parsed.value().list  # type: ignore[union-attr]
    plain = all(value is None or isinstance(value, (str, QuotedString)) for value in values)
    return plain or any(isinstance(value, QuotedString) for value in values)


def _quoted(key: str, value: str, sweep: bool) -> str:
    values = value.split(",") if sweep else [value]
    return f"{key}={','.join(_quote(piece.strip() if sweep else piece) for piece in values)}"


def _quote(text: str) -> str:
    """Return the text in quotes; backslashes before a quote are doubled, as Hydra wants it."""
    if text == "null" or (text[:1] in ("'", '"') and _is_quoted(text)):
        return text
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    escaped = re.sub(r"(\\+)$", lambda match: match[1] * 2, escaped)
    return f"'{escaped}'"


def _is_quoted(text: str) -> bool:
    parsed = _parse(f"key={text}")
    return (
        parsed is not None
        and not parsed.is_sweep_override()
        and isinstance(parsed._value, QuotedString)
    )


def _is_text(key: str) -> bool:
    """Return whether a dotted key holds text, by the types of the parts that it can belong to."""
    *nodes, name = key.split(".")
    if not nodes:
        return name in ROOT_TEXTS
    if nodes[0] == "hydra":
        return key in HYDRA_TEXTS
    groups = {part.partition("/")[0] for part in part_modules()}
    # objectives.NAME.layer belongs to an objective, tracks.NAME.ordering.path to an ordering.
    known = [group for node in nodes for group in (node, node.removesuffix("s")) if group in groups]
    return bool(known) and name in _texts(known[-1])


@cache
def _texts(group: str) -> frozenset[str]:
    """Return the settings of a group's parts that hold text and nothing else."""
    types: dict[str, set[Any]] = {}
    for part in part_modules():
        if part.partition("/")[0] == group:
            for field in dataclasses.fields(find_part(part)):
                types.setdefault(field.name, set()).add(field.type)
    return frozenset(name for name, kinds in types.items() if kinds <= {"str", "str | None"})
