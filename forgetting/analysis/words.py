"""Values and settings of configs in plain words.

A config may come from a stranger, so words hold no paths, no Python and no control characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from forgetting.film import input_files
from forgetting.film.recipe import EXPERIMENT
from forgetting.parts import TARGET, part_label

LONGEST = 40
"""The most characters of a value."""

SHOWN = 4
"""The most entries of a list; the others are counted."""

Settings = Mapping[str, str]
"""Dotted key of a setting -> its value in words."""


def in_words(value: Any, key: str = "") -> str:
    """Return a value of a config in words: ``random``, ``3, 23 and 41``, ``3 acts``, ``none``.

    Args:
        value: of a stranger's config.
        key: the dotted key that holds it, which names the entries of a list.
    """
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case Mapping():
            return in_words(part_label(value[TARGET])) if TARGET in value else "set"
        case list() | tuple():
            if any(isinstance(entry, (Mapping, list, tuple)) for entry in value):
                return f"{len(value)} {in_words(key.rpartition('.')[2]) or 'entries'}"
            words = [in_words(entry) for entry in value[: SHOWN + 1]]
            if len(value) > SHOWN + 1:
                words[SHOWN:] = [f"{len(value) - SHOWN} more"]
            return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
    text = re.split(r"[\\/]", str(value).rstrip("\\/"))[-1].replace("_", " ")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def distinct(values: Sequence[Any], words: Sequence[str] | None = None) -> list[str]:
    """Return the words of some values; different values have different words."""
    words = [in_words(value) for value in values] if words is None else words
    alike: dict[str, list[Any]] = {}
    distinct = []
    for value, text in zip(values, words, strict=True):
        others = alike.setdefault(text, [])
        if value not in others:
            others.append(value)
        number = others.index(value) + 1
        distinct.append(text if number == 1 else f"{text} ({number})")
    return distinct


ALONE = (
    "ordering", "operator", "schedule", "generator", "latent", "source", "classifier", "dream",
    "objective", "curve", EXPERIMENT, "layout", "format",
)  # fmt: skip
"""Keys whose values need no name beside them."""

SILENT = (("latent", "seed"), ("film.layout", "face"))
"""Settings that go without saying."""

UNITS = {"film.duration": "s", "film.fps": "fps"}
"""Settings whose values are followed by a unit, in place of their names."""


def phrases(settings: Settings) -> str:
    """Return settings as a phrase, such as ``random``, ``seed 3`` or ``softness 0.1, seed 3``."""
    labels = key_labels(settings)
    return joined([_phrase(key, value, labels[key]) for key, value in settings.items()])


def _phrase(key: str, value: str, label: str) -> str:
    last = key.rpartition(".")[2]
    if value == "none" or (key, value) in SILENT:
        return ""
    if value in ("yes", "no"):
        return label if value == "yes" else f"no {label}"
    if key in UNITS:
        return f"{value} {UNITS[key]}"
    alone = last in (*ALONE, "name", *input_files.FILES) or value.endswith(f" {label}")
    return value if alone else f"{label} {value}"


def key_labels(keys: Sequence[str] | Settings) -> dict[str, str]:
    """Return dotted key -> its name in words: ``seed``, and ``ordering seed`` beside it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    last |= {
        key: key.rpartition(".")[0].rpartition(".")[2]
        for key in keys
        if "." in key and last[key] in ("name", *input_files.FILES)
    }
    repeated = Counter(last.values())
    labels = {}
    for key in keys:
        group, label = key.partition(".")[0], last[key]
        several = repeated[label] > 1 and group not in (label, "latent")
        labels[key] = in_words(f"{group} {label}" if several else label)
    return dict(zip(labels, distinct(list(labels), list(labels.values())), strict=True))


def joined(words: Sequence[str]) -> str:
    """Return words separated by commas, without those that are empty."""
    return ", ".join(word for word in words if word)


def natural_order(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts seed 10 after seed 9."""
    words = text.replace(",", " ").split()
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
