"""The recipe: YAML that says how a film was made, and with the plan everything its pictures depend on."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, safe_load

import forgetting
from forgetting import foreign_configs, input_files
from forgetting import plan as plans
from forgetting.checkpoints import fingerprint
from forgetting.engines import Runner
from forgetting.engines.auto import Auto
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.compiled import version as compiler
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, one_line
from forgetting.film import Film
from forgetting.generators import Generator
from forgetting.plan import Plan

HOW = ("render", "measure", "cluster")
"""Keys that say how a film is made and measured, and not which."""

DECIDED = ("units", "tracks", "ordering", "schedule", "pacing", "experiment")
"""Keys that make a plan, and have nothing left to say once there is one."""


def write(
    config: Mapping[str, Any],
    generator: Generator,
    engine: Runner,
    why: str,
    film: Film,
    shape: tuple[int, int],
) -> str:
    """The recipe of a film: the full config, what made and wrote its pictures of that ``shape``, the versions, the hash of the
    weights, and hash and size of every file that the config names."""
    files = input_files.record(config)
    versions = {"forgetting": forgetting.__version__, "torch": str(torch.__version__), "numpy": np.__version__}
    if engine.name == "openvino":
        versions["openvino"] = compiler()
    made_by = {"name": engine.name, "precision": engine.precision, "device": engine.device, "why": why}
    recipe = {
        "config": _kept(config),
        "engine": made_by,
        "film": {"encoder": film.encoder, "shape": list(shape)},
        "model": {"sha256": fingerprint(generator)},
        **({"files": files} if files else {}),
        "versions": versions | {"python": platform.python_version()},
    }
    return OmegaConf.to_yaml(OmegaConf.create(recipe))


def name(config: Mapping[str, Any]) -> str:
    """What names the folder of a run in a sweep: a hash of all of its config that its film depends on."""
    told = lasting(config) | {"plan": config.get("plan")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


TARGET = "_target_"
"""The key under which a part of a config says what it is."""


def called(target: Any) -> str:
    """The name of a part's class, as people say it: ``random`` for forgetting.orderings.Random."""
    return str(target).rpartition(".")[2].lower()


def _named(*, _root_: DictConfig) -> str:
    parts = {str(key): _root_[key] for key in _root_ if key != "hydra"}
    return name({key: OmegaConf.to_container(one, resolve=True) if OmegaConf.is_config(one) else one for key, one in parts.items()})


# In every process that has to do with a sweep, its launchers' too: Hydra asks for it where a run's folder is named.
OmegaConf.register_new_resolver("recipe_name", _named, replace=True)


def lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config a film depends on: neither how it is shared out and measured, nor where its plan lay."""
    return {name: value for name, value in config.items() if name not in (*HOW, "plan")} | {"plan": None}


def read(plan: Plan, path: Path | str) -> DictConfig:
    """The recipe of a plan.

    Raises:
        RequestError: it holds none that can be read.
    """
    tree = foreign_configs.load(plan.recipe, f"the recipe in plan {path}")
    for key, value in foreign_configs.strings(tree):
        if "${" in value:
            raise RequestError(
                f"the recipe in plan {path} holds an interpolation at {key} ({one_line(value, 80)}), and a recipe holds plain "
                "values alone; render the film again from its command"
            )
    try:
        recipe = OmegaConf.create(plan.recipe)
    except (YAMLError, OmegaConfBaseException) as error:
        raise RequestError(f"the recipe in plan {path} cannot be read ({one_line(error)})") from None
    config = recipe.get("config") if isinstance(recipe, DictConfig) else None
    if not isinstance(recipe, DictConfig) or not isinstance(config, DictConfig) or not isinstance(config.get("film"), DictConfig):
        raise RequestError(f"the recipe in plan {path} holds no config; empty it to render the plan by the current one")
    # A stranger's recipe names no cluster to connect to and no other plan to open.
    config.pop("cluster", None)
    if "plan" in config:
        config["plan"] = None
    return recipe


def config_of(recipe: DictConfig) -> dict[str, Any]:
    """The config in a recipe, as plain values."""
    return plain(recipe["config"])


def plain(node: DictConfig) -> dict[str, Any]:
    """A node as plain values; nothing in it is resolved, for it may be a stranger's."""
    found = OmegaConf.to_container(node)
    assert isinstance(found, dict)
    return {str(name): value for name, value in found.items()}


