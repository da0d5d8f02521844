"""The config root: builds the parts once.

A config is a tree of plain values; a node with ``_target_`` is a part. Only the classes of ``PARTS`` can be built, so
a config from a stranger is no more than data.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forgetting import (
    bends,
    diagnosis,
    encoder,
    film,
    filters,
    intent,
    latents,
    likeness,
    noise,
    operators,
    orderings,
    pacing,
    schedules,
    sheet,
    zoo,
)
from forgetting import plan as plans
from forgetting import recipe as recipes
from forgetting.checkpoints.file import File
from forgetting.engines import Engine, Starter
from forgetting.engines.auto import Auto
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, unknown
from forgetting.generators import Generator
from forgetting.generators.around import Whole
from forgetting.generators.factory import Module
from forgetting.intent import Intent, ended
from forgetting.layout import Layout
from forgetting.plan import Plan
from forgetting.render import Stage
from forgetting.scene import Scene

log = logging.getLogger(__name__)

PARTS: Mapping[str, type] = {
    f"{part.__module__}.{part.__qualname__}": part
    for part in (
        zoo.Named,
        File,
        Module,
        latents.Seed,
        latents.Breathe,
        latents.Wander,
        latents.Drift,
        latents.Walk,
        noise.Constant,
        noise.Animated,
        noise.Off,
        orderings.Random,
        orderings.Together,
        likeness.Contagion,
        likeness.Cluster,
        diagnosis.Spatial,
        diagnosis.Semantic,
        diagnosis.Importance,
        orderings.Sequenced,
        orderings.File,
        orderings.Layers,
        orderings.Magnitude,
        orderings.Activation,
        orderings.Contribution,
        operators.Zero,
        operators.Level,
        operators.Prune,
        operators.Mean,
        operators.Average,
        bends.Noise,
        bends.Freeze,
        bends.Swap,
        bends.Invert,
        bends.Amplify,
        bends.Saturate,
        bends.Quantise,
        bends.Binarise,
        filters.Blur,
        filters.Spectral,
        filters.Shift,
        filters.Scale,
        filters.Rotate,
        filters.Flip,
        filters.Dilate,
        filters.Erode,
        bends.Shuffle,
        bends.Leak,
        bends.Chained,
        schedules.Schedule,
        schedules.Linear,
        schedules.Ease,
        schedules.Exponential,
        schedules.Sigmoid,
        schedules.Gompertz,
        schedules.Steps,
        schedules.Keyframes,
        schedules.Oscillator,
        schedules.Act,
        pacing.Units,
        pacing.Perceptual,
        film.Film,
        Auto,
        OpenVINO,
        Torch,
    )
}

SAMPLES = 5
"""Frames of the very film that an engine may try itself on before it is chosen."""


@dataclass(frozen=True)
class Experiment:
    """The parts of one film."""

    generator: Callable[[], Generator]
    latent: latents.Latent
    intents: tuple[Intent, ...]
    film: film.Film
    engine: Starter
    noise: noise.Noise = dataclasses.field(default_factory=noise.Constant)
    plan: str | None = None


@dataclass(frozen=True)
class Run:
    """An experiment that is ready to be filmed."""

    stage: Stage

    @property
    def film(self) -> film.Film:
        return self.stage.layout.film

    @property
    def plan(self) -> Plan:
        return self.stage.layout.plan

    @property
    def engine(self) -> Engine:
        return self.stage.engine


def instantiate(node: Any, where: str = "config") -> Any:
    """Build a part, and the parts within it, from a config node.

    Raises:
        RequestError: a target outside of ``PARTS``, or a setting that the part does not have.
    """
    if isinstance(node, Mapping) and "_target_" in node:
        target = str(node["_target_"])
        if target not in PARTS:
            raise unknown("part", target, PARTS, f"{where} may name")
        part, settings = PARTS[target], {key: value for key, value in node.items() if key != "_target_"}
        fields = [field.name for field in dataclasses.fields(part)]
        for key in settings:
            if key not in fields:
                raise unknown("setting", f"{where}.{key}", [f"{where}.{field}" for field in fields])
        return part(**{key: instantiate(value, f"{where}.{key}") for key, value in settings.items()})
    if isinstance(node, list):
        return tuple(instantiate(value, where) for value in node)
    return node


def assemble(config: Mapping[str, Any]) -> Experiment:
    """A resolved config -> its parts; every value is checked here, before anything slow begins."""
    nodes = _intents(config)
    rest = {key: value for key, value in config.items() if key not in ("render", "measure", "tracks", *INTENT)}  # how, not what
    settings = {key: instantiate(value, key) for key, value in rest.items()}
    for key, *kinds in (("generator", zoo.Named, File, Module), ("film", film.Film)):
        _must_be(settings.get(key), config.get(key), key, *kinds)
    intents = []
    for name, node in nodes.items():
        where = f"tracks.{name}" if name else ""
        parts = {key: instantiate(value, f"{where}.{key}" if where else key) for key, value in node.items()}
        _must_be(parts.get("schedule"), node.get("schedule"), f"{where}.schedule".lstrip("."), schedules.Schedule)
        intents.append(Intent(**parts, name=name))
    return Experiment(**settings, intents=tuple(ended(intents, settings["film"].ending)))


INTENT = ("units", "ordering", "operator", "schedule", "pacing")
"""Keys that make a track."""


def _intents(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of every track -> its nodes; what a track does not say is what the config itself says."""
    common = {key: config[key] for key in INTENT if key in config}
    tracks = config.get("tracks") or {"": {}}
    if not isinstance(tracks, Mapping):
        raise RequestError(f"tracks must be named, as in 'tracks: {{eyes: {{units: styles}}}}', got {tracks!r}")
    found = {}
    for name, node in tracks.items():
        if not isinstance(node, Mapping) or "/" in str(name):
            raise RequestError(f"the track {name!r} must be a name without slashes and settings, got {node!r}")
        for key in node:
            if key not in INTENT:
                raise unknown("setting", f"tracks.{name}.{key}", [f"tracks.{name}.{field}" for field in INTENT])
        # A part that is not named again is the common one with some settings changed.
        changed = {
            key: {**common[key], **value}
            if isinstance(value, Mapping) and "_target_" not in value and isinstance(common.get(key), Mapping)
            else value
            for key, value in node.items()
        }
        found[str(name)] = common | changed
    return found


