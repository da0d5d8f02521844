"""What a config may name, and how its parts are built: once, from a fixed table.

A config is a tree of plain values; a node with ``_target_`` is a part. Only the classes of ``PARTS`` can be built, so
a config from a stranger is no more than data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from forgetting import cluster
from forgetting.ablation import pacing, schedules
from forgetting.ablation.operators import bending, removal, spatial
from forgetting.ablation.orderings import attribution, basic, similarity
from forgetting.ablation.tracks import TrackSpec, add_ending
from forgetting.dreams import modes, objectives, sources
from forgetting.dreams.ascent import GradientAscent
from forgetting.engines.auto import AutoConfig
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError, unknown_name
from forgetting.film import settings as film
from forgetting.film.recipe import TARGET
from forgetting.models import classifier_zoo, generator_zoo, latents, noise
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.custom import CustomModule

PARTS: Mapping[str, type] = {
    f"{part.__module__}.{part.__qualname__}": part
    for part in (
        generator_zoo.NamedGenerator,
        CheckpointFile,
        CustomModule,
        latents.Seed,
        latents.Breathe,
        latents.Wander,
        latents.Drift,
        latents.Walk,
        noise.ConstantNoise,
        noise.AnimatedNoise,
        noise.NoNoise,
        basic.Random,
        basic.Together,
        similarity.Contagion,
        similarity.Cluster,
        attribution.Spatial,
        attribution.Semantic,
        attribution.Importance,
        basic.SequentialOrdering,
        basic.ScoreFile,
        basic.Layers,
        basic.Magnitude,
        basic.Activation,
        basic.Contribution,
        removal.Zero,
        removal.Level,
        removal.Prune,
        removal.Mean,
        removal.Average,
        bending.NoiseMap,
        bending.Freeze,
        bending.Swap,
        bending.Invert,
        bending.Amplify,
        bending.Saturate,
        bending.Quantise,
        bending.Binarise,
        spatial.Blur,
        spatial.Spectral,
        spatial.Shift,
        spatial.Scale,
        spatial.Rotate,
        spatial.Flip,
        spatial.Dilate,
        spatial.Erode,
        bending.Shuffle,
        bending.Leak,
        bending.Chained,
        schedules.Schedule,
        schedules.Linear,
        schedules.Never,
        schedules.Ease,
        schedules.Exponential,
        schedules.Sigmoid,
        schedules.Gompertz,
        schedules.Steps,
        schedules.Keyframes,
        schedules.Oscillator,
        schedules.Act,
        pacing.UnitPacing,
        pacing.Perceptual,
        film.FilmSettings,
        AutoConfig,
        OpenVINOConfig,
        TorchConfig,
        classifier_zoo.NamedClassifier,
        modes.Dive,
        modes.StaticImage,
        modes.VideoOverlay,
        sources.StaticNoise,
        sources.PlainColour,
        sources.Photograph,
        sources.GeneratedFace,
        sources.VideoSource,
        objectives.LayerSequence,
        objectives.Energy,
        objectives.ChannelMean,
        objectives.SingleUnit,
        objectives.Direction,
        objectives.ClassLogit,
        objectives.Guide,
        GradientAscent,
        cluster.Ray,
    )
}


GENERATORS = (generator_zoo.NamedGenerator, CheckpointFile, CustomModule)
"""Parts that make a generator."""


def build_part(node: Any, where: str = "config") -> Any:
    """Build a part, and the parts within it, from a config node.

    Raises:
        RequestError: a target outside of ``PARTS``, or a setting that the part does not have.
    """
    if isinstance(node, Mapping) and TARGET in node:
        target = str(node[TARGET])
        if target not in PARTS:
            raise unknown_name("part", target, PARTS, f"{where} may name")
        part, settings = PARTS[target], {key: value for key, value in node.items() if key != TARGET}
        fields = [field.name for field in dataclasses.fields(part)]
        for key in settings:
            if key not in fields:
                raise unknown_name(
                    "setting", f"{where}.{key}", [f"{where}.{field}" for field in fields]
                )
        return part(**{key: build_part(value, f"{where}.{key}") for key, value in settings.items()})
    if isinstance(node, list):
        return tuple(build_part(value, where) for value in node)
    return node


def track_specs(config: Mapping[str, Any], ending: str) -> tuple[TrackSpec, ...]:
    """What is to happen in a film that ends like that, track by track."""
    found = []
    for name, node in _tracks(config).items():
        where = f"tracks.{name}" if name else ""
        parts = {
            key: build_part(value, f"{where}.{key}" if where else key)
            for key, value in node.items()
        }
        check_type(
            parts.get("schedule"),
            node.get("schedule"),
            f"{where}.schedule".lstrip("."),
            schedules.Schedule,
        )
        found.append(TrackSpec(**parts, name=name))
    return tuple(add_ending(found, ending))


INTENT = ("units", "ordering", "operator", "schedule", "pacing")
"""Keys that make a track."""


def _tracks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of every track -> its nodes; what a track does not say is what the config itself says."""
    common = {key: config[key] for key in INTENT if key in config}
    tracks = config.get("tracks") or {"": {}}
    if not isinstance(tracks, Mapping):
        raise RequestError(
            f"tracks must be named, as in 'tracks: {{eyes: {{units: styles}}}}', got {tracks!r}"
        )
    found = {}
    for name, node in tracks.items():
        if not isinstance(node, Mapping) or "/" in str(name):
            raise RequestError(
                f"the track {name!r} must be a name without slashes and settings, got {node!r}"
            )
        for key in node:
            if key not in INTENT:
                raise unknown_name(
                    "setting",
                    f"tracks.{name}.{key}",
                    [f"tracks.{name}.{field}" for field in INTENT],
                )
        # A part that is not named again is the common one with some settings changed.
        changed = {
            key: {**common[key], **value}
            if isinstance(value, Mapping)
            and TARGET not in value
            and isinstance(common.get(key), Mapping)
            else value
            for key, value in node.items()
        }
        found[str(name)] = common | changed
    return found


def check_type(part: Any, node: Any, key: str, *kinds: type) -> None:
    if not isinstance(part, kinds):
        names = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        raise RequestError(f"config key {key!r} must be a {names}, got {node!r}")


def require_code_consent(config: Mapping[str, Any], said: Iterable[str]) -> None:
    """Refuse a config that would run somebody's code, unless that very code was named in what the user ``said``.

    Experiments, plans and begun films may be a stranger's; everything else in them is data.
    """
    for key, factory in _factories(config):
        if f"{key}={factory}" not in said:
            raise RequestError(
                f"this asks to run code, {factory!r}; if you trust it, say the command that began it again: "
                f"forgetting {'dream' if 'dream' in config else 'render'} ... {key}={factory} hydra.run.dir=FOLDER"
            )


def _factories(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Where a config names code, and which."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            under = f"{where}.{key}" if where else str(key)
            if key == "factory" and value:
                yield under, value
            yield from _factories(value, under)
    elif isinstance(node, list):
        for value in node:
            yield from _factories(value, where)
