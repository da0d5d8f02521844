"""Plan -> film: frames of faces, and the segments that any frame source is written into.

A frame's row of the plan goes to the engine; bytes come back, are composed, and go to the encoder
of their segment in a thread of its own, while the next frame is rendered. A frame of a face never
looks at another frame, so any frame can be rendered alone, and segments in any order on any
machine.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.plan import Plan
from forgetting.engines.engine import Engine, EngineInfo, FrameRequest, Outputs, Rendered
from forgetting.engines.pixels import Frame
from forgetting.film import grid as grids
from forgetting.film.compositor import Compositor
from forgetting.film.finished_frame import FinishedFrame
from forgetting.film.forecast import forecast_disk, forecast_time
from forgetting.film.observer import FrameObserver, FrameObservers
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

    def frames(
        self, indices: Sequence[int], rgb: Container[int] | None = None
    ) -> Iterator[Rendered]:
        """Render these frames of the plan, in order, and the activity [M] of the map's cells.

        Args:
            indices: of the frames.
            rgb: where RGB is needed, of frames that are written into the film; others may hold
                planes alone, where the film stores them as they are. None is everywhere, without
                planes.
        """
        ...

    def intact_pictures(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Render the pictures that these frames are compared with.

        The same picture is the same object. Frames may be rendered between two of them.
        """
        ...

    def comparisons(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Render these frames without composing them, each with the picture it is compared with."""
        ...


def composed_frames(source: FrameSource, indices: Sequence[int]) -> Iterator[Frame]:
    """Render these frames as they are written into the film."""
    for index, rendered in zip(indices, source.frames(indices), strict=True):
        yield source.compositor.compose(index, rendered.rgb, rendered.activity)


@dataclass(frozen=True)
class FaceFrames:
    """The frames of a face, or of a grid of faces.

    Args:
        engine: renders the face.
        compositor: composes its frames.
        face_at: the face [1, L, W] of a frame in films whose face moves, by the frame's index and
            the number of the face in a grid.

    Where the compositor draws a memory map, activity is recorded at every ``RECORDING_STEP``-th
    frame of the plan, because that takes longer; between two of these it is interpolated, because
    it changes slowly.
    """

    engine: Engine
    compositor: Compositor
    face_at: Callable[[int, int], Tensor] | None = None

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

    def frames(
        self, indices: Sequence[int], rgb: Container[int] | None = None
    ) -> Iterator[Rendered]:
        """Render these frames, in order; a grid is one picture."""
        planes = rgb is not None and self.engine.makes_planes and self.compositor.takes_planes

        def outputs(index: int) -> Outputs:
            is_rgb = not planes or rgb is None or index in rgb
            return Outputs(is_rgb, planes, index in self._recorded_around(index))

        order = self._render_order(indices)
        rendered = self._render(self._render_order(indices), outputs)
        ahead = dict[int, Rendered]()
        for index in indices:
            for frame in (*self._recorded_around(index), index):
                while frame not in ahead:
                    ahead[next(order)] = self._next_picture(rendered)
            yield ahead[index]._replace(activity=self._activity(index, ahead))
            for old in [frame for frame in ahead if not self._is_needed(frame, index)]:
                del ahead[old]

    def _render_order(self, indices: Iterable[int]) -> Iterator[int]:
        """Yield frames in the order in which they are rendered: activity is needed ahead."""
        ahead = set[int]()
        for index in indices:
            for frame in (*self._recorded_around(index), index):
                if frame not in ahead:
                    ahead.add(frame)
                    yield frame
            ahead = {frame for frame in ahead if self._is_needed(frame, index)}

    def _is_needed(self, frame: int, index: int) -> bool:
        """Return whether a frame is needed after frame ``index``."""
        return frame > index or frame in self._recorded_around(index)

    def _recorded_around(self, index: int) -> tuple[int, ...]:
        """Return the frames that record, before and after a frame; none without a map."""
        if self.compositor.film.layout == "face":
            return ()
        before = index // RECORDING_STEP * RECORDING_STEP
        return before, min(before + RECORDING_STEP, len(self.compositor.plan) - 1)

    def _activity(self, index: int, rendered: Mapping[int, Rendered]) -> Activity | None:
        """Return the activity [M] at a frame, interpolated between those that are recorded."""
        around = self._recorded_around(index)
        if not around:
            return None
        before, after = around
        share = np.float32((index - before) / max(after - before, 1))
        first, second = rendered[before].activity, rendered[after].activity
        assert first is not None
        assert second is not None
        return ((1 - share) * first + share * second)[:, 0, 0]

    def intact_pictures(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Render the faces of these frames without any ablation."""
        row = torch.zeros_like(self.compositor.plan.row(0))
        if self.face_at is not None:
            return self._uncomposed(indices, row)
        return itertools.repeat(next(self._uncomposed(indices[:1], row)), len(indices))

    def comparisons(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame, Frame]]:
        """Render these frames, each with the picture of the same face without any ablation."""
        rendered, intact = self._uncomposed(indices), self.intact_pictures(indices)
        for index in indices:
            yield index, next(rendered), next(intact)

    def _uncomposed(self, indices: Sequence[int], row: Tensor | None = None) -> Iterator[Frame]:
        """Render pictures as they are compared; ``row`` replaces the rows of these frames."""
        # As in a film: there, frames that are observed are made with planes beside their RGB.
        outputs = Outputs(True, self.engine.makes_planes and self.compositor.takes_planes)
        rendered = self._render(indices, lambda _: outputs, row)
        for _ in indices:
            yield self._next_picture(rendered).rgb

    def _render(
        self,
        indices: Iterable[int],
        outputs: Callable[[int], Outputs],
        row: Tensor | None = None,
    ) -> Iterator[Rendered]:
        """Render these frames, face after face of the grid; ``row`` replaces their rows."""
        return self.engine.render(
            FrameRequest(
                self.compositor.plan.row(index) if row is None else row,
                None if self.face_at is None else self.face_at(index, number),
                outputs(index),
            )
            for index in indices
            for number in range(self.faces)
        )

    def _next_picture(self, rendered: Iterator[Rendered]) -> Rendered:
        """Return the next picture; the faces of a grid as one picture, with their mean activity."""
        faces = [next(rendered) for _ in range(self.faces)]
        if len(faces) == 1:
            return faces[0]
        film = self.compositor.film
        panel, (columns, _) = film.panel(*self.compositor.size), film.grid_size
        pictures = [face.rgb for face in faces]
        picture = grids.arrange(pictures, panel, columns, film.background_colour)
        recorded = [face.activity for face in faces if face.activity is not None]
        activity = np.asarray(np.mean(recorded, axis=0, dtype=np.float32)) if recorded else None
        return Rendered(picture, activity=activity)


