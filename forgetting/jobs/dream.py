"""The job of filming a dream: its config parsed once, and its frame source."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import TrackSpec, ablation_task, make_plan
from forgetting.dreams.ascent import GradientAscent
from forgetting.dreams.dreamer import Dreamer, bind_operators, record_activity
from forgetting.dreams.frame_source import DreamFrames, TorchInfo
from forgetting.dreams.modes import DreamMode
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy, Objective
from forgetting.dreams.precision import choose_precision
from forgetting.dreams.resizing import resize
from forgetting.dreams.sequences import ObjectiveSequence, frames_per_step
from forgetting.dreams.sources import DreamSource, GeneratedFace, VideoSource
from forgetting.engines.auto import AutoConfig
from forgetting.engines.torch_cpu import TorchConfig, resolve_device
from forgetting.errors import RequestError
from forgetting.film import decoder
from forgetting.film.captions import Caption, act_captions, check_texts
from forgetting.film.settings import FilmSettings
from forgetting.jobs.configs import (
    Execution,
    build_key,
    build_part,
    check_group,
    settings_under,
    track_specs,
    with_resolved_font,
)
from forgetting.jobs.plans import check_plan_matches, existing_plan, with_recipe
from forgetting.models.activity import Activity, map_layers
from forgetting.models.classifier import ClassifierLoader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DreamJob:
    """A film of a dream, with every value checked.

    Args:
        config: the resolved config as plain values, as the recipe holds it.
        classifier: loads the network.
        dream: how a frame depends on the source and on the frame before.
        source: what is dreamed upon.
        objectives: what the dream ascends; their weighted gradients are added.
        ascent: how it ascends.
        tracks: which units are ablated meanwhile, by what and when.
        film: how the film is written.
        engine: what runs the network.
        execution: how it is made and measured.
        plan: path of an existing plan to dream by.
    """

    verb: ClassVar[str] = "dream"
    config: dict[str, Any]
    classifier: ClassifierLoader
    dream: DreamMode
    source: DreamSource
    objectives: tuple[Objective | ObjectiveSequence, ...]
    ascent: GradientAscent
    tracks: tuple[TrackSpec, ...]
    film: FilmSettings
    engine: AutoConfig | TorchConfig
    execution: Execution
    plan: str | None = None

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> DreamJob:
        """Parse a resolved config.

        A film over a film takes its rate and length where the config leaves them out.

        Raises:
            RequestError: a value that is not possible; nothing slow has begun.
        """
        execution = Execution.from_config(config)
        trusted = execution.trusted
        source = build_key(config, "source", trusted)
        if isinstance(source, GeneratedFace):
            check_group(config["source"]["generator"], "source.generator", "generator")
        config = with_resolved_font(_with_source_timing(config, source))
        film = build_key(config, "film", trusted)
        film.check_soundtrack()
        objectives = [build_key(config, "objective", trusted)]
        for name, node in settings_under(config, "objectives").items():
            check_group(node, f"objectives.{name}", "objective")
            objectives.append(build_part(node, f"objectives.{name}", trusted))
        engine = build_key(config, "engine", trusted)
        if not isinstance(engine, AutoConfig | TorchConfig):
            raise RequestError(f"dreams need gradients: take engine=torch or auto, not {engine!r}")
        if film.grid is not None:
            raise RequestError(
                f"film.grid shows several faces, and a dream has none, got {film.grid}; leave it "
                "out"
            )
        tracks = track_specs(config, film.ending, trusted)
        check_texts(film, [spec.schedule for spec in tracks])
        return DreamJob(
            config,
            build_key(config, "classifier", trusted),
            build_key(config, "dream", trusted),
            source,
            tuple(objectives),
            build_key(config, "ascent", trusted),
            tracks,
            film,
            engine,
            execution,
            config.get("plan"),
        )

    @torch.no_grad()
    def prepare(self, plan_of_run: Plan | None = None) -> DreamFrames:
        """Load the network, open the source, and make the plan unless there is one.

        Args:
            plan_of_run: the plan that an earlier run of this job made.
        """
        classifier = self.classifier.load()
        provider = self.dream.open(self.source, self.film.size, self.film.fps)
        first = provider.picture(0)
        classifier.check_size(provider.size)
        # A film is as large as its dream: small ones are not enlarged.
        film = replace(self.film, size=provider.size[0])
        ws = resize(first, (classifier.shape[1], classifier.shape[2])).reshape(1, 1, -1)
        task = ablation_task(classifier, ws, self.tracks)
        plan, engine_config = existing_plan(self.plan, plan_of_run, self.engine)
        if plan is not None:
            check_plan_matches(plan, classifier, task, self.tracks)
        else:
            ranks = [spec.rank(classifier, ws) for spec in self.tracks]
            plan = make_plan(classifier, self.tracks, ranks, film.frames, None)
        device = resolve_device(engine_config.device)
        bound, mask = bind_operators(task, device), self.ascent.area(provider.size)
        classifier.to(device)
        sequences = [part for part in self.objectives if isinstance(part, ObjectiveSequence)]
        dreamer = Dreamer(
            classifier,
            self.ascent,
            [
                (part.weight, part.bind(classifier))
                for part in self.objectives
                if not isinstance(part, ObjectiveSequence)
            ],
            sequences,
            provider,
            bound,
            plan,
            film.fps,
            torch.float32,
            device,
            mask,
        )
        for sequence in sequences:
            for step in sequence.steps(classifier):
                sequence.member(step, 1.0).bind(classifier)  # raises where there is no such step
        gradient = dreamer.objective_gradient(len(plan) // 2)
        precision, why = engine_config.precision, "as requested"
        if precision == "auto":
            precision, why = choose_precision(gradient, first.to(device))
        dreamer = replace(dreamer, precision=getattr(torch, precision))
        engine = TorchInfo(precision, device)
        log.info("%s", f"torch in {precision} on {device}: {why}")
        captions = [caption for part in sequences for caption in _captions(part, dreamer)]
        captions += act_captions([spec.schedule for spec in self.tracks], film)
        plan, film = with_recipe(
            plan, self.config, classifier, engine, why, film, provider.size, captions
        )
        reference = self._reference_activity(dreamer, first) if film.layout != "face" else None
        dreamer = replace(dreamer, plan=plan)
        frames = DreamFrames(dreamer, self.dream, engine, film, captions, reference)
        frames.compositor.check_texts()
        return frames

    def _reference_activity(self, dreamer: Dreamer, first: torch.Tensor) -> Activity:
        """Return the activity of the intact network for a picture that excites all layers."""
        classifier = dreamer.classifier
        parts = [(1.0, Energy(name).bind(classifier)) for name in classifier.layer_sequence]
        gradient = ObjectiveGradient(
            classifier, parts, self.ascent.tile, self.ascent.overlap, mask=dreamer.mask
        )
        picture = self.ascent.climb(gradient, first.to(dreamer.device))
        layers = map_layers(track.layers for track in dreamer.plan.tracks)
        return record_activity(classifier, picture, layers)


def _with_source_timing(config: Mapping[str, Any], source: DreamSource) -> dict[str, Any]:
    """Return the config with ``film.fps`` and ``film.duration``.

    Those of the source where they are null.
    """
    film = settings_under(config, "film")
    given = {"fps": None, "duration": None} | dict(film)
    if given["fps"] is not None and given["duration"] is not None:
        return dict(config)
    if not isinstance(source, VideoSource):
        raise RequestError(
            "film.fps and film.duration can be left out with source=film alone; "
            "set film.fps and film.duration"
        )
    fps = source.rate if given["fps"] is None else given["fps"]
    duration = given["duration"]
    if duration is None:
        duration = decoder.frame_count(source.file) / source.rate
    return {**config, "film": {**film, "fps": fps, "duration": duration}}


def _captions(sequence: ObjectiveSequence, dreamer: Dreamer) -> Iterator[Caption]:
    """Yield the names of the members of a sequence as captions."""
    if not sequence.captions:
        return
    seconds = frames_per_step(sequence, dreamer.classifier, dreamer.frames) / dreamer.fps
    length = dreamer.frames / dreamer.fps
    names = sequence.steps(dreamer.classifier)
    for number, name in enumerate(names):
        end = length if number == len(names) - 1 else (number + 1) * seconds
        yield Caption(name, number * seconds, end)
