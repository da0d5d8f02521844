"""A film of a face: its parts, put together once and made ready."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from forgetting import encoder, intent, latents, noise, sheet
from forgetting import plan as plans
from forgetting import recipe as recipes
from forgetting.assembly import GENERATORS, INTENT, instantiate, intents, must_be
from forgetting.engines import Engine, Runner, Starter
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError
from forgetting.film import Film
from forgetting.generators import Generator
from forgetting.generators.around import Whole
from forgetting.intent import Intent
from forgetting.layout import Layout
from forgetting.plan import Plan
from forgetting.render import Portrait, Stage
from forgetting.scene import Scene

log = logging.getLogger(__name__)

E = TypeVar("E")

SAMPLES = 5
"""Frames of the very film that an engine may try itself on before it is chosen."""


@dataclass(frozen=True)
class Experiment:
    """The parts of one film."""

    generator: Callable[[], Generator]
    latent: latents.Latent
    intents: tuple[Intent, ...]
    film: Film
    engine: Starter
    noise: noise.Noise = dataclasses.field(default_factory=noise.Constant)
    plan: str | None = None


@dataclass(frozen=True)
class Run:
    """An experiment that is ready to be filmed."""

    stage: Stage

    @property
    def film(self) -> Film:
        return self.stage.layout.film

    @property
    def plan(self) -> Plan:
        return self.stage.layout.plan

    @property
    def engine(self) -> Runner:
        return self.stage.engine


def assemble(config: Mapping[str, Any]) -> Experiment:
    """A resolved config -> its parts; every value is checked here, before anything slow begins."""
    rest = {key: value for key, value in config.items() if key not in (*recipes.HOW, "tracks", *INTENT)}  # how, not what
    settings = {key: instantiate(value, key) for key, value in rest.items()}
    for key, *kinds in (("generator", *GENERATORS), ("film", Film)):
        must_be(settings.get(key), config.get(key), key, *kinds)
    return Experiment(**settings, intents=intents(config, settings["film"].ending))


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
    known, start = earlier(parts.plan, known, parts.engine)
    if known is not None:
        match(known, generator, scene, parts.intents)
        engine, why = start(scene, known.rows(sheet.stations(len(known), SAMPLES)))
        plan = known
    else:
        ranks = [one.rank(generator, ws) for one in parts.intents]
        engine, why = start(scene, intent.sample(parts.intents, ranks, SAMPLES))
        plan = intent.planned(generator, parts.intents, ranks, parts.film.frames, engine)
    log.info("%s", why)
    film = encoder.settled(parts.film, engine.device)
    plan = dataclasses.replace(plan, recipe=recipes.write(config, generator, engine, why, film, film.shape(*generator.size)))
    listener = _listener(scene, engine) if film.layout != "face" else None
    intact = next(listener.shots(torch.zeros(1, len(scene))))[1] if listener else None
    layout = Layout(film, plan, generator.size, intent.captions(parts.intents, film), intact)
    still = None if parts.latent.moves else [one(generator) for one in people]

    def face(index: int, person: int) -> Tensor:
        return parts.noise.at(still[person] if still else people[person](generator, index, frames), index, frames)

    return Run(Portrait(engine, layout, face if moves else None, listener))


def _listener(scene: Scene, engine: Engine) -> Engine:
    """The same engine for the same scene, with an ear."""
    start: Starter = OpenVINO(engine.precision) if engine.name == "openvino" else Torch(engine.precision, engine.device)
    return start(dataclasses.replace(scene, listens=True), torch.zeros(1, len(scene)))[0]


def _kinds(one: Intent) -> Iterable[str]:
    return [one.units] if isinstance(one.units, str) else one.units


def earlier(path: str | None, known: Plan | None, engine: E) -> tuple[Plan | None, E]:
    """The plan to go by, if there is one, and the engine: a run that was begun goes on with its own, others have that of the config."""
    if known is not None:
        return known, instantiate(recipes.engine_of(recipes.read(known, "of this run")), "engine")
    return (None if path is None else plans.load(Path(path))), engine


def match(plan: Plan, generator: Generator, scene: Scene, intents: Iterable[Intent]) -> None:
    """Refuse a plan for another network, or whose tracks are not those of the config."""
    plan.check(generator)
    theirs = [(track.name, [layer.name for layer in track.layers]) for track in plan.tracks]
    ours = [(one.name, [layer.name for layer in knob.units.layers]) for one, knob in zip(intents, scene.knobs, strict=True)]
    if theirs != ours:
        told = [", ".join(f"{name or 'one'} over {len(layers)} layers" for name, layers in tracks) for tracks in (theirs, ours)]
        raise RequestError(f"the plan's tracks ({told[0]}) are not those of the config ({told[1]}); render it by its own recipe")
