"""Shell completion of settings: config groups, their options, and keys."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten

import typer

from forgetting.jobs.config_groups import group_options, groups_of, root_settings

HELP_WIDTH = 76
"""Columns of a description; Typer would wrap longer ones, and fish takes every line as a word."""


def complete_override(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the words that complete ``incomplete``, each with its help.

    Shells differ in whether ``ordering=ra`` is one word. Bash hands over ``ordering``, ``=`` and
    ``ra``, and of a last word ``=`` the parser makes an empty one.
    """
    verb = "dream" if context.info_name == "dream" else "render"
    groups, before = groups_of(verb), list(context.params.get("arguments") or ())
    if before and before[-1] in groups and not incomplete:
        group, start, prefix = before[-1], "", ""
    elif before[1:] and before[-1] == "=":
        group, start, prefix = before[-2], incomplete, ""
    elif "=" in incomplete:
        group, _, start = incomplete.partition("=")
        prefix = f"{group}="
    else:
        return [(key, _short(text)) for key, text in _keys(verb) if key.startswith(incomplete)]
    options = group_options(group, verb, nested=True) if group in groups else []
    return [
        (f"{prefix}{option.name}", _short(option.description))
        for option in options
        if option.name.startswith(start)
    ]


def _short(text: str) -> str:
    return shorten(text, HELP_WIDTH, placeholder="...")


def _keys(verb: str) -> Iterator[tuple[str, str]]:
    """Yield every group and every setting as the beginning of an override."""
    settings = [*root_settings(verb)]
    for group, description in groups_of(verb).items():
        yield f"{group}=", description
        for option in group_options(group, verb):
            settings += option.settings
    seen = set[str]()
    for setting in settings:
        if setting.key not in seen:
            seen.add(setting.key)
            yield f"{setting.key}=", setting.comment