def _must_be(part: Any, node: Any, key: str, *kinds: type) -> None:
    if not isinstance(part, kinds):
        names = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        raise RequestError(f"config key {key!r} must be a {names}, got {node!r}")


def consent(config: Mapping[str, Any], said: Iterable[str]) -> None:
    """Refuse a config that would run somebody's code, unless that very code was named in what the user ``said``.

    Experiments, plans and begun films may be a stranger's; everything else in them is data.
    """
    node = config.get("generator")
    factory = node.get("factory") if isinstance(node, Mapping) else None
    if factory and f"generator.factory={factory}" not in said:
        raise RequestError(
            f"this asks to run code, {factory!r}; if you trust it, say the command that began it again: "
            f"forgetting render generator=module generator.factory={factory} hydra.run.dir=FOLDER"
        )


@torch.no_grad()  # and no inference mode: what is loaded here may be asked for gradients
def prepare(config: Mapping[str, Any], known: Plan | None = None) -> Run:
    """Load the network, find the face, make the plan - or go by ``known``, which an earlier run of this config made."""
    parts = assemble(config)
    generator = parts.generator()
    if any("mapping" in _kinds(intent) for intent in parts.intents):
        generator = Whole(generator)
    generator = parts.noise(generator)
    frames, wall = parts.film.frames, parts.film.wall_size
    people = [parts.latent.another(number) for number in range(wall[0] * wall[1])]
    moves, ws = parts.latent.moves or parts.noise.moves or len(people) > 1, parts.latent(generator)
    parts.film.shape(*generator.size)
    scene = dataclasses.replace(intent.scene(generator, ws, parts.intents), moves=moves)
    if known is None and parts.plan is not None:
        known = plans.load(Path(parts.plan))
    elif known is not None:
        parts = dataclasses.replace(parts, engine=instantiate(recipes.engine_of(recipes.read(known, "of this run")), "engine"))
    if known is not None:
        known.check(generator)
        _match(known, scene, parts.intents)
        engine, why = parts.engine(scene, known.rows(sheet.stations(len(known), SAMPLES)))
        plan = known
    else:
        ranks = [one.rank(generator, ws) for one in parts.intents]
        engine, why = parts.engine(scene, intent.sample(parts.intents, ranks, SAMPLES))
        plan = intent.planned(generator, parts.intents, ranks, parts.film.frames, engine)
    log.info("%s", why)
    film = encoder.settled(parts.film, engine.device)
    plan = dataclasses.replace(plan, recipe=recipes.write(config, generator, engine, why, film))
    listener = _listener(scene, engine) if film.layout != "face" else None
    intact = next(listener.shots(torch.zeros(1, len(scene))))[1] if listener else None
    layout = Layout(film, plan, generator.size, intent.captions(parts.intents, film), intact)
    still = None if parts.latent.moves else [one(generator) for one in people]

    def face(index: int, person: int) -> Tensor:
        return parts.noise.at(still[person] if still else people[person](generator, index, frames), index, frames)

    return Run(Stage(engine, layout, face if moves else None, listener))


def _listener(scene: Scene, engine: Engine) -> Engine:
    """The same engine for the same scene, with an ear."""
    start: Starter = OpenVINO(engine.precision) if engine.name == "openvino" else Torch(engine.precision, engine.device)
    return start(dataclasses.replace(scene, listens=True), torch.zeros(1, len(scene)))[0]


def _kinds(one: Intent) -> Iterable[str]:
    return [one.units] if isinstance(one.units, str) else one.units


def _match(plan: Plan, scene: Scene, intents: Iterable[Intent]) -> None:
    """Refuse a plan whose tracks are not those of the config."""
    theirs = [(track.name, [layer.name for layer in track.layers]) for track in plan.tracks]
    ours = [(one.name, [layer.name for layer in knob.units.layers]) for one, knob in zip(intents, scene.knobs, strict=True)]
    if theirs != ours:
        told = [", ".join(f"{name or 'one'} over {len(layers)} layers" for name, layers in tracks) for tracks in (theirs, ours)]
        raise RequestError(f"the plan's tracks ({told[0]}) are not those of the config ({told[1]}); render it by its own recipe")
