"""Plans of jobs: one that exists already, whether it fits, and the recipe in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.plan import Plan, load_plan
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.engine import EngineInfo
from forgetting.errors import RequestError
from forgetting.film import recipe as recipes
from forgetting.film.captions import Caption
from forgetting.film.encoder import resolve_encoder
from forgetting.film.settings import FilmSettings
from forgetting.jobs.configs import build_part
from forgetting.models.generator import Generator


def existing_plan(path: str | None, of_run: Plan | None, engine: Any) -> tuple[Plan | None, Any]:
    """Return the plan to render by, if one exists, and the engine's settings.

    Args:
        path: of the plan that the config names.
        of_run: the plan of the run that is resumed. It is rendered by the engine of its recipe.
        engine: the settings in the config.
    """
    if of_run is not None:
        node = recipes.engine_config(recipes.read_recipe(of_run, "of this run"))
        return of_run, build_part(node, "engine")
    return (None if path is None else load_plan(Path(path))), engine


def check_plan_matches(
    plan: Plan, generator: Generator, task: AblationTask, specs: Sequence[TrackSpec]
) -> None:
    """Raise unless the plan is for this network, and its tracks are those of the config."""
    plan.check(generator)
    of_plan = [(track.name, [layer.name for layer in track.layers]) for track in plan.tracks]
    of_config = [
        (spec.name, [layer.name for layer in target.units.layers])
        for spec, target in zip(specs, task.targets, strict=True)
    ]
    if of_plan != of_config:
        described = [
            ", ".join(f"{name or 'one'} over {len(layers)} layers" for name, layers in tracks)
            for tracks in (of_plan, of_config)
        ]
        raise RequestError(
            f"the plan's tracks ({described[0]}) are not those of the config ({described[1]}); "
            "render it by its own recipe"
        )


def with_recipe(
    plan: Plan,
    config: dict[str, Any],
    generator: Generator,
    engine: EngineInfo,
    why: str,
    film: FilmSettings,
    size: tuple[int, int],
    captions: Sequence[Caption],
) -> tuple[Plan, FilmSettings]:
    """Return the plan with its recipe, and the film's settings with their encoder resolved.

    Args:
        plan: of the film.
        config: resolved, as plain values.
        generator: the network, whose weights the recipe identifies.
        engine: what renders it.
        why: why that engine was chosen, in a sentence.
        film: the settings.
        size: height and width of the network's picture.
        captions: of the film.
    """
    film = resolve_encoder(film, engine.device)
    texts = [film.title or "", *(caption.text for caption in captions)]
    recipe = recipes.write_recipe(config, generator, engine, why, film, film.shape(*size), texts)
    return replace(plan, recipe=recipe), film
