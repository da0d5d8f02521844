"""A film of a gallery: its files, and the data of its page and of the wall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from forgetting.ablation.plan import Plan, share_of_units
from forgetting.analysis.curve import censored_figures
from forgetting.analysis.finished_runs import FinishedRun
from forgetting.analysis.metrics.registry import known_metrics
from forgetting.film import recipe as recipes
from forgetting.parts import TARGET, part_label

WALL = 360
"""Height of the films on the wall; of higher films the wall shows smaller copies."""

POINTS = 240
"""Number of frames for which a film's page holds the ablation of every layer."""


@dataclass(frozen=True)
class GalleryFilm:
    """A film in the gallery."""

    run: FinishedRun

    @property
    def plan(self) -> Plan:
        """The plan of the film."""
        return self.run.state.plan

    @property
    def key(self) -> str:
        """The key of the film's segments: equal keys mean equal films."""
        return self.run.store.folder.name

    @property
    def title(self) -> str:
        """The title of the run."""
        return self.run.title

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, both even, as H.264 needs them."""
        height, width = self.run.store.shape
        return width + width % 2, height + height % 2

    @property
    def film(self) -> str:
        """The name of the film's file."""
        film = self.run.store.film
        return film.name if film.file_format.plays_in_browsers else "film.mp4"

    @property
    def wall(self) -> str:
        """The name of the file that the wall plays."""
        return "wall.mp4" if self.size[1] > WALL else self.film

    @property
    def verb(self) -> str:
        """The verb of the command line that makes such films."""
        return recipes.verb_of(self.run.config)

    @property
    def has_ablation(self) -> bool:
        """Whether any unit is ever ablated; in most dreams none is."""
        return any(self.timeline["ablated"])

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The recipe, without the paths of its files."""
        return recipes.public_recipe(self.run.state.recipe)

    @property
    def yaml(self) -> str:
        """The recipe as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.recipe))

    @property
    def figures(self) -> dict[str, float]:
        """The figures of the run."""
        return self.run.figures

    @property
    def censored(self) -> set[str]:
        """The names of figures that the film ended before."""
        return censored_figures(self.run.summary)

    def wall_data(self) -> dict[str, Any]:
        """Return the data of the film for the wall, as JSON values."""
        width, height = self.size
        return {
            "key": self.key,
            "title": self.title,
            "film": self.film,
            "wall": self.wall,
            "width": width,
            "height": height,
            "rate": self.run.store.film.rate,
            "frames": self.run.store.count,
            "figures": self.figures,
            "censored": sorted(self.censored),
            "settings": dict(_settings(self.recipe["config"])) | dict(self.run.settings),
        }

    @cached_property
    def timeline(self) -> dict[str, Any]:
        """The data of the film's page, as JSON values: its plan and curve over seconds of film."""
        film = self.run.store.film
        last = len(film.indices) - 1
        samples = np.linspace(0, last, min(POINTS, len(film.indices)))
        positions = sorted({round(position) for position in samples})
        rows = [self.plan.ablation_by_layer(film.indices[position]) for position in positions]
        timeline: dict[str, Any] = {
            "seconds": [round(position / film.rate, 4) for position in positions],
            "ablated": [round(share_of_units(row), 5) for row in rows],
            "layers": {
                name: [round(float(row[name].mean()), 3) for row in rows] for name in rows[0]
            },
            "curve": {},
            "metrics": {},
        }
        if (curve := self.run.curve) is not None:
            timeline["measured"] = [round(float(second), 4) for second in curve.seconds]
            timeline["curve"] = {
                name: [round(float(value), 4) if np.isfinite(value) else None for value in values]
                for name, values in curve.columns.items()
            }
            timeline["metrics"] = {
                name: {
                    "label": metric.label,
                    "colour": metric.colour_on_black,
                    "distance": metric.is_distance,
                }
                for name, metric in known_metrics(curve.columns).items()
                if metric.colour_on_black is not None
            }
        return timeline


def _settings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting of a config by its dotted key; parts by their labels."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == TARGET:
                yield from _settings(part_label(value), key)
            else:
                yield from _settings(value, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, str(node)
