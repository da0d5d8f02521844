"""Plan -> film: frames of faces, and the segments that any frame source is written into.

A frame's row of the plan goes to the engine; bytes come back, are composed, and go to the encoder
of their segment in a thread of its own, while the next frame is rendered. A frame of a face never
looks at another frame, so any frame can be rendered alone, and segments in any order on any
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.engines.engine import Engine, EngineInfo, Frame, FrameRequest, Rendered
from forgetting.film import grid as grids
from forgetting.film.compositor import Compositor
from forgetting.film.forecast import forecast_disk, forecast_time
from forgetting.film.segments import SegmentStore
from forgetting.film.writer_thread import consume_in_thread
from forgetting.models.activity import Activity
from forgetting.progress import track

RECORDING_STEP = 12
"""Every twelfth frame of the plan records the activity of its units: at 24 frames per second,
twice a second."""


class FrameSource(Protocol):
    """Everything that renders the frames of a film: a face, a dream."""

    @property
    def compositor(self) -> Compositor:
        """How its frames are composed; holds the plan and the film's settings."""
        ...

    @property
    def engine(self) -> EngineInfo:
        """What renders it."""
        ...

    @property
    def sequential(self) -> bool:
        """Whether a frame depends on the one before, so that no part can be rendered alone."""
        ...

    def with_plan(self, plan: Plan, folder: Path | None) -> FrameSource:
        """Return the same source for an existing plan.

        Checkpoints for resuming are stored in ``folder``.
        """
        ...

    def frames(self, indices: Sequence[int]) -> Iterator[Rendered]:
        """Render these frames of the plan, in order, and the activity of the map's cells."""
        ...

    def comparisons(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Render these frames without composing them, each with the picture it is compared with."""
        ...


def composed_frames(source: FrameSource, indices: Sequence[int]) -> Iterator[Frame]:
    """Render these frames as they are written into the film."""
    for index, rendered in zip(indices, source.frames(indices), strict=True):
        yield source.compositor.compose(index, *rendered)


@dataclass(frozen=True)
class FaceFrames:
    """The frames of a face, or of a grid of faces.

    Args:
        engine: renders the face.
        compositor: composes its frames.
        face_at: the face [1, L, W] of a frame in films whose face moves, by the frame's index and
            the number of the face in a grid.
        recorder: the same engine, which records activity, where the compositor draws a memory map.
            Recording is slower, so it runs at every ``RECORDING_STEP``-th frame of the plan;
            between two of these activity is interpolated, because it changes slowly.
    """

    engine: Engine
    compositor: Compositor
    face_at: Callable[[int, int], Tensor] | None = None
    recorder: Engine | None = None

    @property
    def sequential(self) -> bool:
        """Never: every frame of a face stands alone."""
        return False

    @property
    def faces(self) -> int:
        """The number of faces in a frame."""
        return self.compositor.film.faces

    def with_plan(self, plan: Plan, folder: Path | None) -> FaceFrames:
        """Return the same source for an existing plan."""
        return replace(self, compositor=replace(self.compositor, plan=plan))

    def frames(self, indices: Sequence[int]) -> Iterator[Rendered]:
        """Render these frames, in order; a grid is one picture."""
        rendered, recorded = self._render(self.engine, indices), dict[int, Activity]()
        for index in indices:
            picture = self._next_picture(rendered)
            activity = None
            if self.recorder is not None:
                activity = self._interpolate_activity(self.recorder, index, recorded)
            yield Rendered(picture, activity)

    def comparisons(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Render these frames, each with the picture of the same face without any ablation."""
        intact_row = torch.zeros_like(self.compositor.plan.row(0))
        if self.face_at is None:
            intact = self._next_picture(self.engine.render([FrameRequest(intact_row)]))
            rendered = self._render(self.engine, indices)
            for index, (picture, _) in zip(indices, rendered, strict=True):
                yield index, picture, intact
            return
        for index in indices:
            ablated = self._next_picture(self._render(self.engine, [index]))
            yield (
                index,
                ablated,
                self._next_picture(self._render(self.engine, [index], intact_row)),
            )

    def _render(
        self, engine: Engine, indices: Iterable[int], row: Tensor | None = None
    ) -> Iterator[Rendered]:
        """Render these frames, face after face of the grid; ``row`` replaces their rows."""
        return engine.render(
            FrameRequest(
                self.compositor.plan.row(index) if row is None else row,
                None if self.face_at is None else self.face_at(index, number),
            )
            for index in indices
            for number in range(self.faces)
        )

    def _next_picture(self, rendered: Iterator[Rendered]) -> Frame:
        """Return the next picture; the faces of a grid as one picture."""
        pictures = [next(rendered).frame for _ in range(self.faces)]
        if len(pictures) == 1:
            return pictures[0]
        film = self.compositor.film
        panel, (columns, _) = film.panel(*self.compositor.size), film.grid_size
        return grids.arrange(pictures, panel, columns, film.background_colour)

    def _interpolate_activity(
        self, recorder: Engine, index: int, recorded: dict[int, Activity]
    ) -> Activity:
        """Return the activity at a frame; ``recorded`` caches that of the two frames around it."""
        before = index // RECORDING_STEP * RECORDING_STEP
        after = min(before + RECORDING_STEP, len(self.compositor.plan) - 1)
        for old in [frame for frame in recorded if frame not in (before, after)]:
            del recorded[old]
        for frame in (before, after):
            if frame not in recorded:
                activities = [
                    activity
                    for _, activity in self._render(recorder, [frame])
                    if activity is not None
                ]
                recorded[frame] = np.mean(activities, axis=0, dtype=np.float32)
        share = np.float32((index - before) / max(after - before, 1))
        return (1 - share) * recorded[before] + share * recorded[after]


def render_segments(
    source: FrameSource, store: SegmentStore, segments: Sequence[range], since: float
) -> None:
    """Render these segments of a film into its store.

    Args:
        source: renders the frames.
        store: where segments are written.
        segments: ranges of positions in the film.
        since: when work on them began, on the clock of ``time.monotonic``.
    """
    indices = [store.film.indices[position] for segment in segments for position in segment]

    def write(arriving: Iterator[Rendered]) -> None:
        # Composed in this thread, beside the network.
        composed = (
            source.compositor.compose(index, *rendered)
            for index, rendered in zip(indices, arriving, strict=False)
        )
        for segment in segments:
            # The seconds are recorded before a segment gets its name, so that a killed process has
            # recorded the time of everything that is not lost.
            store.write(
                segment,
                composed,
                lambda: store.record_seconds(segments[0], time.monotonic() - since),
                source.compositor.title_frames,
            )
            if segment is segments[0]:
                forecast_disk(store, segment, len(indices))

    frames = forecast_time(source.frames(indices), len(indices))
    consume_in_thread(track(frames, "rendering frames", len(indices)), write)
