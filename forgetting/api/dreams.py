"""Dreams for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from forgetting.ablation.curves import Never
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec, ablation_task, make_plan
from forgetting.api.networks import FilmFile, write_film
from forgetting.dreams.ascent import GradientAscent
from forgetting.dreams.dreamer import Dreamer, bind_operators
from forgetting.dreams.frame_source import DreamFrames, TorchInfo
from forgetting.dreams.modes import Dive, DreamMode
from forgetting.dreams.objectives import Energy, Objective
from forgetting.dreams.resizing import resize
from forgetting.dreams.sequences import ObjectiveSequence
from forgetting.dreams.sources import DreamSource, StaticNoise
from forgetting.engines.pixels import Frame
from forgetting.film.settings import FilmSettings
from forgetting.models.classifier import ClassifierLoader
from forgetting.models.classifier_zoo import NamedClassifier


@torch.no_grad()
def dream_frames(
    frames: int = 48,
    size: int = 256,
    fps: float = 24,
    objectives: Sequence[Objective | ObjectiveSequence] = (),
    dream: DreamMode | None = None,
    source: DreamSource | None = None,
    classifier: ClassifierLoader | None = None,
    ascent: GradientAscent | None = None,
) -> Iterator[Frame]:
    """Render the frames [H, W, 3] of a dream one at a time, in float32 on the CPU.

    Args:
        frames: their number.
        size: height of the frames in pixels.
        fps: frames per second, which the pace of a dive depends on.
        objectives: what the dream increases; the energy of the network's middle layer if left out.
        dream: how a frame depends on the one before; a dive if left out.
        source: what is dreamed upon; noise if left out.
        classifier: the network; EfficientNet-lite2 if left out.
        ascent: how a picture is changed.

    Raises:
        RequestError: a network that does not have what an objective names, or an impossible size.
    """
    network = (classifier or NamedClassifier("efficientnet-lite2")).load()
    mode = dream or Dive()
    provider = mode.open(source or StaticNoise(), size, fps)
    network.check_size(provider.size)
    first = resize(provider.picture(0), (network.shape[1], network.shape[2]))
    ws = first.reshape(1, 1, -1)
    intact = TrackSpec(Random(), Zero(), Schedule(Never()), UnitPacing())
    plan = make_plan(network, [intact], [intact.rank(network, ws)], frames, None)
    parts = objectives or (Energy(),)
    climb = ascent or GradientAscent()
    dreamer = Dreamer(
        network,
        climb,
        [
            (part.weight, part.bind(network))
            for part in parts
            if not isinstance(part, ObjectiveSequence)
        ],
        [part for part in parts if isinstance(part, ObjectiveSequence)],
        provider,
        bind_operators(ablation_task(network, ws, [intact]), "cpu"),
        plan,
        fps,
        torch.float32,
        "cpu",
        climb.area(provider.size),
    )
    film = FilmSettings(fps=fps, duration=frames / fps, size=provider.size[0])
    source_of_frames = DreamFrames(dreamer, mode, TorchInfo("float32", "cpu"), film)
    return (rendered.rgb for rendered in source_of_frames.frames(range(frames)))


def dream_film(
    path: str | Path,
    frames: int = 48,
    size: int = 256,
    fps: float = 24,
    objectives: Sequence[Objective | ObjectiveSequence] = (),
    dream: DreamMode | None = None,
    source: DreamSource | None = None,
    classifier: ClassifierLoader | None = None,
    ascent: GradientAscent | None = None,
) -> FilmFile:
    """Render a dream into an .mp4; the arguments are those of :func:`dream_frames`.

    The film appears whole or not at all.
    """
    pictures = dream_frames(frames, size, fps, objectives, dream, source, classifier, ascent)
    return write_film(pictures, frames, fps, Path(path), "a dream")
