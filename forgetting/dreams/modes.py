"""Kinds of dreams: what a frame has to do with the source, and with the frame before.

In a *dive* and *over* a film every frame sequential from the one before: such a kind says what a film begins with and what sequential from
what, and the films can be gone on with from any :data:`State`. In a *still* every frame stands for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from forgetting.ablation.schedules import Linear, ProgressCurve
from forgetting.dreams.ascent import add_detail
from forgetting.dreams.checkpoints import FrameCheckpoints, State
from forgetting.dreams.dreamer import Dreamer
from forgetting.dreams.motion import Motion, stabilise
from forgetting.dreams.optical_flow import warp_detail
from forgetting.dreams.sources import FrameProvider, Source, VideoSource
from forgetting.errors import RequestError, check_range
from forgetting.parts import part

log = logging.getLogger(__name__)

PACE = 24.0
"""Frames a second for which the step of the ascent is meant, in films that feed back: at other rates it is longer or shorter, so that the
film looks the same."""


class DreamMode(Protocol):
    @property
    def sequential(self) -> bool:
        """Whether frames follow from the frames before them."""
        ...

    def opened(self, source: Source, height: int | None, fps: float) -> FrameProvider: ...

    def pictures(
        self, dreamer: Dreamer, indices: Sequence[int], kept: FrameCheckpoints
    ) -> Iterator[Tensor]:
        """Those frames [1, 3, H, W], in order."""
        ...


@part("dream/dive")
@dataclass(frozen=True)
class Dive:
    """Feedback: the picture is enlarged and turned a little, and dreamed on.

    Args:
        zoom, rotation, drift: see :class:`Motion`.
        steady: the share of its coarsest shades, and of the contrast beyond ``contrast``, that a picture loses every 24th of a second.
        contrast: the standard deviation of a picture that is not too much, of colours in [-1, 1].
        feed: the share of the source that comes into every picture, every 24th of a second.
        loop: seconds in which the end gives way to what comes before the beginning; 0 does not loop.
    """

    zoom: float = 1.8
    rotation: float = 0.0
    drift: Sequence[float] = (0.0, 0.0)
    steady: float = 0.1
    contrast: float = 0.3
    feed: float = 0.0
    loop: float = 0.0

    def __post_init__(self) -> None:
        Motion(self.zoom, self.rotation, self.drift)
        for name, value in (
            ("steady", self.steady),
            ("contrast", self.contrast),
            ("feed", self.feed),
        ):
            check_range(f"dream.{name}", value, 0.0, 1.0)
        check_range("dream.loop", self.loop, 0.0, 3600.0)

    @property
    def sequential(self) -> bool:
        return True

    def opened(self, source: Source, height: int | None, fps: float) -> FrameProvider:
        return source.open(height)

    def pictures(
        self, dreamer: Dreamer, indices: Sequence[int], kept: FrameCheckpoints
    ) -> Iterator[Tensor]:
        fade = min(round(self.loop * dreamer.fps), dreamer.frames // 2)

        def begin() -> State:
            picture = dreamer.source(-fade)
            for index in range(1 - fade, 1):
                picture = self._next(dreamer, picture, index)
            return (picture,)

        def follow(state: State, index: int) -> State:
            """The picture; in the fade, that which comes before the beginning too."""
            picture, other = self._next(dreamer, state[0], index), index - dreamer.frames
            if other < -fade:
                return (picture,)
            before = (
                dreamer.source(other) if other == -fade else self._next(dreamer, state[1], other)
            )
            return picture, before

        for index, state in _followed(dreamer, indices, kept, begin, follow):
            share = (index - dreamer.frames + fade + 1) / (fade + 1)
            yield state[0] if len(state) == 1 else torch.lerp(state[0], state[1], share)

    def _next(self, dreamer: Dreamer, picture: Tensor, index: int) -> Tensor:
        pace = PACE / dreamer.fps  # how many 24ths of a second a frame takes
        picture = Motion(self.zoom, self.rotation, self.drift)(picture, 1 / dreamer.fps)
        picture = stabilise(picture, self.contrast, 1 - (1 - self.steady) ** pace)
        if self.feed:
            picture = torch.lerp(picture, dreamer.source(index), 1 - (1 - self.feed) ** pace)
        return dreamer(picture, index, pace)


@part("dream/still")
@dataclass(frozen=True)
class StaticImage:
    """The source stays where it is, and is dreamed upon as far as ``amount`` says: 0 is the source, 1 all steps of the ascent."""

    amount: ProgressCurve = field(default_factory=Linear)

    @property
    def sequential(self) -> bool:
        return False

    def opened(self, source: Source, height: int | None, fps: float) -> FrameProvider:
        return source.open(height)

    def pictures(
        self, dreamer: Dreamer, indices: Sequence[int], kept: FrameCheckpoints
    ) -> Iterator[Tensor]:
        # A film that comes back has its first frame behind its last one.
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        comes_back = len(set(self.amount.progress(ends).tolist())) == 1
        time = torch.arange(dreamer.frames, dtype=torch.float64) / max(
            1, dreamer.frames - (0 if comes_back else 1)
        )
        amounts, steps = self.amount.progress(time).tolist(), list[Tensor]()
        row, way = None, iter(list[Tensor]())
        picture = dreamer.source(0)
        count = dreamer.steps
        for index in indices:
            now = dreamer.row(index)
            if (
                row is None or not torch.equal(row, now) or dreamer.ladders
            ):  # another dreamer, or another dream, from the beginning
                row, steps, way = now, [], dreamer.details(picture, index)
            place = amounts[index] * count
            while (
                len(steps) <= min(count, int(place) + 1) and (detail := next(way, None)) is not None
            ):
                steps.append(detail.half())
            one, other = (
                steps[min(number, len(steps) - 1)].float()
                for number in (int(place), int(place) + 1)
            )
            yield torch.lerp(
                add_detail(picture, one), add_detail(picture, other), place - int(place)
            )


@part("dream/over")
@dataclass(frozen=True)
class VideoOverlay:
    """A dream over a film: what was dreamed upon one frame is carried along to the next by optical flow, and dreamed on, so that it
    does not boil. ``carry`` is the share that is carried."""

    carry: float = 0.8

    def __post_init__(self) -> None:
        check_range("dream.carry", self.carry, 0.0, 1.0)

    @property
    def sequential(self) -> bool:
        return True

    def opened(self, source: Source, height: int | None, fps: float) -> FrameProvider:
        if not isinstance(source, VideoSource):
            raise RequestError(
                f"dream=over needs a film to dream over, not {type(source).__name__.lower()}: say source=film source.path=FILM"
            )
        return source.played(height, fps)

    def pictures(
        self, dreamer: Dreamer, indices: Sequence[int], kept: FrameCheckpoints
    ) -> Iterator[Tensor]:
        def begin() -> State:
            frame = dreamer.source(0)
            return dreamer(frame, 0, shifts=0), frame

        def follow(state: State, index: int) -> State:
            picture, before = state
            now = dreamer.source(index)
            ground = (now + self.carry * warp_detail(picture - before, before, now)).clamp(-1, 1)
            return dreamer(
                ground, index, shifts=0
            ), now  # always the same shifts: others would let it boil

        for _, state in _followed(dreamer, indices, kept, begin, follow):
            yield state[0]


def _followed(
    dreamer: Dreamer,
    indices: Sequence[int],
    kept: FrameCheckpoints,
    begin: Callable[[], State],
    follow: Callable[[State, int], State],
) -> Iterator[tuple[int, State]]:
    """Those frames of a film in which each sequential from the one before, from the last state that was kept before them."""
    found = kept.before(indices[0]) if len(indices) else None
    at, state = found or (0, begin())
    if indices[0] - at > 1:
        log.info(
            "%s",
            f"frames follow from each other: {indices[0] - at - 1} are dreamed again, from frame {at} on",
        )
    for index in indices:
        while at < index:
            at += 1
            state = follow(state, at)
            kept.keep(at, state)
        yield index, state
