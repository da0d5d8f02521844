"""A dream: its parts, put together once and made ready."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from forgetting.ablation import tracks as intent
from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import TrackSpec
from forgetting.dreams.ascent import GradientAscent, ObjectiveGradient, resize
from forgetting.dreams.dreamer import Dreamer, levels, turned
from forgetting.dreams.frame_source import DreamFrames, TorchInfo
from forgetting.dreams.modes import Dive, DreamMode, StaticImage, VideoOverlay
from forgetting.dreams.objectives import (
    ChannelMean,
    ClassLogit,
    Direction,
    Energy,
    Guide,
    LayerSequence,
    Objective,
    SingleUnit,
)
from forgetting.dreams.sources import (
    GeneratedFace,
    Photograph,
    PlainColour,
    Source,
    StaticNoise,
    VideoSource,
)
from forgetting.engines import torch_cpu
from forgetting.engines.auto import AutoConfig
from forgetting.engines.precision import MIN_SPEEDUP
from forgetting.errors import RequestError
from forgetting.film import decoder, encoder
from forgetting.film import recipe as recipes
from forgetting.film.captions import Caption, act_captions
from forgetting.film.compositor import Compositor
from forgetting.film.settings import FilmSettings
from forgetting.jobs.configs import GENERATORS, INTENT, build_part, check_type, track_specs
from forgetting.jobs.portrait import PreparedRun, check_plan_matches, existing_plan
from forgetting.models.activity import Activity, map_layers
from forgetting.models.classifier_zoo import NamedClassifier

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DreamParts:
    """The parts of one dream."""

    classifier: NamedClassifier
    dream: DreamMode
    source: Source
    objectives: tuple[Objective | LayerSequence, ...]
    ascent: GradientAscent
    intents: tuple[TrackSpec, ...]
    film: FilmSettings
    engine: AutoConfig | torch_cpu.TorchConfig
    plan: str | None = None


KINDS: Mapping[str, tuple[type, ...]] = {
    "classifier": (NamedClassifier,),
    "dream": (Dive, StaticImage, VideoOverlay),
    "source": (StaticNoise, PlainColour, Photograph, GeneratedFace, VideoSource),
    "objective": (LayerSequence, Energy, ChannelMean, SingleUnit, Direction, ClassLogit, Guide),
    "ascent": (GradientAscent,),
    "film": (FilmSettings,),
    "engine": (AutoConfig, torch_cpu.TorchConfig),
}
"""What may stand under a key."""


def assemble(config: Mapping[str, Any]) -> DreamParts:
    """A resolved config -> its parts; every value is checked here, before anything slow begins."""
    nodes = {
        key: value
        for key, value in config.items()
        if key not in (*recipes.EXECUTION_KEYS, "tracks", "objectives", *INTENT)
    }
    settings = {key: build_part(value, key) for key, value in nodes.items()}
    for key, kinds in KINDS.items():
        check_type(settings.get(key), config.get(key), key, *kinds)
    found = [settings.pop("objective")]
    for name, node in (config.get("objectives") or {}).items():
        found.append(build_part(node, f"objectives.{name}"))
        check_type(found[-1], node, f"objectives.{name}", *KINDS["objective"])
    if isinstance(settings["source"], GeneratedFace):
        check_type(
            settings["source"].generator,
            config["source"]["generator"],
            "source.generator",
            *GENERATORS,
        )
    if settings["film"].wall is not None:
        raise RequestError(
            f"film.wall is for people who die by the same plan, and a dream has none, got {settings['film'].wall}"
        )
    return DreamParts(
        **settings, objectives=tuple(found), intents=track_specs(config, settings["film"].ending)
    )


def timed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a film with its ``fps`` and ``duration``: those of the film it is dreamed over, where it does not say them."""
    film = config["film"]
    if "dream" not in config or (film["fps"] is not None and film["duration"] is not None):
        return dict(config)
    source = build_part(config["source"], "source")
    if not isinstance(source, VideoSource):
        raise RequestError(
            "film.fps and film.duration are those of source=film alone; say how fast and how long this one is"
        )
    fps = source.rate if film["fps"] is None else film["fps"]
    duration = (
        decoder.frame_count(source.file) / source.rate
        if film["duration"] is None
        else film["duration"]
    )
    return {**config, "film": {**film, "fps": fps, "duration": duration}}


