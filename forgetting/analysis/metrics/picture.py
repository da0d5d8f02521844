"""A picture that is measured, and what metrics derive from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.ablation.perceptual_distance import SIZE, Bands, detail_bands
from forgetting.engines.pixels import Frame
from forgetting.film.images import fit

T = TypeVar("T")


class Picture:
    """A frame, with what several metrics derive from it; each of that is computed once.

    Args:
        frame: [H, W, 3] uint8, RGB; it must not change afterwards.
        previous: the picture that was measured before; None for the first.
    """

    def __init__(self, frame: Frame, previous: Picture | None = None) -> None:
        self.frame, self.previous = frame, previous
        self._derived: dict[Callable[[Picture], Any], Any] = {}

    @cached_property
    def reduced(self) -> Frame:
        """The frame with at most 256 pixels along its longer side, by a Lanczos filter."""
        return fit(self.frame, self._reduced_shape)

    @cached_property
    def colours(self) -> Tensor:
        """RGB [1, 3, h, w] in [0, 1], averaged over areas of the frame to at most 256 pixels.

        It is in float64, so that no figure with nine digits depends on the number of threads,
        which changes the order of sums.
        """
        # Copied before it is averaged: that takes half the time of averaging interleaved colours.
        frame = torch.from_numpy(self.frame.transpose(2, 0, 1).copy())[None]
        return F.adaptive_avg_pool2d(frame.float(), self._reduced_shape).double() / 255

    @cached_property
    def bands(self) -> Bands:
        """Its bands of detail, see :mod:`forgetting.ablation.perceptual_distance`."""
        return detail_bands(2 * self.colours - 1)

    def derive(self, compute: Callable[[Picture], T]) -> T:
        """Return ``compute(self)``, computed once however many metrics ask for it.

        Args:
            compute: a function of a module; a lambda would be another function at every call.
        """
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return cast(T, self._derived[compute])

    @property
    def _reduced_shape(self) -> tuple[int, int]:
        """Height and width of the reduced frame; small frames keep theirs."""
        height, width = self.frame.shape[:2]
        scale = min(1, SIZE / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))