def told(recipe: DictConfig) -> dict[str, Any]:
    """The recipe as it is told in the film itself, which goes out into the world: where files lay is nobody's business."""
    found = plain(recipe)
    found["config"].pop("measure", None)
    _nameless(found["config"])
    return found


def with_config(recipe: str, config: Mapping[str, Any]) -> str:
    """The same recipe, told in the words of another config for the same film: files lie elsewhere on other machines."""
    return OmegaConf.to_yaml(OmegaConf.create(safe_load(recipe) | {"config": _kept(config)}))


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe holds of a config: how it is measured too, for who goes on with it. No cluster: a stranger's is no place to go to."""
    return lasting(config) | ({"measure": config["measure"]} if "measure" in config else {})


def files_of(recipe: DictConfig) -> Mapping[str, Any]:
    """The hashes and sizes of the files that a recipe depends on, by dotted key; empty where it holds none."""
    files = recipe.get("files")
    return plain(files) if isinstance(files, DictConfig) else {}


def _nameless(config: Mapping[str, Any]) -> None:
    """Leave of all paths in a config the names."""
    for _, node, key in input_files.references(config):
        node[key] = Path(node[key]).name


def engine_of(recipe: DictConfig) -> dict[str, Any]:
    """The config node of the engine that a recipe names: what ``auto`` chose then, so that the film is the same bit for bit."""
    used, asked = recipe.get("engine"), OmegaConf.select(recipe, "config.engine")
    used = used if isinstance(used, DictConfig) else OmegaConf.create({})
    part: type[Torch | OpenVINO | Auto] = {"torch": Torch, "openvino": OpenVINO}.get(str(used.get("name")), Auto)
    node = {"_target_": f"{part.__module__}.{part.__qualname__}", "precision": str(used.get("precision", "auto"))}
    if part is Torch:
        node["device"] = str(used.get("device", "auto"))
    kept = {key: asked[key] for key in ("batch", "reuse", "fold") if isinstance(asked, DictConfig) and key in asked}
    return node | {key: value for key, value in kept.items() if key in part.__match_args__}


def key(plan: Plan) -> str:
    """What names a film's segments: a hash of all its pictures depend on. Equal keys, equal films."""
    told = OmegaConf.to_yaml(OmegaConf.create(essence(plan)), sort_keys=True)
    return hashlib.sha256((told + plan.digest()).encode()).hexdigest()[:16]


def essence(plan: Plan) -> dict[str, Any]:
    """The recipe of a plan without what changes nothing: why its engine was taken, and how the film is measured."""
    recipe = read(plan, "of this run")
    recipe["config"].pop("measure", None)
    if isinstance(recipe.get("engine"), DictConfig):
        recipe["engine"].pop("why", None)
    return plain(recipe)


def changes(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> list[str]:
    """The dotted keys in which two configs differ, with both values."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changes(old, new, f"{where}{name}.")
        elif old != new:
            found.append(f"{where}{name} was {old}, is {new}")
    return found


def with_plan(config: dict[str, Any], overridden: Iterable[str], explicit: Iterable[str] | None = None) -> dict[str, Any]:
    """The config to render ``config["plan"]`` by: the plan's own, with what the user asked for on top.

    ``overridden`` are the dotted keys of ``config`` that were set beside the defaults; ``explicit`` those of them that the user
    set in person, all by default: files that they name may be any, others must be those of the recipe.
    """
    path = config.get("plan")
    if path is None:
        return config
    overridden = [name for name in overridden if name != "plan"]
    for name in overridden:
        if name.split(".")[0] in DECIDED:
            raise RequestError(f"plan={path} already decides who dies when; leave out {name}")
    plan = plans.load(Path(path))
    if plan.recipe:
        recipe = read(plan, path)
        base = recipe["config"]
        for name in overridden:
            OmegaConf.update(base, name, OmegaConf.select(OmegaConf.create(config), name), merge=False, force_add=True)
        base["plan"] = path
        for key in HOW:
            base[key] = config.get(key)
        if not any(name.split(".")[0] == "engine" for name in overridden):
            base["engine"] = engine_of(recipe)
        config = plain(base)
        input_files.verify(config, files_of(recipe), Path(path), overridden if explicit is None else explicit)
    settings = config["film"]
    if "film.duration" not in overridden:
        settings["duration"] = len(plan) / settings["fps"]
    asked = round(settings["fps"] * settings["duration"])
    if asked != len(plan):
        raise RequestError(f"plan {path} has {len(plan)} frames, and film.fps x film.duration asks for {asked}; leave out film.duration")
    return config
