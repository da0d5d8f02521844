"""The recipe: YAML that describes how a film was made. Frames depend on it and the plan alone."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from forgetting.ablation.plan import Plan, load_plan
from forgetting.engines.engine import EngineInfo
from forgetting.errors import RequestError, one_line
from forgetting.film import input_files
from forgetting.film.settings import FilmSettings
from forgetting.film.texts import versions as typesetting_versions
from forgetting.models.checkpoints.native import fingerprint
from forgetting.models.generator import Generator
from forgetting.parts import TARGET, find_part, part_fields, part_modules
from forgetting.safe_yaml import load_yaml, strings

EXECUTION_KEYS = ("render", "measure", "cluster", "trust")
"""Keys of a config that set how a film is made and measured.

None of its pictures depend on them.
"""

EXPERIMENT = "experiment"
"""The key of a recipe's config that holds the name of its experiment, if the film has one.

No picture depends on it.
"""

PLAN_KEYS = ("units", "tracks", "ordering", "schedule", "pacing", EXPERIMENT)
"""Keys of a config that make a plan; they have no effect once there is one."""


def write_recipe(
    config: Mapping[str, Any],
    generator: Generator,
    engine: EngineInfo,
    why: str,
    film: FilmSettings,
    shape: tuple[int, int],
    texts: Iterable[str] = (),
) -> str:
    """Return the recipe of a film.

    Args:
        config: resolved, as plain values.
        generator: the network, of which the recipe holds a hash of the weights.
        engine: what renders the film.
        why: the sentence that explains the choice of the engine.
        film: the settings, with their encoder resolved.
        shape: height and width of the film's pictures.
        texts: that are set in the film.
    """
    versions = {
        "forgetting": version("forgetting"),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        **engine.versions(),
        **typesetting_versions(texts),
        "python": platform.python_version(),
    }
    rendered_by = {
        "name": engine.name,
        "precision": engine.precision,
        "device": engine.device,
        "why": why,
    }
    files = input_files.record(config)
    recipe = {
        "config": _recorded_config(config),
        "engine": rendered_by,
        "film": {"encoder": film.encoder, "shape": list(shape)},
        "model": {"sha256": fingerprint(generator)},
        **({"files": files} if files else {}),
        "versions": versions,
    }
    return OmegaConf.to_yaml(OmegaConf.create(recipe))


def run_id(config: Mapping[str, Any]) -> str:
    """Return the name of a run's folder in a sweep.

    A hash of all of its config that its film depends on.
    """
    named = {"recipe": config["recipe"]} if config.get("recipe") else {}
    identity = film_config(config) | {"plan": config.get("plan")} | named
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _resolve_run_id(*, _root_: DictConfig) -> str:
    nodes = {str(key): _root_[key] for key in _root_ if key != "hydra"}
    return run_id(
        {
            key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            for key, node in nodes.items()
        }
    )


# Registered on import, because launchers import this module in processes of their own, where Hydra
# then asks for the names of run folders.
OmegaConf.register_new_resolver("recipe_name", _resolve_run_id, replace=True)


def film_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a config its film depends on.

    Not how it is made, nor how its experiment is called, nor where its plan or recipe lies.
    """
    left_out = (*EXECUTION_KEYS, EXPERIMENT, "plan", "recipe")
    return {key: value for key, value in config.items() if key not in left_out} | {"plan": None}


