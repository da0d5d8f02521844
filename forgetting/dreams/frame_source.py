"""The frames of a dream, as bytes."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from forgetting.ablation.plan import Plan
from forgetting.dreams.checkpoints import FrameCheckpoints
from forgetting.dreams.dreamer import Dreamer
from forgetting.dreams.modes import DreamMode
from forgetting.engines.engine import Rendered
from forgetting.engines.pixels import Frame, to_bytes
from forgetting.film.captions import Caption
from forgetting.film.compositor import Compositor
from forgetting.film.settings import FilmSettings
from forgetting.models.activity import Activity, map_layers
from forgetting.models.units import Layer


@dataclass(frozen=True)
class TorchInfo:
    """How the network of a dream is run."""

    precision: str
    device: str
    name: str = "torch"

    def versions(self) -> Mapping[str, str]:
        """Return nothing: a dream depends on no package besides torch and numpy."""
        return {}


@dataclass(frozen=True)
class DreamFrames:
    """The frames of a dream.

    Args:
        dreamer: the network, with the plan of the film.
        mode: how a frame depends on the source and on the frame before.
        engine: how the network is run.
        film: how the film is written.
        captions: texts that are written into the picture.
        reference: the activity of the intact network, if the film shows a memory map.
        checkpoints: of a dream whose frames depend on the frame before.
    """

    dreamer: Dreamer
    mode: DreamMode
    engine: TorchInfo
    film: FilmSettings
    captions: Sequence[Caption] = ()
    reference: Activity | None = None
    checkpoints: FrameCheckpoints = field(default_factory=lambda: FrameCheckpoints(None, 1))

    @cached_property
    def compositor(self) -> Compositor:
        """How the frames are composed, by the dreamer's plan."""
        size = self.dreamer.provider.size
        return Compositor(self.film, self.dreamer.plan, size, self.captions, self.reference)

    @property
    def sequential(self) -> bool:
        """Whether a frame depends on the frame before."""
        return self.mode.sequential

    def with_plan(self, plan: Plan, folder: Path | None) -> DreamFrames:
        """Return the same source for an existing plan; its checkpoints lie in ``folder``."""
        return replace(
            self,
            dreamer=replace(self.dreamer, plan=plan),
            checkpoints=FrameCheckpoints(folder, self.film.segment * self.film.every),
        )

    # The ascent enables gradients for itself. As a decorator, no_grad is undone while a frame is
    # handed out.
    @torch.no_grad()
    def frames(
        self, indices: Sequence[int], rgb: Container[int] | None = None
    ) -> Iterator[Rendered]:
        """Render these frames as RGB, in order, and the activity of the cells of a memory map."""
        layers: tuple[Layer, ...] = ()
        if self.film.layout != "face":
            layers = map_layers(track.layers for track in self.dreamer.plan.tracks)
        pictures = self.mode.frames(self.dreamer, indices, self.checkpoints)
        for index, picture in zip(indices, pictures, strict=True):
            activity = self.dreamer.record_activity(picture, index, layers) if layers else None
            faded = to_bytes(self.dreamer.fade(picture, index))[0]
            yield Rendered(faded.cpu().contiguous().numpy(), activity=activity)

    def intact_pictures(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Render the first frame of the film, with which all others are compared.

        What the dream would be without any ablation is not known.
        """
        # Without checkpoints: those of the film lie beyond its first frame.
        alone = replace(self, checkpoints=FrameCheckpoints(None, 1))
        (first,) = alone.frames(self.film.indices[:1])
        return itertools.repeat(first.rgb, len(indices))

    def comparisons(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Render these frames, each with the first frame of the film."""
        intact = self.intact_pictures(indices)
        for index, rendered in zip(indices, self.frames(indices), strict=True):
            yield index, rendered.rgb, next(intact)
