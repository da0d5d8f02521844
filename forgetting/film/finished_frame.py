"""A finished frame, as it is written into a film."""

from __future__ import annotations

from typing import NamedTuple

from forgetting.engines.pixels import Frame, Planes


class FinishedFrame(NamedTuple):
    """A frame as RGB, as planes, or as both.

    Args:
        frame: [H, W, 3], or [H, W, 4] with alpha.
        planes: what the encoder gets, where the film stores planes as the engine made them.
    """

    frame: Frame | None
    planes: Planes | None = None

    @property
    def rgb(self) -> Frame:
        """The frame as RGB, which is there for all stills of a film."""
        assert self.frame is not None
        return self.frame
