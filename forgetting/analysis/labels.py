"""Words for runs: their titles, and the strategy and the face in which they differ.

The keys in ``FACE`` describe the **face**. A ``seed`` of anything else is a repetition. All other
settings on which the network's pictures depend are the **strategy**. How a film presents these
pictures belongs to neither.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forgetting.analysis.differences import differences, independent_keys
from forgetting.analysis.words import Settings, distinct, in_words, joined, phrases
from forgetting.film import input_files
from forgetting.film.recipe import EXECUTION_KEYS, EXPERIMENT

FACE = ("latent", "generator", "noise", "source", "classifier")
"""The keys of a config that describe whose picture is forgotten."""

PICTURE_SETTINGS = ("fps", "duration", "ending", "grid")
"""Settings of ``film`` on which the network's pictures depend; all others are presentation."""

TITLED = ("ending", "grid")
"""Those of them that a title names."""


@dataclass(frozen=True)
class RunLabels:
    """How a run is called among the runs that it is compared with.

    Args:
        title: the name of its experiment and what differs, such as ``homage, seed 23``.
        strategy: how the network forgets.
        face: whose picture is forgotten.
        settings: in which the runs differ and on which the network's pictures depend.
        presentation: other settings of the film in which the runs differ.
    """

    title: str
    strategy: str = "one strategy"
    face: str = "one face"
    settings: Settings = field(default_factory=dict)
    presentation: Settings = field(default_factory=dict)


def label_runs(configs: Sequence[Mapping[str, Any]]) -> list[RunLabels]:
    """Return the labels of runs that are compared, by the configs in their recipes."""
    configs = _without_paths(configs)
    names = [experiment_words(config) for config in configs]
    settings = differences([_pictures(config, PICTURE_SETTINGS) for config in configs])
    presentation = differences([{"film": _presentation(config)} for config in configs])
    if len(set(names)) > 1:
        settings = [
            ({EXPERIMENT: name} if name else {}) | own
            for name, own in zip(names, settings, strict=True)
        ]
    strategies = _strategy_labels(configs, names, settings)
    titles = _titles(configs, names, presentation)
    return [
        RunLabels(title, strategy, phrases(_of_face(own)) or "one face", own, shown)
        for title, strategy, own, shown in zip(
            titles, strategies, settings, presentation, strict=True
        )
    ]


def _pictures(config: Mapping[str, Any], film_settings: Sequence[str]) -> dict[str, Any]:
    """Return what the network's pictures depend on; of ``film`` only some settings."""
    left_out = (*EXECUTION_KEYS, "plan", EXPERIMENT)
    film = config.get("film")
    film = film if isinstance(film, Mapping) else {}
    return {key: value for key, value in config.items() if key not in left_out} | {
        "film": {key: film[key] for key in film_settings if key in film}
    }


def _presentation(config: Mapping[str, Any]) -> dict[str, Any]:
    film = config.get("film")
    film = film if isinstance(film, Mapping) else {}
    return {key: value for key, value in film.items() if key not in TITLED}


def _without_paths(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the configs with names in place of paths; different files have different names."""
    copies = [copy.deepcopy(dict(config)) for config in configs]
    references = [item for config in copies for item in input_files.references(config)]
    names = distinct([node[key] for _, node, key in references])
    for (_, node, key), name in zip(references, names, strict=True):
        node[key] = name
    return copies


def experiment_words(config: Mapping[str, Any]) -> str:
    """Return the name of the experiment that a config records; empty if it records none."""
    name = config.get(EXPERIMENT)
    return in_words(name.rpartition("/")[2]) if isinstance(name, str) else ""


def _kind_unless_said(config: Mapping[str, Any], settings: Settings) -> str:
    """Return what a film without an experiment is called by: its dream, or its ordering.

    Empty if the settings beside it say so.
    """
    key = "dream" if "dream" in config else "ordering"
    return "" if key in settings else in_words(config.get(key) or "film")


def _strategy_labels(
    configs: Sequence[Mapping[str, Any]], names: Sequence[str], settings: Sequence[Settings]
) -> list[str]:
    """Return the label of every run's strategy: equal settings have equal labels.

    Where the runs belong to several experiments, a label is the experiment's name and what differs
    within it, because everything that an experiment sets is said by its name.
    """
    within = _by_name(names, [_pictures(config, PICTURE_SETTINGS) for config in configs])
    several = len(set(names)) > 1
    keys = [
        tuple((key, value) for key, value in _unseeded(own).items() if key != EXPERIMENT)
        for own in settings
    ]
    labels: dict[tuple[tuple[str, str], ...], str] = {}
    for key, config, name, own in zip(keys, configs, names, within, strict=True):
        first = (name or _kind_unless_said(config, own)) if several else ""
        labels.setdefault(key, joined([first, phrases(_unseeded(own))]) or "one strategy")
    labels = dict(zip(labels, distinct(list(labels), list(labels.values())), strict=True))
    return [labels[key] for key in keys]


def _titles(
    configs: Sequence[Mapping[str, Any]], names: Sequence[str], presentation: Sequence[Settings]
) -> list[str]:
    """Return the titles of all runs; no two are equal."""
    own = _by_name(names, [_pictures(config, TITLED) for config in configs])
    titles = []
    for config, name, local in zip(configs, names, own, strict=True):
        strategy = {key: value for key, value in local.items() if not _is_face(key)}
        face = _of_face(local) | _seed(config)
        first = name or _kind_unless_said(config, local)
        titles.append(joined([first, phrases(strategy | face)]) or "film")
    repeated = Counter(titles)
    # What presents the same pictures differently is named only where titles would be equal.
    detailed = [
        joined([title, phrases(shown)]) if repeated[title] > 1 else title
        for title, shown in zip(titles, presentation, strict=True)
    ]
    return distinct(list(range(len(detailed))), detailed)


def _seed(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the seed of a face, which every title names."""
    latent = config.get("latent")
    if not isinstance(latent, Mapping) or latent.get("seed") is None or latent.get("seeds"):
        return {}
    return {"latent.seed": in_words(latent["seed"])}


def _by_name(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return for every config in what it differs from those with the same name.

    Of settings of a part that divide these in the same way, only the first is kept.
    """
    settings: list[dict[str, str]] = [{} for _ in configs]
    for name in dict.fromkeys(names):
        numbers = [number for number, other in enumerate(names) if other == name]
        alike = differences([configs[number] for number in numbers])
        kept = independent_keys(alike, by_group=True)
        for number, own in zip(numbers, alike, strict=True):
            settings[number] = {key: value for key, value in own.items() if key in kept}
    return settings


def _is_face(key: str) -> bool:
    return key.partition(".")[0] in FACE


def _of_face(settings: Settings) -> dict[str, str]:
    return {key: value for key, value in settings.items() if _is_face(key)}


def _unseeded(settings: Settings) -> dict[str, str]:
    """Return the settings of the strategy, without seeds, which only repeat it."""
    return {
        key: value
        for key, value in settings.items()
        if not _is_face(key) and not key.endswith(".seed")
    }
