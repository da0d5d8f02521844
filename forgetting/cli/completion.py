"""Shell completion of settings: config groups, their options, and keys."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from forgetting.jobs.config_groups import group_options, groups_of

VERBS = {"dream": "dream"}


def complete_override(
    context: typer.Context, args: list[str], incomplete: str
) -> list[tuple[str, str]]:
    """Return the words that complete ``incomplete``, each with its help.

    Shells differ in whether ``ordering=ra`` is one word: bash hands over ``ordering``, ``=`` and
    ``ra``.
    """
    verb = VERBS.get(str(context.info_name), "render")
    if incomplete == "=" and args:
        group, start, prefix = args[-1], "", ""
    elif args and args[-1] == "=":
        group, start, prefix = (args[-2] if len(args) > 1 else ""), incomplete, ""
    elif "=" in incomplete:
        group, _, start = incomplete.partition("=")
        prefix = f"{group}="
    else:
        return [word for word in _keys(verb) if word[0].startswith(incomplete)]
    if group not in groups_of(verb):
        return []
    return [
        (f"{prefix}{option.name}", option.description)
        for option in group_options(group, verb)
        if option.name.startswith(start)
    ]


def _keys(verb: str) -> Iterator[tuple[str, str]]:
    """Yield every group and every setting of its options as the beginning of an override."""
    seen = set[str]()
    for group, description in groups_of(verb).items():
        yield f"{group}=", description
        for option in group_options(group, verb):
            for key, _, comment in option.settings:
                if key not in seen:
                    seen.add(key)
                    yield f"{key}=", comment