def _recorded_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe holds of a config.

    How the film is measured too, for resuming, and the name of its experiment, for galleries.
    ``cluster`` is dropped, so a recipe from elsewhere cannot connect anybody to a cluster.
    """
    kept = ("measure", EXPERIMENT)
    return film_config(config) | {key: config[key] for key in kept if key in config}


def read_recipe(plan: Plan, path: Path | str) -> DictConfig:
    """Return the recipe of a plan, which may be a stranger's: nothing in it is resolved.

    Args:
        plan: that holds it.
        path: of the plan, for messages.

    Raises:
        RequestError: the plan holds no recipe that can be read.
    """
    return parse_recipe(plan.recipe, f"the recipe in plan {path}")


def parse_recipe(text: str, name: str) -> DictConfig:
    """Return a recipe from its text, which may be a stranger's.

    Args:
        text: YAML.
        name: of the recipe, for messages.

    Raises:
        RequestError: it cannot be read, or is no recipe.
    """
    values = load_yaml(text, name)
    for key, value in strings(values):
        if "${" in value:
            raise RequestError(
                f"{name} holds an interpolation at {key} ({one_line(value, 80)}), and a recipe "
                "holds plain values alone; render the film again from its command"
            )
    try:
        recipe = OmegaConf.create(values) if isinstance(values, dict) else None
    except (OmegaConfBaseException, ValueError) as error:
        raise RequestError(f"{name} cannot be read ({one_line(error)})") from None
    config = recipe.get("config") if isinstance(recipe, DictConfig) else None
    if (
        not isinstance(recipe, DictConfig)
        or not isinstance(config, DictConfig)
        or not isinstance(config.get("film"), DictConfig)
    ):
        raise RequestError(
            f"{name} holds no config of a film; name the recipe.yaml or the plan.npz of a run"
        )
    # A stranger's recipe names no cluster to connect to, no package to trust and no other plan.
    for key in ("cluster", "trust"):
        config.pop(key, None)
    if "plan" in config:
        config["plan"] = None
    return recipe


def verb_of(config: Mapping[str, Any]) -> str:
    """Return the verb of the command line that makes films of such a config."""
    return "dream" if "dream" in config else "render"


def config_of(recipe: DictConfig) -> dict[str, Any]:
    """Return the config in a recipe as plain values."""
    return plain_values(recipe["config"])


def files_of(recipe: DictConfig) -> Mapping[str, Any]:
    """Return hash and size of the files that a recipe depends on, by dotted key.

    Empty if there are none.
    """
    recorded = recipe.get("files")
    return plain_values(recorded) if isinstance(recorded, DictConfig) else {}


def plain_values(node: DictConfig) -> dict[str, Any]:
    """Return a node as plain values; nothing in it is resolved."""
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def public_recipe(recipe: DictConfig) -> dict[str, Any]:
    """Return the recipe as films and galleries hold it: of paths only the names of the files."""
    public = plain_values(recipe)
    public["config"].pop("measure", None)
    for _, node, key in input_files.references(public["config"]):
        node[key] = Path(node[key]).name
    return public


def with_config(recipe: str, config: Mapping[str, Any]) -> str:
    """Return the recipe with another config for the same film.

    On other machines files lie elsewhere.
    """
    return OmegaConf.to_yaml(
        OmegaConf.create(load_yaml(recipe, "the recipe") | {"config": _recorded_config(config)})
    )


def engine_config(recipe: DictConfig) -> dict[str, Any]:
    """Return the config node of the engine that rendered a film.

    Not ``auto`` but what it chose then.
    """
    rendered_by, requested = recipe.get("engine"), OmegaConf.select(recipe, "config.engine")
    rendered_by = plain_values(rendered_by) if isinstance(rendered_by, DictConfig) else {}
    requested = plain_values(requested) if isinstance(requested, DictConfig) else {}
    name = f"engine/{rendered_by.get('name')}"
    if name not in part_modules():
        name = "engine/auto"
    fields = {field.name for field in part_fields(find_part(name, "engine"))}
    node: dict[str, Any] = {
        key: str(rendered_by.get(key, "auto")) for key in ("precision", "device") if key in fields
    }
    options = {key: requested[key] for key in requested if key in fields and key not in node}
    return {TARGET: name, **node, **options}


def segment_key(plan: Plan, recipe: DictConfig | None = None) -> str:
    """Return the name of the folder of a film's segments: equal keys mean equal films.

    Args:
        plan: of the film.
        recipe: of the plan, if it has been read already.
    """
    text = OmegaConf.to_yaml(OmegaConf.create(film_identity(plan, recipe)), sort_keys=True)
    return hashlib.sha256((text + plan.digest()).encode()).hexdigest()[:16]


def film_identity(plan: Plan, recipe: DictConfig | None = None) -> dict[str, Any]:
    """Return the recipe of a plan without what changes no picture.

    Why its engine was chosen, measures, the name of its experiment, and where the files lie whose
    content it records.
    """
    recipe = read_recipe(plan, "of this run") if recipe is None else recipe
    identity = plain_values(recipe)
    for key in ("measure", EXPERIMENT):
        identity["config"].pop(key, None)
    if isinstance(identity.get("engine"), dict):
        identity["engine"].pop("why", None)
    config = input_files.without_paths(identity["config"], files_of(recipe))
    return identity | {"config": config}


def differences(before: Mapping[str, Any], after: Mapping[str, Any], parent: str = "") -> list[str]:
    """Return the dotted keys in which two configs differ, each with both values."""
    changed = []
    for key in sorted({*before, *after}, key=str):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += differences(old, new, f"{parent}{key}.")
        elif old != new:
            changed.append(f"{parent}{key} was {old}, is {new}")
    return changed


def config_with_plan(
    config: dict[str, Any],
    overridden: Iterable[str],
    verb: str,
    explicit: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return the config to render ``config["plan"]`` by.

    That of the plan's recipe, with overrides on top.

    Args:
        config: resolved, as plain values.
        overridden: the dotted keys of ``config`` that were set beside the defaults.
        verb: that the command line said.
        explicit: those of them that the command line itself set; all of them if left out. Files
            under other keys must be those that the recipe records.

    Raises:
        RequestError: an override contradicts the plan, or a file is not the recorded one.
    """
    path = config.get("plan")
    if path is None:
        return config
    overridden = [key for key in overridden if key != "plan"]
    for key in overridden:
        if key.split(".")[0] in PLAN_KEYS:
            raise RequestError(
                f"plan={path} already decides which units are ablated when; leave out {key}"
            )
    plan = load_plan(Path(path))
    if plan.recipe:
        recipe = read_recipe(plan, path)
        base = recipe["config"]
        for key in overridden:
            value = OmegaConf.select(OmegaConf.create(config), key)
            OmegaConf.update(base, key, value, merge=False, force_add=True)
        base["plan"] = path
        for key in EXECUTION_KEYS:
            base[key] = config.get(key)
        if not any(key.split(".")[0] == "engine" for key in overridden):
            base["engine"] = engine_config(recipe)
        config = plain_values(base)
        if "film.font" not in overridden:
            config = input_files.with_kept_font(config, files_of(recipe), Path(path).parent)
        chosen = overridden if explicit is None else explicit
        input_files.verify(config, files_of(recipe), Path(path), verb, chosen)
    settings = config["film"]
    if "film.duration" not in overridden:
        settings["duration"] = len(plan) / settings["fps"]
    frames = round(settings["fps"] * settings["duration"])
    if frames != len(plan):
        raise RequestError(
            f"plan {path} has {len(plan)} frames, and film.fps x film.duration asks for {frames}; "
            "leave out film.duration"
        )
    return config
