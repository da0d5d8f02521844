"""The way up: a picture changes until a network sees in it more of what an objective wants.

Octave by octave, from coarse to fine: what an octave added to the picture is carried to the next, enlarged (Mordvintsev et al. 2015,
"Inceptionism"). In every step the picture is shifted by some pixels, drawn from a seed, so that no grid shows, and goes a step along
its gradient. Before that the gradient is made even: in place, so that what has begun does not eat up the rest; in frequency, so that
neither the finest nor the coarsest detail wins; and in colour, so that colours go together as they do in the world.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dreams.objectives import BoundObjective
from forgetting.errors import RequestError, check_int, check_range, check_seed
from forgetting.film.images import read_image
from forgetting.models.classifier import Classifier
from forgetting.models.generator import Edit
from forgetting.parts import part

CORRELATION = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the covariance of colours in photographs, as measured on ImageNet (Olah et al. 2017, "Feature Visualization")."""

PATCH = 24
"""Pixels over which the gradient is made even in place: the standard deviation of a Gaussian."""


@part("ascent/gradient")
@dataclass(frozen=True)
class GradientAscent:
    """How a picture climbs.

    Args:
        iterations: steps in every octave.
        step: how far a step goes, in levels of 255 a pixel on average.
        octaves: sizes of the picture, each ``scale`` times the one before.
        jitter: pixels by which a step may shift the picture.
        bands: of frequency, that count alike; 0 leaves the gradient as it is.
        evenness: from 0, where what says most grows most, to 1, where every place grows alike.
        colour: from 0, where colours are free, to 1, where they go together as in photographs.
        tile: pictures larger than this are looked at in tiles, and need no more memory than one.
        overlap: pixels around a tile that are looked at with it: as many as a layer sees make tiles invisible.
        seed: which shifts.
        mask: PATH of a picture: where it is white is dreamed, where it is black nothing changes.
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
        check_int("ascent.tile", self.tile, 64, LARGEST)
        check_int("ascent.overlap", self.overlap, 0, 4096)
        if self.tile % GRID or self.overlap % GRID:
            raise RequestError(
                f"ascent.tile and ascent.overlap must be multiples of {GRID}, got {self.tile} and {self.overlap}"
            )
        check_seed("ascent.seed", self.seed)
        self.area((8, 8))

    def area(self, size: tuple[int, int]) -> Tensor | None:
        """Where pictures of a size are dreamed upon, [1, 1, H, W] in [0, 1]; None is everywhere."""
        if self.mask is None:
            return None
        return resize(
            read_image(Path(self.mask).expanduser()).mean(1, keepdim=True) / 2 + 0.5, size
        )

    def sizes(self, classifier: Classifier, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Those of the octaves of a picture. What the network could not see is left out; the picture itself is not."""
        found = [
            (round(size[0] / self.scale**octave), round(size[1] / self.scale**octave))
            for octave in reversed(range(self.octaves))
        ]
        return [one for one in found[:-1] if min(one) >= classifier.least] + found[-1:]

    def __call__(self, way: ObjectiveGradient, picture: Tensor, index: int = 0) -> Tensor:
        """[1, 3, H, W] in [-1, 1] -> the same, dreamed once; ``index`` is that of the frame, and draws its shifts.

        Raises:
            RequestError: the picture is too small.
        """
        (detail,) = deque(self.details(way, picture, index), maxlen=1)
        return add_detail(picture, detail)

    def details(self, way: ObjectiveGradient, picture: Tensor, index: int = 0) -> Iterator[Tensor]:
        """What has been added to the picture after every step, in the size of its octave; nothing at first."""
        # A looping film begins before its first frame.
        draw = np.random.RandomState((self.seed, index % 2**32))
        sizes = self.sizes(way.classifier, (picture.shape[2], picture.shape[3]))
        mask = None if way.mask is None else way.mask.to(picture)
        detail = picture.new_zeros(1, 3, *sizes[0])
        yield detail
        way = way.balanced(resize(picture, sizes[0]))
        for size in sizes:
            ground, where = resize(picture, size), None if mask is None else resize(mask, size)
            x = (ground + resize(detail, size)).clamp(-1, 1)
            for _ in range(self.iterations):
                shift = (
                    [0, 0]
                    if way.placed
                    else [int(number) for number in draw.randint(-self.jitter, self.jitter + 1, 2)]
                )
                gradient = way.gradient(x.roll(shift, (2, 3))).roll(
                    [-number for number in shift], (2, 3)
                )
                step = self.step / 127.5 * self._evened(gradient)
                x = (x + (step if where is None else step * where)).clamp(-1, 1)
                detail = x - ground
                yield detail

    def _evened(self, gradient: Tensor) -> Tensor:
        """One on average."""
        if self.evenness:
            strength = _blurred(gradient.square().mean(1, keepdim=True), PATCH).sqrt()
            gradient = (
                gradient / (strength / strength.mean().clamp_min(1e-20) + 0.05) ** self.evenness
            )
        if self.bands:
            gradient = _banded(gradient, self.bands)
        if self.colour:
            together = (CORRELATION @ CORRELATION.T).to(gradient)
            together = together / together.diagonal().mean()
            gradient = torch.lerp(
                gradient, torch.einsum("ij,bjhw->bihw", together, gradient), self.colour
            )
        return gradient / gradient.abs().mean().clamp_min(1e-20)


