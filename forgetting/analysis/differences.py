"""The settings in which several configs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forgetting.analysis.words import Settings, distinct, in_words
from forgetting.parts import TARGET


def differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return for every config its settings for the keys in which the configs differ, in words.

    A part that differs is given by its label (``ordering`` is ``random``), a setting by its dotted
    key (``operator.softness`` is 0.1), and only for runs that have it. They are in the order of the
    configs' keys.
    """
    settings: list[dict[str, str]] = [{} for _ in configs]
    _collect_differences(configs, "", settings)
    return settings


def _collect_differences(
    nodes: Sequence[Any], key: str, settings: Sequence[dict[str, str]]
) -> None:
    """Add to ``settings`` in what nodes of several configs differ.

    Args:
        nodes: what each config holds below ``key``.
        key: dotted; empty for the whole config.
        settings: of each config.
    """
    if all(node == nodes[0] for node in nodes):
        return
    numbers_by_part: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        if isinstance(node, Mapping):
            numbers_by_part.setdefault(str(node.get(TARGET)), []).append(number)
    if len(numbers_by_part) > 1 or sum(map(len, numbers_by_part.values())) < len(nodes):
        # Settings of a part are compared below, so parts differ by their names alone.
        shown = [node.get(TARGET) if isinstance(node, Mapping) else node for node in nodes]
        words = distinct(shown, [in_words(node, key) for node in nodes])
        for own, value in zip(settings, words, strict=True):
            own[key] = value
    # Only configs with the same part have the same settings to differ in.
    for numbers in numbers_by_part.values():
        alike = [nodes[number] for number in numbers]
        for name in dict.fromkeys(name for node in alike for name in node if name != TARGET):
            _collect_differences(
                [node.get(name) for node in alike],
                f"{key}.{name}" if key else str(name),
                [settings[number] for number in numbers],
            )


def independent_keys(settings: Sequence[Settings], by_group: bool = False) -> list[str]:
    """Return the keys that divide runs in different ways; of equal divisions the first.

    Args:
        settings: of the runs.
        by_group: divisions are compared within a group alone, such as ``schedule``, and parts and
            seeds are always kept.
    """
    divisions: set[tuple[str, tuple[int, ...]]] = set()
    kept = []
    for key in dict.fromkeys(key for own in settings for key in own):
        if by_group and (key.endswith(".seed") or "." not in key):
            kept.append(key)
            continue
        values = [own.get(key) for own in settings]
        group = key.partition(".")[0] if by_group else ""
        division = group, tuple(values.index(value) for value in values)
        if division not in divisions:
            kept.append(key)
        divisions.add(division)
    return kept
