"""What is dreamed upon: a source gives the dream its first picture, and some give it one for every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

from forgetting import decoder
from forgetting.dreaming.ascent import resized
from forgetting.engines import from_bytes
from forgetting.errors import RequestError, seed, within
from forgetting.generators import Generator
from forgetting.input_files import located
from forgetting.latents import Latent, Seed
from forgetting.pictures import read
from forgetting.zoo import Named

HEIGHT = 512
"""Of pictures where nobody says how large: larger ones cost time that nobody asked to spend."""


@dataclass(frozen=True)
class Scenery:
    """A source at the ``size`` of the film: the ``picture`` [1, 3, H, W] in [-1, 1] of every frame, by index."""

    size: tuple[int, int]
    picture: Callable[[int], Tensor]


class Source(Protocol):
    def open(self, height: int | None) -> Scenery:
        """For a film of that height, or of the source's own where it is no larger than ``HEIGHT``."""
        ...


@dataclass(frozen=True)
class Static:
    """What a screen shows without a signal, other static in every frame: ``contrast`` is how far it goes from grey, ``ratio`` is
    width to height."""

    seed: int = 0
    contrast: float = 0.15
    ratio: Sequence[int] = (1, 1)

    def __post_init__(self) -> None:
        seed("source.seed", self.seed)
        within("source.contrast", self.contrast, 0.0, 1.0)
        _check(self.ratio)

    def open(self, height: int | None) -> Scenery:
        size = _size(self.ratio[1], self.ratio[0], height or HEIGHT)

        def noise(index: int) -> Tensor:
            drawn = np.random.RandomState((self.seed, index % 2**32)).rand(1, 3, *size)
            return torch.from_numpy(2 * drawn - 1).float() * self.contrast

        return Scenery(size, noise)


@dataclass(frozen=True)
class Colour:
    """Nothing but a colour, by name or #rrggbb; ``ratio`` is width to height."""

    colour: str = "black"
    ratio: Sequence[int] = (1, 1)

    def __post_init__(self) -> None:
        _check(self.ratio)
        try:
            ImageColor.getrgb(self.colour)
        except ValueError:
            raise RequestError(f"source.colour must be a colour, such as black or #202020, got {self.colour!r}") from None

    def open(self, height: int | None) -> Scenery:
        size = _size(self.ratio[1], self.ratio[0], height or HEIGHT)
        colour = torch.tensor(ImageColor.getrgb(self.colour)[:3]).view(1, 3, 1, 1) / 127.5 - 1
        return Scenery(size, lambda _: colour.expand(1, 3, *size).clone())


@dataclass(frozen=True)
class Photograph:
    """A picture of one's own."""

    path: str = ""

    def __post_init__(self) -> None:
        _needs("photograph", "PICTURE", self.path)

    def open(self, height: int | None) -> Scenery:
        return _still(read(Path(self.path).expanduser()), height)


@dataclass(frozen=True)
class Face:
    """A face that a generator paints."""

    generator: Callable[[], Generator] = field(default_factory=Named)
    latent: Latent = field(default_factory=Seed)

    @torch.no_grad()
    def open(self, height: int | None) -> Scenery:
        generator = self.generator()
        painted = generator.bind(self.latent(generator))(lambda x, layer: x)
        return _still(painted[:, :3].expand(1, 3, -1, -1).clamp(-1, 1), height)


@dataclass(frozen=True)
class Footage:
    """A film, or the folder of a run with a film in it. What wants one picture takes that ``at`` a share of it: 1 is its last frame."""

    path: str = ""
    at: float = 1.0

    def __post_init__(self) -> None:
        _needs("film", "FILM", self.path)
        within("source.at", self.at, 0.0, 1.0)

    def open(self, height: int | None) -> Scenery:
        found = next(islice(decoder.frames(self.file), max(0, round(self.at * (decoder.length(self.file) - 1))), None), None)
        if found is None:
            raise RequestError(f"{self.file} has no frame to dream of")
        return _still(from_bytes(found), height)

    @property
    def file(self) -> Path:
        """The film.

        Raises:
            RequestError: there is none.
        """
        path = located(self.path)
        if not path.is_file():
            raise RequestError(f"there is no film at source.path={self.path}; name a film, or the folder of a finished run")
        return path

    @property
    def rate(self) -> float:
        """Frames a second."""
        return decoder.rate(self.file)

    def played(self, height: int | None, fps: float) -> Scenery:
        """All of it, at ``fps``; at the end the last picture stays. It is decoded as it is looked at, from the first on."""
        first = next(decoder.frames(self.file), None)
        if first is None:
            raise RequestError(f"{self.file} has no frame to dream of")
        rate, size = self.rate, _size(first.shape[0], first.shape[1], height or min(first.shape[0], HEIGHT))

        def pictures() -> Iterator[Tensor]:
            shown, number = decoder.frames(self.file), 0
            frame = next(shown)
            for index in count():
                wanted = int(index * rate / fps + 1e-6)
                *_, frame = frame, *islice(shown, max(0, wanted - number))
                number = max(number, wanted)
                yield resized(from_bytes(frame), size)

        return Scenery(size, _Reading(pictures))


class _Reading:
    """A picture by index, of pictures that come one after another: best asked in order."""

    def __init__(self, pictures: Callable[[], Iterator[Tensor]]) -> None:
        self.pictures, self.at, self.coming = pictures, 0, pictures()

    def __call__(self, index: int) -> Tensor:
        if index < self.at:
            self.at, self.coming = 0, self.pictures()
        skipped, self.at = index - self.at, index + 1
        return next(islice(self.coming, skipped, None))


def _still(picture: Tensor, height: int | None) -> Scenery:
    """The same picture in every frame."""
    high, wide = picture.shape[2:]
    size = _size(high, wide, height or min(high, HEIGHT))
    there = resized(picture, size)
    return Scenery(size, lambda _: there)


def _size(high: int, wide: int, height: int) -> tuple[int, int]:
    """Height and width, even, of a picture that was ``high`` and ``wide``."""
    return 2 * round(height / 2), max(2, 2 * round(height * wide / high / 2))


def _check(ratio: Sequence[int]) -> None:
    if len(ratio) != 2 or not all(type(n) is int and 1 <= n <= 100 for n in ratio):
        raise RequestError(f"source.ratio must be two whole numbers up to 100, width and height, got {[*ratio]}")


def _needs(source: str, what: str, path: str) -> None:
    if not path:
        raise RequestError(f"source={source} needs one: say source.path={what}")