LARGEST = 16384
GRID = 32
"""Pixels that what a network pools stands on: tiles begin at its multiples, so that they pool as the whole does."""


WeightedObjective = tuple[float, BoundObjective]
"""How much an objective counts, and what it says."""


@dataclass(frozen=True)
class ObjectiveGradient:
    """Where it goes up: the gradient of weighed objectives for one network under an ``edit``, whole or in tiles.

    ``weights`` of the network, by name, stand where others do; the ``mask`` [1, 1, H, W] is where the picture may change. The network
    runs in ``precision``; the picture is kept in float32.
    """

    classifier: Classifier
    parts: Sequence[WeightedObjective]
    tile: int = LARGEST
    overlap: int = 0
    edit: Edit | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    precision: torch.dtype = torch.float32
    mask: Tensor | None = None

    @property
    def placed(self) -> bool:
        return any(bound.placed for _, bound in self.parts)

    def balanced(self, picture: Tensor) -> ObjectiveGradient:
        """The same with parts that count as their weights say: their gradients for this picture are equally large then."""
        if len(self.parts) == 1:
            return self
        sizes = [
            float(replace(self, parts=[(1.0, bound)]).gradient(picture).abs().mean())
            for _, bound in self.parts
        ]
        return replace(
            self,
            parts=[
                (weight / max(size, 1e-20), bound)
                for (weight, bound), size in zip(self.parts, sizes, strict=True)
            ],
        )

    def value(self, picture: Tensor) -> Tensor:
        """What is to grow, []: of a picture in parts, the sum over the parts."""
        layers = tuple(dict.fromkeys(name for _, bound in self.parts for name in bound.layers))
        heard = self.classifier.heard(picture, layers, self.edit, self.weights)
        total, *others = (weight * bound.value(heard) for weight, bound in self.parts)
        for other in others:
            total = total + other
        return total

    def gradient(self, picture: Tensor) -> Tensor:
        """[1, 3, H, W] -> [1, 3, H, W]"""
        high, wide = picture.shape[2:]
        found, tile = torch.empty_like(picture), LARGEST if self.placed else self.tile
        down, across = (
            -(-size // -(-size // tile) // GRID) * GRID for size in (high, wide)
        )  # as few as do, and as even
        for top in range(0, high, down):
            for left in range(0, wide, across):
                bottom, right = min(top + down, high), min(left + across, wide)
                y, x = max(top - self.overlap, 0), max(left - self.overlap, 0)
                part = picture[:, :, y : bottom + self.overlap, x : right + self.overlap]
                found[:, :, top:bottom, left:right] = self._whole(part)[
                    :, :, top - y : bottom - y, left - x : right - x
                ]
        return found

    def _whole(self, picture: Tensor) -> Tensor:
        lower = self.precision != torch.float32
        with (
            torch.enable_grad(),
            torch.autocast(picture.device.type, self.precision, enabled=lower),
        ):
            picture = picture.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.value(picture), picture)
        return gradient


def add_detail(picture: Tensor, detail: Tensor) -> Tensor:
    """A picture [1, 3, H, W] with a detail of any size."""
    return (picture + resize(detail, (picture.shape[2], picture.shape[3]))).clamp(-1, 1)


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """[1, C, H, W] in another size, without aliasing."""
    if picture.shape[2:] == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)


def _banded(gradient: Tensor, count: int) -> Tensor:
    """The gradient taken apart into octaves of frequency, each as strong as the others, and put together again: a Laplacian pyramid
    (Burt & Adelson 1983)."""
    bands, rest = list[Tensor](), gradient
    while len(bands) < count and min(rest.shape[2:]) >= 8:
        coarse = resize(rest, (-(-rest.shape[2] // 2), -(-rest.shape[3] // 2)))
        bands.append(rest - resize(coarse, (rest.shape[2], rest.shape[3])))
        rest = coarse
    total = _alike(rest)
    for band in reversed(bands):
        total = resize(total, (band.shape[2], band.shape[3])) + _alike(band)
    return total


def _alike(band: Tensor) -> Tensor:
    return band / band.square().mean().sqrt().clamp_min(1e-20)


def _blurred(x: Tensor, deviation: float) -> Tensor:
    """Gaussian; looked up in a picture a quarter as large, for it is smooth."""
    small = (
        F.avg_pool2d(x, 4, ceil_mode=True, count_include_pad=False) if min(x.shape[2:]) >= 8 else x
    )
    across = torch.arange(-round(0.75 * deviation), round(0.75 * deviation) + 1)
    bell = torch.exp(-((across / (deviation / 4)) ** 2) / 2)
    bell = (bell / bell.sum()).to(x)
    edge = len(across) // 2
    small = F.conv2d(F.pad(small, (edge, edge, 0, 0), mode="replicate"), bell.view(1, 1, 1, -1))
    small = F.conv2d(F.pad(small, (0, 0, edge, edge), mode="replicate"), bell.view(1, 1, -1, 1))
    return resize(small, (x.shape[2], x.shape[3]))
