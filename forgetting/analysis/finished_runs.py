"""The finished runs below a folder, and what they differ in.

What differs is told in the words of the config: a part that is another one by its name (``ordering`` is ``random``), a setting by its
dotted key (``operator.softness`` is 0.1), and only among those who have it. ``latent``, ``generator`` and ``noise`` are the **face**;
the ``seed`` of anything else is a repetition; all other settings are the **strategy**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting import files
from forgetting.analysis.curve import figures
from forgetting.analysis.measure import SUMMARY
from forgetting.errors import ForgettingError, RequestError
from forgetting.film.recipe import EXECUTION_KEYS, TARGET, part_label
from forgetting.film.segments import SegmentStore
from forgetting.jobs import run

FACE = ("latent", "generator", "noise", "source", "classifier")
"""The nodes of a config that say whose picture is forgotten."""


@dataclass(frozen=True)
class FinishedRun:
    """A run: its ``folder``, its ``film`` and how that is written, its config, what was measured of it, and of its settings those
    that vary here."""

    folder: Path
    name: str
    film: Path
    store: SegmentStore
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def figures(self) -> dict[str, float]:
        return figures(self.summary)

    @property
    def seconds(self) -> float:
        """How long the film takes."""
        return self.store.count / self.store.film.rate

    @property
    def face(self) -> str:
        return _told(self._of_face()) or "one face"

    @property
    def strategy(self) -> str:
        return (
            _told({key: value for key, value in self._other().items() if not key.endswith(".seed")})
            or "one strategy"
        )

    @property
    def title(self) -> str:
        return _told(self._other() | self._of_face()) or self.name

    def _of_face(self) -> dict[str, str]:
        return {key: value for key, value in self.settings.items() if key.partition(".")[0] in FACE}

    def _other(self) -> dict[str, str]:
        return {
            key: value for key, value in self.settings.items() if key.partition(".")[0] not in FACE
        }


def finished_runs(folder: Path) -> list[FinishedRun]:
    """All finished runs in a folder and in the folders below it, by strategy and face.

    Raises:
        RequestError: there are none.
    """
    found = []
    for path in sorted(folder.rglob("recipe.yaml")):
        try:
            begun = run.read_run(path.parent)
        except ForgettingError:  # somebody else's recipe
            continue
        if begun.film is not None:
            found.append((path.parent, begun.film, begun.store, begun.config))
    if not found:
        raise RequestError(
            f"there is no finished film in {folder}; forgetting render -m hydra.sweep.dir={folder} makes some"
        )
    runs = []
    for (path, film, store, config), settings in zip(
        found, differences([config for *_, config in found]), strict=True
    ):
        name = "-".join(path.relative_to(folder).parts) or path.resolve().name
        runs.append(
            FinishedRun(path, name, film, store, config, files.read_json(path / SUMMARY), settings)
        )
    return sorted(
        runs, key=lambda one: [_order(value) for value in (one.strategy, one.face, one.name)]
    )


def differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What every config says of the keys in which they differ, in the order of the configs' keys."""
    found: list[dict[str, str]] = [{} for _ in configs]
    _differ(
        [
            {key: value for key, value in config.items() if key not in (*EXECUTION_KEYS, "plan")}
            for config in configs
        ],
        "",
        found,
    )
    return found


def _differ(nodes: Sequence[Any], where: str, found: Sequence[dict[str, str]]) -> None:
    """Tell of each of the ``nodes``, which stand in the same place, in what it is unlike the others."""
    if all(node == nodes[0] for node in nodes):
        return
    parts: dict[str, list[int]] = {}
    for place, node in enumerate(nodes):
        if isinstance(node, Mapping):
            parts.setdefault(str(node.get(TARGET)), []).append(place)
    if len(parts) > 1 or sum(map(len, parts.values())) < len(nodes):
        for node, told in zip(nodes, found, strict=True):
            told[where] = (
                part_label(node.get(TARGET, "set")) if isinstance(node, Mapping) else str(node)
            )
    for places in parts.values():  # who is the same part has the same settings to differ in
        theirs = [nodes[place] for place in places]
        for key in dict.fromkeys(key for node in theirs for key in node if key != TARGET):
            under = f"{where}.{key}" if where else str(key)
            _differ([node.get(key) for node in theirs], under, [found[place] for place in places])


def _told(settings: Mapping[str, str]) -> str:
    """``random``, ``seed 3``, ``softness 0.1, seed 3``."""
    names = {key: key.rpartition(".")[2] for key in settings}
    return ", ".join(
        value if "." not in key or names[key] == "name" else f"{names[key]} {value}"
        for key, value in settings.items()
    )


def _order(text: str) -> list[tuple[int, str]]:
    """So that seed 10 comes behind seed 9."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in text.split()]
