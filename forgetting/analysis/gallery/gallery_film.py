"""A film of a gallery: its files, and the data of its page and of the wall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from forgetting.ablation.plan import Plan
from forgetting.analysis.curve import censored_figures
from forgetting.analysis.finished_runs import FinishedRun
from forgetting.analysis.metrics.registry import known_metrics
from forgetting.analysis.words import in_words
from forgetting.film import recipe as recipes
from forgetting.parts import TARGET

WALL = 360
"""Height of the films on the wall; of higher films the wall shows smaller copies."""

POINTS = 240
"""Number of frames for which a film's page holds the ablation of every layer."""

SHARES = 2400
"""The most frames for which it holds the share of ablated units; of longer films, a selection."""


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
    def lead(self) -> int:
        """The frames of the film before frame 0 of its plan."""
        return self.run.store.film.title_frames

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
        return any(self.timeline["shares"])

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

    @property
    def differences(self) -> dict[str, str]:
        """The settings in which it differs from other films, in words."""
        return {**self.run.labels.settings, **self.run.labels.presentation}

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
            "frames": self.run.store.film.file_frames,
            "lead": self.lead,
            "figures": self.figures,
            "censored": sorted(self.censored),
            "settings": dict(_settings(self.recipe["config"])) | self.differences,
        }

    @cached_property
    def timeline(self) -> dict[str, Any]:
        """The data of the film's page, as JSON values: its plan by frames, its curve by seconds."""
        film = self.run.store.film
        positions = _spread(len(film.indices), POINTS)
        rows = [self.plan.ablation_by_layer(film.indices[position]) for position in positions]
        shares = [
            self.plan.ablated_share(film.indices[position])
            for position in _spread(len(film.indices), SHARES)
        ]
        timeline: dict[str, Any] = {
            # By frame and not by seconds, because rounded seconds would miss a frame.
            "positions": positions,
            "shares": [round(share, 5) for share in shares],
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


def _spread(frames: int, most: int) -> list[int]:
    """Return the positions of all frames, or of ``most`` of them, spread evenly."""
    return sorted({round(position) for position in np.linspace(0, frames - 1, min(most, frames))})


def _settings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting of a config by its dotted key, in words; parts by their labels."""
    if isinstance(node, Mapping):
        if key and TARGET in node:
            yield key, in_words(node)
        for name, value in node.items():
            if name != TARGET:
                yield from _settings(value, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, in_words(node, key)
