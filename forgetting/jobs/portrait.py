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

from forgetting.ablation import plan as plans
from forgetting.ablation import tracks as intent
from forgetting.ablation.edits import AblationTask
from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.engine import Engine, EngineConfig, EngineInfo
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film import contact_sheet, encoder
from forgetting.film import recipe as recipes
from forgetting.film.captions import act_captions
from forgetting.film.compositor import Compositor
from forgetting.film.render import FaceFrames, FrameSource
from forgetting.film.settings import FilmSettings
from forgetting.jobs.configs import GENERATORS, INTENT, build_part, check_type, track_specs
from forgetting.models import latents, noise
from forgetting.models.generator import Generator
from forgetting.models.wrappers import WithMapping

log = logging.getLogger(__name__)

E = TypeVar("E")

SAMPLES = 5
"""Frames of the very film that an engine may try itself on before it is chosen."""


@dataclass(frozen=True)
class FaceParts:
    """The parts of one film."""

    generator: Callable[[], Generator]
    latent: latents.Latent
    intents: tuple[TrackSpec, ...]
    film: FilmSettings
    engine: EngineConfig
    noise: noise.NoiseMode = dataclasses.field(default_factory=noise.ConstantNoise)
    plan: str | None = None


@dataclass(frozen=True)
class PreparedRun:
    """An experiment that is ready to be filmed."""

    stage: FrameSource

    @property
    def film(self) -> FilmSettings:
        return self.stage.layout.film

    @property
    def plan(self) -> Plan:
        return self.stage.layout.plan

    @property
    def engine(self) -> EngineInfo:
        return self.stage.engine


def assemble(config: Mapping[str, Any]) -> FaceParts:
    """A resolved config -> its parts; every value is checked here, before anything slow begins."""
    rest = {
        key: value
        for key, value in config.items()
        if key not in (*recipes.EXECUTION_KEYS, "tracks", *INTENT)
    }  # how, not what
    settings = {key: build_part(value, key) for key, value in rest.items()}
    for key, *kinds in (("generator", *GENERATORS), ("film", FilmSettings)):
        check_type(settings.get(key), config.get(key), key, *kinds)
    return FaceParts(**settings, intents=track_specs(config, settings["film"].ending))


@torch.no_grad()  # and no inference mode: what is loaded here may be asked for gradients
def prepare(config: Mapping[str, Any], known: Plan | None = None) -> PreparedRun:
    """Load the network, find the face, make the plan - or go by ``known``, which an earlier run of this config made."""
    parts = assemble(config)
    generator = parts.generator()
    if any("mapping" in _kinds(intent) for intent in parts.intents):
        generator = WithMapping(generator)
    generator = parts.noise(generator)
    frames, wall = parts.film.frames, parts.film.grid_size
    people = [parts.latent.another(number) for number in range(wall[0] * wall[1])]
    moves, ws = parts.latent.moves or parts.noise.moves or len(people) > 1, parts.latent(generator)
    parts.film.shape(*generator.size)
    scene = dataclasses.replace(intent.ablation_task(generator, ws, parts.intents), moves=moves)
    known, start = existing_plan(parts.plan, known, parts.engine)
    if known is not None:
        check_plan_matches(known, generator, scene, parts.intents)
        engine, why = start(scene, known.rows(contact_sheet.sample_positions(len(known), SAMPLES)))
        plan = known
    else:
        ranks = [one.rank(generator, ws) for one in parts.intents]
        engine, why = start(scene, intent.sample_rows(parts.intents, ranks, SAMPLES))
        plan = intent.make_plan(generator, parts.intents, ranks, parts.film.frames, engine)
    log.info("%s", why)
    film = encoder.resolve_encoder(parts.film, engine.device)
    plan = dataclasses.replace(
        plan,
        recipe=recipes.write_recipe(
            config, generator, engine, why, film, film.shape(*generator.size)
        ),
    )
    listener = _listener(scene, engine) if film.layout != "face" else None
    intact = next(listener.shots(torch.zeros(1, len(scene))))[1] if listener else None
    layout = Compositor(
        film, plan, generator.size, act_captions([spec.schedule for spec in parts.intents], film), intact
    )
    still = None if parts.latent.moves else [one(generator) for one in people]

    def face(index: int, person: int) -> Tensor:
        return parts.noise.at(
            still[person] if still else people[person](generator, index, frames), index, frames
        )

    return PreparedRun(FaceFrames(engine, layout, face if moves else None, listener))


def _listener(scene: AblationTask, engine: Engine) -> Engine:
    """The same engine for the same scene, with an ear."""
    start: EngineConfig = (
        OpenVINOConfig(engine.precision)
        if engine.name == "openvino"
        else TorchConfig(engine.precision, engine.device)
    )
    return start(dataclasses.replace(scene, listens=True), torch.zeros(1, len(scene)))[0]


def _kinds(one: TrackSpec) -> Iterable[str]:
    return [one.units] if isinstance(one.units, str) else one.units


def existing_plan(path: str | None, known: Plan | None, engine: E) -> tuple[Plan | None, E]:
    """The plan to go by, if there is one, and the engine: a run that was begun goes on with its own, others have that of the config."""
    if known is not None:
        return known, build_part(
            recipes.engine_config(recipes.read_recipe(known, "of this run")), "engine"
        )
    return (None if path is None else plans.load_plan(Path(path))), engine


def check_plan_matches(
    plan: Plan, generator: Generator, scene: AblationTask, intents: Iterable[TrackSpec]
) -> None:
    """Refuse a plan for another network, or whose tracks are not those of the config."""
    plan.check(generator)
    theirs = [(track.name, [layer.name for layer in track.layers]) for track in plan.tracks]
    ours = [
        (one.name, [layer.name for layer in target.units.layers])
        for one, target in zip(intents, scene.targets, strict=True)
    ]
    if theirs != ours:
        told = [
            ", ".join(f"{name or 'one'} over {len(layers)} layers" for name, layers in tracks)
            for tracks in (theirs, ours)
        ]
        raise RequestError(
            f"the plan's tracks ({told[0]}) are not those of the config ({told[1]}); render it by its own recipe"
        )