@torch.no_grad()
def prepare(config: Mapping[str, Any], known: Plan | None = None) -> PreparedRun:
    """Load the network, open the source, make the plan - or go by ``known``, which an earlier run of this config made."""
    parts = assemble(config)
    classifier = parts.classifier()
    scenery = parts.dream.opened(parts.source, parts.film.size, parts.film.fps)
    first = scenery.picture(0)
    classifier.check(scenery.size)
    # A dream is as large as it was dreamed; what is small is not enlarged.
    parts = replace(parts, film=replace(parts.film, size=scenery.size[0]))
    shape = parts.film.shape(*scenery.size)
    ws = resize(first, (classifier.shape[1], classifier.shape[2])).reshape(1, 1, -1)
    scene = intent.ablation_task(classifier, ws, parts.intents)
    known, asked = existing_plan(parts.plan, known, parts.engine)
    if known is not None:
        check_plan_matches(known, classifier, scene, parts.intents)
    ranks = [] if known else [one.rank(classifier, ws) for one in parts.intents]
    plan = known or intent.make_plan(classifier, parts.intents, ranks, parts.film.frames, None)
    device = torch_cpu.resolve_device(asked.device)
    targets, mask = turned(scene, device), parts.ascent.area(scenery.size)
    classifier.to(device)
    still = [
        (one.weight, one.bind(classifier))
        for one in parts.objectives
        if not isinstance(one, LayerSequence)
    ]
    ladders = [one for one in parts.objectives if isinstance(one, LayerSequence)]
    dreamer = Dreamer(
        classifier,
        parts.ascent,
        still,
        ladders,
        scenery,
        targets,
        plan,
        parts.film.fps,
        torch.float32,
        device,
        mask,
    )
    for name in (
        name for ladder in ladders for name in ladder.steps(classifier)
    ):  # every layer is there whose turn will come
        Energy(name).bind(classifier)
    precision, why = _precision(asked.precision, dreamer.way(len(plan) // 2), first.to(device))
    dreamer = replace(dreamer, precision=getattr(torch, precision))
    engine = TorchInfo(precision, device)
    log.info("%s", f"torch in {precision} on {device}: {why}")
    film = encoder.resolve_encoder(parts.film, device)
    plan = replace(
        plan,
        recipe=recipes.write_recipe(
            config, classifier, engine, why, film, shape, dict(_files(parts))
        ),
    )
    reference = _reference(dreamer, parts, first) if film.layout != "face" else None
    captions = [caption for ladder in ladders for caption in _captions(ladder, dreamer)]
    layout = Compositor(
        film, plan, scenery.size, [*captions, *act_captions([spec.schedule for spec in parts.intents], film)], reference
    )
    return PreparedRun(DreamFrames(replace(dreamer, plan=plan), parts.dream, engine, layout))


def _precision(asked: str, way: ObjectiveGradient, picture: torch.Tensor) -> tuple[str, str]:
    """Which precision, and why. A step is a few levels of 255 along a gradient that is made even: how exact that is counts for little."""
    device = picture.device.type
    if asked != "auto":
        return asked, "as asked"
    if device != "cpu":
        return ("float16" if device == "cuda" else "float32"), "what a GPU does best"
    seconds = {}
    for precision in (torch.float32, torch.bfloat16):
        tried, found = replace(way, precision=precision), list[float]()
        for _ in range(3):
            started = time.perf_counter()
            tried.gradient(picture[:, :, : way.tile, : way.tile])
            found.append(time.perf_counter() - started)
        seconds[precision] = min(found)
    ratio = seconds[torch.float32] / seconds[torch.bfloat16]
    return (
        "bfloat16" if ratio >= MIN_SPEEDUP else "float32"
    ), f"bfloat16 takes {1 / ratio:.2f} times as long as float32 here"


def _reference(dreamer: Dreamer, parts: DreamParts, first: torch.Tensor) -> Activity:
    """What the cells of the map say when all is intact, of a picture in which there is something for every layer."""
    classifier = dreamer.classifier
    everything = [(1.0, Energy(name).bind(classifier)) for name in classifier.ladder]
    way = ObjectiveGradient(
        classifier, everything, parts.ascent.tile, parts.ascent.overlap, mask=dreamer.mask
    )
    picture = parts.ascent(way, first.to(dreamer.device))
    return levels(classifier, picture, map_layers(track.layers for track in dreamer.plan.tracks))


def _captions(ladder: LayerSequence, dreamer: Dreamer) -> Iterator[Caption]:
    """The names of the layers, each in its turn."""
    if not ladder.captions:
        return
    turn, length = (
        ladder.turn(dreamer.classifier, dreamer.frames) / dreamer.fps,
        dreamer.frames / dreamer.fps,
    )
    steps = ladder.steps(dreamer.classifier)
    for number, name in enumerate(steps):
        yield Caption(
            name, number * turn, length if number == len(steps) - 1 else (number + 1) * turn
        )


def _files(parts: DreamParts) -> Iterator[tuple[str, str]]:
    """The files that the pictures depend on, besides weights: dotted key and hash."""
    nodes = {"source": parts.source, "ascent": parts.ascent}
    nodes |= {f"objectives.{number}": one for number, one in enumerate(parts.objectives)}
    for key, part in nodes.items():
        for name in ("path", "mask"):
            if path := getattr(part, name, None):
                file = part.file if isinstance(part, VideoSource) else Path(path).expanduser()
                with file.open("rb") as opened:
                    yield f"{key}.{name}", hashlib.file_digest(opened, "sha256").hexdigest()
