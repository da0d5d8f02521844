"""A dream: its parts, put together once and made ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from forgetting import decoder, encoder, intent
from forgetting import recipe as recipes
from forgetting.assembly import GENERATORS, INTENT, instantiate, intents, must_be
from forgetting.dreaming.ascent import Ascent, Way, resized
from forgetting.dreaming.dreamer import Dreamer, levels, turned
from forgetting.dreaming.films import Dive, Kind, Over, Still
from forgetting.dreaming.objectives import Channel, Class, Direction, Energy, Guide, Ladder, Objective, Unit
from forgetting.dreaming.sources import Colour, Face, Footage, Photograph, Source, Static
from forgetting.dreaming.stage import Dream, Torch
from forgetting.engines import eager
from forgetting.engines.auto import Auto
from forgetting.engines.precision import WORTH
from forgetting.errors import RequestError
from forgetting.experiment import Run, earlier, match
from forgetting.film import Film
from forgetting.intent import Intent
from forgetting.layout import Caption, Layout
from forgetting.memory import Levels, mapped
from forgetting.plan import Plan
from forgetting.seeing.networks import Named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The parts of one dream."""

    sight: Named
    dream: Kind
    source: Source
    objectives: tuple[Objective | Ladder, ...]
    ascent: Ascent
    intents: tuple[Intent, ...]
    film: Film
    engine: Auto | eager.Torch
    plan: str | None = None


KINDS: Mapping[str, tuple[type, ...]] = {
    "sight": (Named,),
    "dream": (Dive, Still, Over),
    "source": (Static, Colour, Photograph, Face, Footage),
    "objective": (Ladder, Energy, Channel, Unit, Direction, Class, Guide),
    "ascent": (Ascent,),
    "film": (Film,),
    "engine": (Auto, eager.Torch),
}
"""What may stand under a key."""


def assemble(config: Mapping[str, Any]) -> Parts:
    """A resolved config -> its parts; every value is checked here, before anything slow begins."""
    nodes = {key: value for key, value in config.items() if key not in (*recipes.HOW, "tracks", "objectives", *INTENT)}
    settings = {key: instantiate(value, key) for key, value in nodes.items()}
    for key, kinds in KINDS.items():
        must_be(settings.get(key), config.get(key), key, *kinds)
    found = [settings.pop("objective")]
    for name, node in (config.get("objectives") or {}).items():
        found.append(instantiate(node, f"objectives.{name}"))
        must_be(found[-1], node, f"objectives.{name}", *KINDS["objective"])
    if isinstance(settings["source"], Face):
        must_be(settings["source"].generator, config["source"]["generator"], "source.generator", *GENERATORS)
    if settings["film"].wall is not None:
        raise RequestError(f"film.wall is for people who die by the same plan, and a dream has none, got {settings['film'].wall}")
    return Parts(**settings, objectives=tuple(found), intents=intents(config, settings["film"].ending))


def timed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a film with its ``fps`` and ``duration``: those of the film it is dreamed over, where it does not say them."""
    film = config["film"]
    if "dream" not in config or (film["fps"] is not None and film["duration"] is not None):
        return dict(config)
    source = instantiate(config["source"], "source")
    if not isinstance(source, Footage):
        raise RequestError("film.fps and film.duration are those of source=film alone; say how fast and how long this one is")
    fps = source.rate if film["fps"] is None else film["fps"]
    duration = decoder.length(source.file) / source.rate if film["duration"] is None else film["duration"]
    return {**config, "film": {**film, "fps": fps, "duration": duration}}


@torch.no_grad()
def prepare(config: Mapping[str, Any], known: Plan | None = None) -> Run:
    """Load the network, open the source, make the plan - or go by ``known``, which an earlier run of this config made."""
    parts = assemble(config)
    seer = parts.sight()
    scenery = parts.dream.opened(parts.source, parts.film.size, parts.film.fps)
    first = scenery.picture(0)
    seer.check(scenery.size)
    # A dream is as large as it was dreamed; what is small is not enlarged.
    parts = replace(parts, film=replace(parts.film, size=scenery.size[0]))
    shape = parts.film.shape(*scenery.size)
    ws = resized(first, (seer.shape[1], seer.shape[2])).reshape(1, 1, -1)
    scene = intent.scene(seer, ws, parts.intents)
    known, asked = earlier(parts.plan, known, parts.engine)
    if known is not None:
        match(known, seer, scene, parts.intents)
    ranks = [] if known else [one.rank(seer, ws) for one in parts.intents]
    plan = known or intent.planned(seer, parts.intents, ranks, parts.film.frames, None)
    device = eager.found(asked.device)
    knobs, mask = turned(scene, device), parts.ascent.area(scenery.size)
    seer.to(device)
    still = [(one.weight, one.bind(seer)) for one in parts.objectives if not isinstance(one, Ladder)]
    ladders = [one for one in parts.objectives if isinstance(one, Ladder)]
    dreamer = Dreamer(seer, parts.ascent, still, ladders, scenery, knobs, plan, parts.film.fps, torch.float32, device, mask)
    for name in (name for ladder in ladders for name in ladder.steps(seer)):  # every layer is there whose turn will come
        Energy(name).bind(seer)
    precision, why = _precision(asked.precision, dreamer.way(len(plan) // 2), first.to(device))
    dreamer = replace(dreamer, precision=getattr(torch, precision))
    engine = Torch(precision, device)
    log.info("%s", f"torch in {precision} on {device}: {why}")
    film = encoder.settled(parts.film, device)
    plan = replace(plan, recipe=recipes.write(config, seer, engine, why, film, shape))
    reference = _reference(dreamer, parts, first) if film.layout != "face" else None
    captions = [caption for ladder in ladders for caption in _captions(ladder, dreamer)]
    layout = Layout(film, plan, scenery.size, [*captions, *intent.captions(parts.intents, film)], reference)
    return Run(Dream(replace(dreamer, plan=plan), parts.dream, engine, layout))


def _precision(asked: str, way: Way, picture: torch.Tensor) -> tuple[str, str]:
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
    return ("bfloat16" if ratio >= WORTH else "float32"), f"bfloat16 takes {1 / ratio:.2f} times as long as float32 here"


def _reference(dreamer: Dreamer, parts: Parts, first: torch.Tensor) -> Levels:
    """What the cells of the map say when all is intact, of a picture in which there is something for every layer."""
    seer = dreamer.seer
    everything = [(1.0, Energy(name).bind(seer)) for name in seer.ladder]
    way = Way(seer, everything, parts.ascent.tile, parts.ascent.overlap, mask=dreamer.mask)
    picture = parts.ascent(way, first.to(dreamer.device))
    return levels(seer, picture, mapped(track.layers for track in dreamer.plan.tracks))


def _captions(ladder: Ladder, dreamer: Dreamer) -> Iterator[Caption]:
    """The names of the layers, each in its turn."""
    if not ladder.captions:
        return
    turn, length = ladder.turn(dreamer.seer, dreamer.frames) / dreamer.fps, dreamer.frames / dreamer.fps
    steps = ladder.steps(dreamer.seer)
    for number, name in enumerate(steps):
        yield Caption(name, number * turn, length if number == len(steps) - 1 else (number + 1) * turn)
