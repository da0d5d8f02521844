"""Modes of dreams: how a frame depends on the source, and on the frame before.

In a *dive* and *over* a film each frame depends on the one before. Such a mode gives the first
:data:`State` and the state that follows another; a film can be resumed from any state. In a *still*
all frames are independent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from forgetting.ablation.curves import Linear, ProgressCurve
from forgetting.dreams.ascent import add_detail
from forgetting.dreams.checkpoints import FrameCheckpoints, State
from forgetting.dreams.dreamer import Dreamer
from forgetting.dreams.motion import Motion, stabilise
from forgetting.dreams.optical_flow import warp_detail
from forgetting.dreams.sources import DreamSource, FrameProvider, VideoSource
from forgetting.errors import RequestError, check_range
from forgetting.parts import part

log = logging.getLogger(__name__)

PACE = 24.0
"""Frames a second for which the ascent's step is meant in a dive. At other rates steps are longer
or shorter, so that the film looks the same."""


class DreamMode(Protocol):
    """How the frames of a dream are made."""

    @property
    def sequential(self) -> bool:
        """Whether a frame depends on the frame before."""
        ...

    def open(self, source: DreamSource, height: int | None, fps: float) -> FrameProvider:
        """Open the source for a film of this height and rate.

        Raises:
            RequestError: the source cannot be read, or this mode needs another kind of source.
        """
        ...

    def frames(
        self, dreamer: Dreamer, indices: Sequence[int], checkpoints: FrameCheckpoints
    ) -> Iterator[Tensor]:
        """Yield these frames [1, 3, H, W] in [-1, 1], in order."""
        ...


@part("dream/dive")
@dataclass(frozen=True)
class Dive:
    """Feedback: each frame is the one before, enlarged and rotated a little and dreamed again.

    Args:
        zoom, rotation, drift: see :class:`Motion`.
        steady: the share of its lowest frequencies and of the contrast beyond ``contrast`` that a
            picture loses every 24th of a second.
        contrast: the largest standard deviation of a picture, of colours in [-1, 1].
        feed: the share of the source that is mixed in every 24th of a second.
        loop: seconds in which the end blends into frames from before the beginning; 0 does not
            loop.
    """

    zoom: float = 1.8
    rotation: float = 0.0
    drift: Sequence[float] = (0.0, 0.0)
    steady: float = 0.1
    contrast: float = 0.3
    feed: float = 0.0
    loop: float = 0.0

    def __post_init__(self) -> None:
        Motion(self.zoom, self.rotation, self.drift)  # raises where a value is out of range
        check_range("dream.steady", self.steady, 0.0, 1.0)
        check_range("dream.contrast", self.contrast, 0.0, 1.0)
        check_range("dream.feed", self.feed, 0.0, 1.0)
        check_range("dream.loop", self.loop, 0.0, 3600.0)

    @property
    def sequential(self) -> bool:
        """Always: each frame is made from the one before."""
        return True

    def open(self, source: DreamSource, height: int | None, fps: float) -> FrameProvider:
        """Open the source."""
        return source.open(height)

    def frames(
        self, dreamer: Dreamer, indices: Sequence[int], checkpoints: FrameCheckpoints
    ) -> Iterator[Tensor]:
        """Yield these frames [1, 3, H, W], in order.

        In a loop the last ``fade`` frames blend into as many frames that precede the first. If the
        source is an image, the first frame is that image, and before it the image comes nearer.
        Otherwise the frames before the first are dreamed too.
        """
        fade = min(round(self.loop * dreamer.fps), dreamer.frames // 2)
        if dreamer.provider.is_image:
            yield from self._frames_from_image(dreamer, indices, checkpoints, fade)
            return

        def first_state() -> State:
            picture = dreamer.source_picture(-fade)
            for index in range(1 - fade, 1):
                picture = self._next(dreamer, picture, index)
            return (picture,)

        def next_state(state: State, index: int) -> State:
            """Return the picture and, in the fade, the picture from before the beginning."""
            picture = self._next(dreamer, state[0], index)
            early_index = index - dreamer.frames
            if early_index < -fade:
                return (picture,)
            if early_index == -fade:
                return picture, dreamer.source_picture(early_index)
            return picture, self._next(dreamer, state[1], early_index)

        for index, state in _states(dreamer, indices, checkpoints, first_state, next_state):
            if len(state) == 1:
                yield state[0]
            else:
                share = (index - dreamer.frames + fade + 1) / (fade + 1)
                yield torch.lerp(state[0], state[1], share)

    def _frames_from_image(
        self,
        dreamer: Dreamer,
        indices: Sequence[int],
        checkpoints: FrameCheckpoints,
        fade: int,
    ) -> Iterator[Tensor]:
        """Yield these frames of a dive that begins with an image; see :meth:`frames`."""
        image = dreamer.source_picture(0)

        def next_state(state: State, index: int) -> State:
            return (self._next(dreamer, state[0], index),)

        for index, state in _states(dreamer, indices, checkpoints, lambda: (image,), next_state):
            early_index = index - dreamer.frames
            if early_index < -fade:
                yield state[0]
            else:
                before = self._motion.move(image, early_index / dreamer.fps)
                yield torch.lerp(state[0], before, (early_index + fade + 1) / (fade + 1))

    @property
    def _motion(self) -> Motion:
        return Motion(self.zoom, self.rotation, self.drift)

    def _next(self, dreamer: Dreamer, picture: Tensor, index: int) -> Tensor:
        """Return the frame that follows a picture."""
        pace = PACE / dreamer.fps  # how many 24ths of a second a frame takes
        picture = self._motion.move(picture, 1 / dreamer.fps)
        picture = stabilise(picture, self.contrast, 1 - (1 - self.steady) ** pace)
        if self.feed:
            source = dreamer.source_picture(index)
            picture = torch.lerp(picture, source, 1 - (1 - self.feed) ** pace)
        return dreamer.dream(picture, index, pace)


@part("dream/still")
@dataclass(frozen=True)
class StaticImage:
    """The source's first picture after a part of the ascent.

    Args:
        amount: that part over the film, as a share of all steps; 0 is the source itself.
    """

    amount: ProgressCurve = field(default_factory=Linear)

    @property
    def sequential(self) -> bool:
        """Never: each frame is a number of steps from the source."""
        return False

    def open(self, source: DreamSource, height: int | None, fps: float) -> FrameProvider:
        """Open the source."""
        return source.open(height)

    def frames(
        self, dreamer: Dreamer, indices: Sequence[int], checkpoints: FrameCheckpoints
    ) -> Iterator[Tensor]:
        """Yield these frames [1, 3, H, W]; details are reused while the network is the same."""
        amounts, step_count = self._amounts(dreamer.frames), dreamer.steps
        picture = dreamer.source_picture(0)
        row: Tensor | None = None
        steps, remaining = list[Tensor](), iter(list[Tensor]())
        for index in indices:
            current_row = dreamer.row(index)
            if row is None or not torch.equal(row, current_row) or dreamer.sequences:
                # The network or the objective has changed: the dream starts again from the source.
                row, steps, remaining = current_row, [], dreamer.details(picture, index)
            position = amounts[index] * step_count
            whole = int(position)
            while len(steps) <= min(step_count, whole + 1):
                detail = next(remaining, None)
                if detail is None:
                    break
                steps.append(detail.half())
            before = steps[min(whole, len(steps) - 1)].float()
            after = steps[min(whole + 1, len(steps) - 1)].float()
            yield torch.lerp(
                add_detail(picture, before), add_detail(picture, after), position - whole
            )

    def _amounts(self, frames: int) -> list[float]:
        """Return the amount of every frame."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        # A film that ends as it begins is played in a loop: its first frame follows the last one.
        loops = len(set(self.amount.progress(ends).tolist())) == 1
        time = torch.arange(frames, dtype=torch.float64) / max(1, frames - (0 if loops else 1))
        amounts: list[float] = self.amount.progress(time).tolist()
        return amounts


