"""Gradient ascent: a picture changes until it has more of what an objective measures.

A picture is dreamed octave by octave, from coarse to fine; the detail that one octave added is
enlarged and carried to the next (Mordvintsev et al. 2015, "Inceptionism"). Each step shifts the
picture by a few pixels, drawn from a seed, so that no grid shows, and moves it along its gradient.
Before that the gradient is equalised: over the picture, so that the strongest region does not
suppress the others; over frequencies, so that neither fine nor coarse detail wins; and over
colours, which are mixed as in photographs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dreams.objective_gradient import LARGEST_TILE, TILE_GRID, ObjectiveGradient
from forgetting.dreams.resizing import resize
from forgetting.errors import RequestError, check_int, check_range, check_seed
from forgetting.files import user_path
from forgetting.film.images import read_image
from forgetting.models.classifier import Classifier
from forgetting.parts import part

COLOUR_CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of ImageNet's covariance of colours (Olah et al. 2017, "Feature Visualization")."""

BLUR = 24
"""Standard deviation in pixels of the Gaussian over which the gradient's strength is equalised."""


@part("ascent/gradient")
@dataclass(frozen=True)
class GradientAscent:
    """The settings of the ascent.

    Args:
        iterations: steps in every octave.
        step: the mean length of a step, in levels of 255.
        octaves: the number of sizes of the picture.
        scale: each size is this many times the one before.
        jitter: pixels by which a step may shift the picture.
        bands: frequency bands that are made equally strong; 0 leaves the gradient as it is.
        evenness: from 0, where regions with strong gradients change most, to 1, where all regions
            change alike.
        colour: from 0, where colours are free, to 1, where they are mixed as in photographs.
        tile: pixels; larger pictures are computed in tiles, so they need no more memory.
        overlap: pixels around a tile that are computed with it. With as many as a layer's receptive
            field, tiles do not show.
        seed: of the shifts.
        mask: PATH of a picture; white is dreamed, black does not change.
    """

    iterations: int = 10
    step: float = 1.5
    octaves: int = 4
    scale: float = 1.4
    jitter: int = 32
    bands: int = 4
    evenness: float = 0.7
    colour: float = 0.8
    tile: int = 1024
    overlap: int = 64
    seed: int = 0
    mask: str | None = None

    def __post_init__(self) -> None:
        check_int("ascent.iterations", self.iterations, 0, 10_000)
        check_range("ascent.step", self.step, 0.0, 255.0)
        check_int("ascent.octaves", self.octaves, 1, 16)
        check_range("ascent.scale", self.scale, 1.01, 8.0)
        check_int("ascent.jitter", self.jitter, 0, 4096)
        check_int("ascent.bands", self.bands, 0, 12)
        check_range("ascent.evenness", self.evenness, 0.0, 1.0)
        check_range("ascent.colour", self.colour, 0.0, 1.0)
        check_int("ascent.tile", self.tile, 64, LARGEST_TILE)
        check_int("ascent.overlap", self.overlap, 0, 4096)
        if self.tile % TILE_GRID or self.overlap % TILE_GRID:
            raise RequestError(
                f"ascent.tile and ascent.overlap must be multiples of {TILE_GRID}, "
                f"got {self.tile} and {self.overlap}"
            )
        check_seed("ascent.seed", self.seed)
        self.area((8, 8))  # raises where the mask cannot be read

    def area(self, size: tuple[int, int]) -> Tensor | None:
        """Return the mask [1, 1, H, W] in [0, 1] for pictures of a size; None is the whole picture.

        Raises:
            RequestError: the mask cannot be read.
        """
        if self.mask is None:
            return None
        mask = read_image(user_path(self.mask))
        return resize(mask.mean(1, keepdim=True) / 2 + 0.5, size)

    def sizes(self, classifier: Classifier, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the sizes of a picture's octaves, the smallest first.

        Octaves that are too small for the network are left out; the picture's own size never is.
        """
        sizes = [
            (round(size[0] / self.scale**octave), round(size[1] / self.scale**octave))
            for octave in reversed(range(self.octaves))
        ]
        coarse = [octave for octave in sizes[:-1] if min(octave) >= classifier.min_size]
        return [*coarse, sizes[-1]]

    def climb(self, gradient: ObjectiveGradient, picture: Tensor, index: int = 0) -> Tensor:
        """Return the picture [1, 3, H, W] in [-1, 1] after all steps.

        Args:
            gradient: of the objectives.
            picture: [1, 3, H, W] in [-1, 1].
            index: of the frame; the shifts are drawn for it.

        Raises:
            RequestError: the picture is too small for the network.
        """
        details = self.details(gradient, picture, index)
        last = next(details)
        for detail in details:
            last = detail
        return add_detail(picture, last)

    def details(
        self, gradient: ObjectiveGradient, picture: Tensor, index: int = 0
    ) -> Iterator[Tensor]:
        """Yield the detail that has been added to the picture so far: zeros, then after every step.

        A detail has the size of its octave. Arguments are those of :meth:`climb`.
        """
        # RandomState takes no negative numbers, and the frames before the first have negative
        # indices.
        draw = np.random.RandomState((self.seed, index % 2**32))
        sizes = self.sizes(gradient.classifier, (picture.shape[2], picture.shape[3]))
        mask = None if gradient.mask is None else gradient.mask.to(picture)
        detail = picture.new_zeros(1, 3, *sizes[0])
        yield detail
        gradient = gradient.balanced(resize(picture, sizes[0]))
        for size in sizes:
            original = resize(picture, size)
            octave_mask = None if mask is None else resize(mask, size)
            x = (original + resize(detail, size)).clamp(-1, 1)
            for _ in range(self.iterations):
                down = across = 0
                if not gradient.positional:
                    down, across = draw.randint(-self.jitter, self.jitter + 1, 2).tolist()
                shifted = gradient.gradient(x.roll((down, across), (2, 3)))
                step = self.step / 127.5 * self._equalised(shifted.roll((-down, -across), (2, 3)))
                x = (x + (step if octave_mask is None else step * octave_mask)).clamp(-1, 1)
                detail = x - original
                yield detail

    def _equalised(self, gradient: Tensor) -> Tensor:
        """Return the equalised gradient; its mean absolute value is 1."""
        if self.evenness:
            strength = _blurred(gradient.square().mean(1, keepdim=True), BLUR).sqrt()
            gradient = (
                gradient / (strength / strength.mean().clamp_min(1e-20) + 0.05) ** self.evenness
            )
        if self.bands:
            gradient = _equalise_bands(gradient, self.bands)
        if self.colour:
            covariance = (COLOUR_CORRELATION @ COLOUR_CORRELATION.T).to(gradient)
            covariance = covariance / covariance.diagonal().mean()
            gradient = torch.lerp(
                gradient, torch.einsum("ij,bjhw->bihw", covariance, gradient), self.colour
            )
        return gradient / gradient.abs().mean().clamp_min(1e-20)


def add_detail(picture: Tensor, detail: Tensor) -> Tensor:
    """Return the picture [1, 3, H, W] with a detail of any size added."""
    return (picture + resize(detail, (picture.shape[2], picture.shape[3]))).clamp(-1, 1)


def _equalise_bands(gradient: Tensor, count: int) -> Tensor:
    """Return the gradient with ``count`` octaves of frequency made equally strong.

    The octaves are those of a Laplacian pyramid (Burt & Adelson 1983).
    """
    bands, rest = list[Tensor](), gradient
    while len(bands) < count and min(rest.shape[2:]) >= 8:
        coarse = resize(rest, (-(-rest.shape[2] // 2), -(-rest.shape[3] // 2)))
        bands.append(rest - resize(coarse, (rest.shape[2], rest.shape[3])))
        rest = coarse
    total = _normalised(rest)
    for band in reversed(bands):
        total = resize(total, (band.shape[2], band.shape[3])) + _normalised(band)
    return total


def _normalised(band: Tensor) -> Tensor:
    """Return the band with a root mean square of 1."""
    return band / band.square().mean().sqrt().clamp_min(1e-20)


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """Return x blurred by a Gaussian.

    The blur is computed at a quarter of the size: its result is smooth, so nothing is lost.
    """
    small = x
    if min(x.shape[2:]) >= 8:
        small = F.avg_pool2d(x, 4, ceil_mode=True, count_include_pad=False)
    offsets = torch.arange(-round(0.75 * deviation), round(0.75 * deviation) + 1)
    kernel = torch.exp(-((offsets / (deviation / 4)) ** 2) / 2)
    kernel = (kernel / kernel.sum()).to(x)
    edge = len(offsets) // 2
    small = F.conv2d(F.pad(small, (edge, edge, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    small = F.conv2d(F.pad(small, (0, 0, edge, edge), mode="replicate"), kernel.view(1, 1, -1, 1))
    return resize(small, (x.shape[2], x.shape[3]))
