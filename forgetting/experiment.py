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

from forgetting import encoder, film, latents, operators, orderings, pacing, schedules, sheet, zoo
from forgetting import plan as plans
from forgetting import recipe as recipes
from forgetting.checkpoints.file import File
from forgetting.engines import Engine, Starter
from forgetting.engines.auto import Auto
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, unknown
from forgetting.generators import Generator
from forgetting.generators.factory import Module
from forgetting.plan import Plan
from forgetting.scene import Scene
from forgetting.units import Units

log = logging.getLogger(__name__)

PARTS: Mapping[str, type] = {
    f"{part.__module__}.{part.__qualname__}": part
    for part in (
        zoo.Named,
        File,
        Module,
        latents.Seed,
        orderings.Random,
        orderings.Layers,
        orderings.Magnitude,
        orderings.Activation,
        orderings.Contribution,
        operators.Zero,
        operators.Prune,
        operators.Mean,
        operators.Average,
        schedules.Schedule,
        schedules.Linear,
        schedules.Ease,
        schedules.Exponential,
        schedules.Sigmoid,
        schedules.Gompertz,
        schedules.Steps,
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
    ordering: orderings.Ordering
    operator: operators.Operator
    schedule: schedules.Schedule
    pacing: pacing.Pacing
    film: film.Film
    engine: Starter
    plan: str | None = None


@dataclass(frozen=True)
class Run:
    """An experiment that is ready to be filmed."""

    film: film.Film
    engine: Engine
    plan: Plan


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
    settings = {key: instantiate(value, key) for key, value in config.items() if key != "render"}  # how, not what
    for key, *kinds in (("generator", zoo.Named, File, Module), ("schedule", schedules.Schedule), ("film", film.Film)):
        if not isinstance(settings.get(key), tuple(kinds)):
            names = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
            raise RequestError(f"config key {key!r} must be a {names}, got {config.get(key)!r}")
    return Experiment(**settings)


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


@torch.inference_mode()
def prepare(config: Mapping[str, Any], known: Plan | None = None) -> Run:
    """Load the network, find the face, make the plan - or go by ``known``, which an earlier run of this config made."""
    parts = assemble(config)
    generator = parts.generator()
    ws = parts.latent(generator)
    parts.film.shape(*generator.size)
    scene = Scene.of(generator, ws, parts.operator)
    if known is None and parts.plan is not None:
        known = plans.load(Path(parts.plan))
    elif known is not None:
        parts = dataclasses.replace(parts, engine=instantiate(recipes.engine_of(recipes.read(known, "of this run")), "engine"))
    if known is not None:
        known.check(generator)
        engine, why = parts.engine(scene, known.rows(sheet.stations(len(known), SAMPLES)))
        plan = known
    else:
        rank = parts.ordering(generator, Units(generator.layers), ws)
        sample = plans.faded(rank, torch.linspace(0, parts.schedule.until, SAMPLES), parts.operator, parts.schedule)
        engine, why = parts.engine(scene, sample)
        plan = plans.make(
            generator, ws, parts.film.frames, lambda *_: rank, parts.operator, parts.schedule, parts.pacing, engine
        )  # fmt: skip
    log.info("%s", why)
    film = encoder.settled(parts.film, engine.device)
    recipe = recipes.write(config, generator, engine, why, film)
    return Run(film, engine, dataclasses.replace(plan, recipe=recipe))
