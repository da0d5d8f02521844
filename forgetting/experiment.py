"""The config root: builds the parts once, runs them once.

A config is a tree of plain values; a node with ``_target_`` is a part. Only the classes of ``PARTS`` can be built, so
a config from a stranger is no more than data.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import forgetting
from forgetting import cache, film, latents, operators, orderings, pacing, schedules, sheet, zoo
from forgetting import plan as plans
from forgetting.checkpoints import fingerprint
from forgetting.engines import Engine, Frame, Starter
from forgetting.engines.auto import Auto
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, unknown
from forgetting.generators import Generator
from forgetting.plan import Plan
from forgetting.progress import track
from forgetting.render import renderer
from forgetting.units import Units

log = logging.getLogger(__name__)

PARTS: Mapping[str, type] = {
    f"{part.__module__}.{part.__qualname__}": part
    for part in (
        zoo.Named,
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

DECIDED = ("ordering", "schedule", "pacing", "experiment")
"""Keys that make a plan, and have nothing left to say once there is one."""


@dataclass(frozen=True)
class Experiment:
    """The parts of one film."""

    generator: zoo.Named
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
    generator: Generator
    engine: Engine
    plan: Plan
    recipe: str


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
    settings = {key: instantiate(value, key) for key, value in config.items()}
    for key, kind in (("generator", zoo.Named), ("schedule", schedules.Schedule), ("film", film.Film)):
        if not isinstance(settings.get(key), kind):
            raise RequestError(f"config key {key!r} must be a {kind.__module__}.{kind.__qualname__}, got {config.get(key)!r}")
    return Experiment(**settings)


def with_plan(config: dict[str, Any], overridden: Iterable[str]) -> dict[str, Any]:
    """The config to render ``config["plan"]`` by: the plan's own, with what the user asked for on top.

    ``overridden`` are the dotted keys of ``config`` that the user set explicitly.
    """
    path = config.get("plan")
    if path is None:
        return config
    overridden = [key for key in overridden if key != "plan"]
    for key in overridden:
        if key.split(".")[0] in DECIDED:
            raise RequestError(f"plan={path} already decides who dies when; leave out {key}")
    plan = plans.load(Path(path))
    if plan.recipe:
        recipe = _recipe_of(plan, path)
        base = recipe["config"]
        for key in overridden:
            OmegaConf.update(base, key, OmegaConf.select(OmegaConf.create(config), key), merge=False, force_add=True)
        base["plan"] = path
        if not any(key.split(".")[0] == "engine" for key in overridden):
            base["engine"] = _engine_of(recipe)  # what 'auto' chose then, so that the film is the same bit for bit
        config = OmegaConf.to_container(base)  # type: ignore[assignment]
    settings = config["film"]
    if "film.duration" not in overridden:
        settings["duration"] = len(plan) / settings["fps"]
    asked = round(settings["fps"] * settings["duration"])
    if asked != len(plan):
        raise RequestError(f"plan {path} has {len(plan)} frames, and film.fps x film.duration asks for {asked}; leave out film.duration")
    return config


def _recipe_of(plan: Plan, path: str) -> DictConfig:
    try:
        recipe = OmegaConf.create(plan.recipe)
    except (YAMLError, OmegaConfBaseException) as error:
        raise RequestError(f"the recipe in plan {path} cannot be read ({' '.join(str(error).split())})") from None
    config = recipe.get("config") if isinstance(recipe, DictConfig) else None
    if not isinstance(recipe, DictConfig) or not isinstance(config, DictConfig) or not isinstance(config.get("film"), DictConfig):
        raise RequestError(f"the recipe in plan {path} holds no config; empty it to render the plan by the current one")
    return recipe


def _engine_of(recipe: DictConfig) -> dict[str, str]:
    """The config node of the engine that a recipe names."""
    used = recipe.get("engine")
    used = used if isinstance(used, DictConfig) else OmegaConf.create({})
    target = {"torch": Torch, "openvino": OpenVINO}.get(str(used.get("name")), Auto)
    return {"_target_": f"{target.__module__}.{target.__qualname__}", "precision": str(used.get("precision", "auto"))}


@torch.inference_mode()
def prepare(config: Mapping[str, Any]) -> Run:
    """Load the network, find the face, make the plan (or load it)."""
    parts = assemble(config)
    generator = parts.generator()
    ws = parts.latent(generator)
    parts.film.shape(generator.resolution, generator.resolution)
    if parts.plan is not None:
        plan = plans.load(Path(parts.plan))
        plan.check(generator)
        sample = plan.ablation[sheet.stations(len(plan), SAMPLES)]
        engine, why = parts.engine(generator, ws, parts.operator, sample)
    else:
        way = torch.linspace(0, parts.schedule.until, SAMPLES)
        rank = parts.ordering(generator, Units(generator.layers), ws)
        sample = plans.faded(rank, way, parts.operator, parts.schedule)
        engine, why = parts.engine(generator, ws, parts.operator, sample)
        plan = plans.make(
            generator, ws, parts.film.frames, lambda *_: rank, parts.operator, parts.schedule, parts.pacing, engine
        )  # fmt: skip
    log.info("%s", why)
    recipe = write_recipe(config, generator, engine, why)
    return Run(parts.film, generator, engine, dataclasses.replace(plan, recipe=recipe), recipe)


def write_recipe(config: Mapping[str, Any], generator: Generator, engine: Engine, why: str) -> str:
    """YAML that says how a film was made: the full config, the engine, the versions, the hash of the weights."""
    packages = {"forgetting": forgetting.__version__, "torch": str(torch.__version__), "numpy": np.__version__}
    versions = packages | {"python": platform.python_version()}
    made_by = {"name": engine.name, "precision": engine.precision, "why": why}
    recipe = {"config": dict(config), "engine": made_by, "model": {"sha256": fingerprint(generator)}, "versions": versions}
    return OmegaConf.to_yaml(OmegaConf.create(recipe))


def render(config: Mapping[str, Any], folder: Path) -> Path:
    """Make the film of ``config`` in ``folder``, with its poster, sheet, recipe and plan; returns the film's path."""
    run = prepare(config)
    frame = renderer(run.engine, run.plan)
    shape = run.film.shape(run.generator.resolution, run.generator.resolution)
    comment = json.dumps(OmegaConf.to_container(OmegaConf.create(run.recipe)))
    count = len(run.plan)
    stops, poster = set(sheet.stations(count, run.film.stations)), round(run.film.poster * (count - 1))
    thumbnails = {}
    with film.told_in_one_sentence(folder):
        _write_text(folder / "recipe.yaml", run.recipe)
        plans.save(run.plan, folder / "plan.npz")
    with film.writer(run.film, folder, shape, comment) as write:
        for index in track(range(count), "filming", count):
            picture = frame(index)
            write(picture)
            if index in stops:
                thumbnails[index] = sheet.thumbnail(picture)
            if index == poster:
                _write_still(film.fit(picture, shape), folder / "poster.png", comment)
    _write_still(sheet.draw(thumbnails, run.plan), folder / "sheet.png", comment)
    return folder / run.film.name


def preview(config: Mapping[str, Any], folder: Path) -> Path:
    """Draw the contact sheet that ``render`` would draw, without the film; returns its path."""
    run = prepare(config)
    frame = renderer(run.engine, run.plan)
    stops = sheet.stations(len(run.plan), run.film.stations)
    thumbnails = {index: sheet.thumbnail(frame(index)) for index in track(stops, "looking at the stations", len(stops))}
    path = folder / "sheet.png"
    _write_still(sheet.draw(thumbnails, run.plan), path, json.dumps(OmegaConf.to_container(OmegaConf.create(run.recipe))))
    return path


def _write_still(picture: Frame, path: Path, comment: str) -> None:
    with film.told_in_one_sentence(path.parent), cache.whole(path) as part:
        film.save_png(picture, part, comment)


def _write_text(path: Path, text: str) -> None:
    with cache.whole(path) as part:
        part.write_text(text, encoding="utf-8")