@part("dream/over")
@dataclass(frozen=True)
class VideoOverlay:
    """A dream over a film: optical flow carries the detail of a frame to the next frame.

    There it is dreamed further. If each frame were dreamed anew, the film would flicker.

    Args:
        carry: the share of the detail that is carried over.
    """

    carry: float = 0.8

    def __post_init__(self) -> None:
        check_range("dream.carry", self.carry, 0.0, 1.0)

    @property
    def sequential(self) -> bool:
        """Always: each frame carries detail over from the one before."""
        return True

    def open(self, source: DreamSource, height: int | None, fps: float) -> FrameProvider:
        """Open the film.

        Raises:
            RequestError: the source is not a film.
        """
        if not isinstance(source, VideoSource):
            raise RequestError(
                "dream=over needs a film to dream over, "
                f"not {type(source).__name__.lower()}: set source=film source.path=FILM"
            )
        return source.play(height, fps)

    def frames(
        self, dreamer: Dreamer, indices: Sequence[int], checkpoints: FrameCheckpoints
    ) -> Iterator[Tensor]:
        """Yield these frames [1, 3, H, W], in order."""

        # The shifts are those of frame 0 in all frames: others would make the film flicker.
        def first_state() -> State:
            frame = dreamer.source_picture(0)
            return dreamer.dream(frame, 0, shifts=0), frame

        def next_state(state: State, index: int) -> State:
            picture, before = state
            frame = dreamer.source_picture(index)
            carried = warp_detail(picture - before, before, frame)
            start = (frame + self.carry * carried).clamp(-1, 1)
            return dreamer.dream(start, index, shifts=0), frame

        for _, state in _states(dreamer, indices, checkpoints, first_state, next_state):
            yield state[0]


def _states(
    dreamer: Dreamer,
    indices: Sequence[int],
    checkpoints: FrameCheckpoints,
    first_state: Callable[[], State],
    next_state: Callable[[State, int], State],
) -> Iterator[tuple[int, State]]:
    """Yield these frames and their states, in order, computed from the last checkpoint."""
    if not indices:
        return
    checkpoint = checkpoints.latest_before(indices[0])
    frame, state = checkpoint if checkpoint is not None else (0, first_state())
    if indices[0] - frame > 1:
        log.info(
            "frames depend on the frame before: %d are dreamed again, from frame %d on",
            indices[0] - frame - 1,
            frame,
        )
    for index in indices:
        while frame < index:
            frame += 1
            state = next_state(state, frame)
            checkpoints.save(frame, state)
        yield index, state