def render_segments(
    source: FrameSource,
    store: SegmentStore,
    segments: Sequence[range],
    since: float,
    observers: Sequence[FrameObserver] = (),
) -> None:
    """Render these segments of a film into its store.

    Args:
        source: renders the frames.
        store: where segments are written.
        segments: ranges of positions in the film.
        since: when work on them began, on the clock of ``time.monotonic``.
        observers: see frames before they are composed.
    """
    own = [store.film.indices[position] for segment in segments for position in segment]
    watch = FrameObservers(observers, own)
    indices = sorted((*own, *watch.added))
    stills = {store.film.indices[position] for position in store.still_positions}

    def finished(arriving: Iterator[tuple[Rendered, Frame | None]]) -> Iterator[FinishedFrame]:
        for index, (rendered, intact) in zip(indices, arriving, strict=False):
            if intact is not None:
                watch.observe(index, rendered.rgb, intact)
            if index not in watch.added:
                yield _finished(source.compositor, index, rendered)

    def before_naming(segment: range) -> None:
        # Before a segment gets its name, so that of all that is not lost a killed process has kept
        # the time and what was observed.
        store.record_seconds(segments[0], time.monotonic() - since)
        watch.keep(segment)

    def write(arriving: Iterator[tuple[Rendered, Frame | None]]) -> None:
        # Observed and composed in this thread, beside the network.
        frames = finished(arriving)
        for segment in segments:
            naming, title = partial(before_naming, segment), source.compositor.title_frames
            store.write(segment, frames, naming, title)
            if segment is segments[0]:
                forecast_disk(store, segment, len(own))

    rendered = _with_intact(source, indices, watch.observed, stills | watch.observed)
    frames = forecast_time(rendered, len(indices))
    consume_in_thread(track(frames, "rendering frames", len(indices)), write)


def _with_intact(
    source: FrameSource, indices: Sequence[int], observed: Container[int], rgb: Container[int]
) -> Iterator[tuple[Rendered, Frame | None]]:
    """Render frames, those that are observed with the picture that they are compared with."""
    compared = [index for index in indices if index in observed]
    intact = source.intact_pictures(compared) if compared else iter(())
    frames = source.frames(indices, rgb)
    for index in indices:
        picture = next(intact) if index in observed else None
        yield next(frames), picture


def _finished(compositor: Compositor, index: int, rendered: Rendered) -> FinishedFrame:
    """Return a frame as it is written; planes are there only where nothing is to be composed."""
    if rendered.planes is not None:
        return FinishedFrame(rendered.frame, rendered.planes)
    return FinishedFrame(compositor.compose(index, rendered.rgb, rendered.activity))
