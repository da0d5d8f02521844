"""The stage of a dream: its frames, as bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from forgetting.ablation.plan import Plan
from forgetting.dreams.checkpoints import FrameCheckpoints
from forgetting.dreams.dreamer import Dreamer
from forgetting.dreams.modes import DreamMode
from forgetting.engines.engine import Frame, Rendered, to_bytes
from forgetting.film.compositor import Compositor
from forgetting.models.activity import map_layers


@dataclass(frozen=True)
class TorchInfo:
    """How the network of a dream is run."""

    precision: str
    device: str
    name: str = "torch"


@dataclass(frozen=True)
class DreamFrames:
    """Everything that makes the finished frames of a dream; of one whose frames follow from each other, ``kept`` is what it may go on
    with."""

    dreamer: Dreamer
    kind: DreamMode
    engine: TorchInfo
    layout: Compositor
    kept: FrameCheckpoints = field(default_factory=lambda: FrameCheckpoints(None, 1))

    @property
    def sequential(self) -> bool:
        return self.kind.sequential

    def ready(self, plan: Plan, folder: Path | None) -> DreamFrames:
        film = self.layout.film
        kept = FrameCheckpoints(folder, film.segment * film.every)
        return replace(
            self,
            dreamer=replace(self.dreamer, plan=plan),
            layout=replace(self.layout, plan=plan),
            kept=kept,
        )

    @torch.no_grad()  # but for the way up itself; as a decorator it lets go wherever a frame is handed out
    def shots(self, indices: Sequence[int]) -> Iterator[Rendered]:
        """The pictures of those frames, in order, and what the cells of the map say."""
        listened = (
            map_layers(track.layers for track in self.layout.plan.tracks)
            if self.layout.film.layout != "face"
            else ()
        )
        for index, picture in zip(
            indices, self.kind.pictures(self.dreamer, indices, self.kept), strict=True
        ):
            levels = self.dreamer.levels(picture, index, listened) if listened else None
            yield to_bytes(self.dreamer.faded(picture, index))[0].cpu().contiguous().numpy(), levels

    def compared(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Those frames, each with the first of the film: what the dream would be if nobody had died, nobody knows."""
        first: list[Frame] = []
        for index, (picture, _) in zip(indices, self.shots(indices), strict=True):
            first[:] = first or [picture]
            yield index, picture, first[0]
