"""The job of filming a face: its config parsed once, and its frame source."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import TrackSpec, ablation_task, make_plan, sample_rows
from forgetting.engines.dead_units import choose_dead_units
from forgetting.engines.engine import EngineConfig, FrameRequest, Outputs, render_rows
from forgetting.engines.pixels import from_bytes
from forgetting.film.captions import act_captions, check_texts
from forgetting.film.compositor import Compositor
from forgetting.film.contact_sheet import sample_positions
from forgetting.film.render import FaceFrames
from forgetting.film.settings import FilmSettings
from forgetting.jobs.configs import Execution, build_key, track_specs, with_resolved_font
from forgetting.jobs.identity import task_identity
from forgetting.jobs.plans import check_plan_matches, existing_plan, with_recipe
from forgetting.models.generator import Generator
from forgetting.models.latents import Latent
from forgetting.models.noise import ConstantNoise, NoiseMode
from forgetting.models.wrappers import WithMapping

log = logging.getLogger(__name__)

SAMPLES = 5
"""Frames of the film on which precisions are compared."""


@dataclass(frozen=True)
class FaceJob:
    """A film of a face that forgets, with every value checked.

    Args:
        config: the resolved config as plain values, as the recipe holds it.
        generator: loads the network.
        latent: the face.
        noise: what the network's noise does.
        tracks: which units are ablated, by what and when.
        film: how the film is written.
        engine: what renders it.
        execution: how it is made and measured.
        plan: path of an existing plan to render by.
    """

    verb: ClassVar[str] = "render"
    config: dict[str, Any]
    generator: Any
    latent: Latent
    noise: NoiseMode
    tracks: tuple[TrackSpec, ...]
    film: FilmSettings
    engine: EngineConfig
    execution: Execution
    plan: str | None = None

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> FaceJob:
        """Parse a resolved config.

        Raises:
            RequestError: a value that is not possible; nothing slow has begun.
        """
        execution = Execution.from_config(config)
        config = with_resolved_font(config)
        trusted = execution.trusted
        film = build_key(config, "film", trusted)
        film.check_soundtrack()
        noise = build_key(config, "noise", trusted) if "noise" in config else ConstantNoise()
        tracks = track_specs(config, film.ending, trusted)
        check_texts(film, [spec.schedule for spec in tracks])
        latent: Latent = build_key(config, "latent", trusted)
        latent.of_grid(film.faces)  # checks the number of its seeds
        return FaceJob(
            config,
            build_key(config, "generator", trusted),
            latent,
            noise,
            tracks,
            film,
            build_key(config, "engine", trusted),
            execution,
            config.get("plan"),
        )

    @torch.no_grad()  # no inference mode: orderings may need gradients of what is loaded here
    def prepare(self, plan_of_run: Plan | None = None) -> FaceFrames:
        """Load the network, find the face, and make the plan unless there is one.

        Args:
            plan_of_run: the plan that an earlier run of this job made.
        """
        generator = self.generator.load()
        if any("mapping" in spec.kinds for spec in self.tracks):
            generator = WithMapping(generator)
        generator = self.noise.apply(generator)
        latents = self.latent.of_grid(self.film.faces)
        moving = self.latent.moves or self.noise.moves or len(latents) > 1
        ws = latents[0].sample(generator)
        self.film.shape(*generator.size)  # checks it
        identity = task_identity(self.config, generator, ws)
        task = ablation_task(generator, ws, self.tracks)
        task = replace(task, moving=moving, identity=identity)
        plan, engine_config = existing_plan(self.plan, plan_of_run, self.engine)
        if plan is not None:
            check_plan_matches(plan, generator, task, self.tracks)
            sample = plan.rows(sample_positions(len(plan), SAMPLES))
            engine, why = engine_config.choose(task, sample)
        else:
            ranks = [spec.rank(generator, ws) for spec in self.tracks]
            engine, why = engine_config.choose(task, sample_rows(self.tracks, ranks, SAMPLES))

            def render_row(row: Tensor) -> Tensor:
                return from_bytes(next(render_rows(engine, row)))

            key = task.key(
                self.config["engine"], engine.name, engine.precision, dict(engine.versions())
            )
            plan = make_plan(generator, self.tracks, ranks, self.film.frames, render_row, key)
        log.info("%s", why)
        log.debug("%s", _described(generator, plan))
        captions = act_captions([spec.schedule for spec in self.tracks], self.film)
        plan, film = with_recipe(
            plan, self.config, generator, engine, why, self.film, generator.size, captions
        )
        intact = None
        if film.layout != "face":
            outputs = Outputs(activity=True)
            (rendered,) = engine.render([FrameRequest(torch.zeros(len(task)), outputs=outputs)])
            assert rendered.activity is not None
            intact = rendered.activity[:, 0, 0]
        if (dead := choose_dead_units(plan, film.indices)) is not None:
            engine = engine.skipping(dead)
        compositor = Compositor(film, plan, generator.size, captions, intact)
        compositor.check_texts()
        still = None if self.latent.moves else [latent.sample(generator) for latent in latents]
        frames = film.frames

        def face_at(index: int, number: int) -> Tensor:
            if still is not None:
                face = still[number]
            else:
                face = latents[number].sample(generator, index, frames)
            return self.noise.animate(face, index, frames)

        return FaceFrames(engine, compositor, face_at if moving else None)


def _described(generator: Generator, plan: Plan) -> str:
    """Return how large a network is, and what a plan ablates of it."""
    layers = len(generator.layers)
    tracks = ", ".join(f"{track.name or 'all'}: {len(track.units)}" for track in plan.tracks)
    return f"a network of {layers} layers; the units of the tracks are {tracks}"
