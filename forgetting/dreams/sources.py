"""Sources of dreams: what gives a dream its first picture, or a picture for every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

from forgetting.dreams.resizing import resize
from forgetting.engines.pixels import Frame, from_bytes
from forgetting.errors import RequestError, check_range, check_seed
from forgetting.files import user_path
from forgetting.film import decoder
from forgetting.film.images import read_image
from forgetting.models.generator import Generator
from forgetting.models.generator_zoo import NamedGenerator
from forgetting.models.latents import Latent, Seed
from forgetting.parts import part

HEIGHT = 512
"""Height of pictures unless the film has one: larger pictures take more time."""


@dataclass(frozen=True)
class FrameProvider:
    """An open source.

    Args:
        size: height and width of its pictures.
        picture: returns the picture [1, 3, H, W] in [-1, 1] for a frame, by the frame's index.
        is_image: whether it always is the same image of something, with which every dive begins.
    """

    size: tuple[int, int]
    picture: Callable[[int], Tensor]
    is_image: bool = False


class DreamSource(Protocol):
    """What a dream begins with."""

    def open(self, height: int | None) -> FrameProvider:
        """Open the source for a film of this height; None is its own height, at most ``HEIGHT``.

        Raises:
            RequestError: it cannot be read.
        """
        ...


@part("source/static")
@dataclass(frozen=True)
class StaticNoise:
    """Noise like that of a screen without a signal, drawn anew for every frame.

    Args:
        seed: of the noise.
        contrast: its largest distance from grey, in [0, 1].
        ratio: width and height.
    """

    seed: int = 0
    contrast: float = 0.15
    ratio: Sequence[int] = (1, 1)

    def __post_init__(self) -> None:
        check_seed("source.seed", self.seed)
        check_range("source.contrast", self.contrast, 0.0, 1.0)
        _check_ratio(self.ratio)

    def open(self, height: int | None) -> FrameProvider:
        """Return the provider of its pictures."""
        size = _even_size(self.ratio[1], self.ratio[0], height or HEIGHT)

        def noise(index: int) -> Tensor:
            drawn = np.random.RandomState((self.seed, index % 2**32)).rand(1, 3, *size)
            return torch.from_numpy(2 * drawn - 1).float() * self.contrast

        return FrameProvider(size, noise)


@part("source/colour")
@dataclass(frozen=True)
class PlainColour:
    """A single colour, by its name or as #rrggbb; ``ratio`` is width and height."""

    colour: str = "black"
    ratio: Sequence[int] = (1, 1)

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)
        try:
            ImageColor.getrgb(self.colour)
        except ValueError:
            raise RequestError(
                f"source.colour must be a colour, such as black or #202020, got {self.colour!r}"
            ) from None

    def open(self, height: int | None) -> FrameProvider:
        """Return the provider of its pictures."""
        size = _even_size(self.ratio[1], self.ratio[0], height or HEIGHT)
        colour = torch.tensor(ImageColor.getrgb(self.colour)[:3]).view(1, 3, 1, 1) / 127.5 - 1
        return FrameProvider(size, lambda _: colour.expand(1, 3, *size).clone())


@part("source/photograph")
@dataclass(frozen=True)
class Photograph:
    """A picture of your own, by its path."""

    path: str = ""

    def __post_init__(self) -> None:
        _check_path("photograph", "PICTURE", self.path)

    def open(self, height: int | None) -> FrameProvider:
        """Return the provider of its picture.

        Raises:
            RequestError: the picture cannot be read.
        """
        return _constant(read_image(user_path(self.path)), height)


class GeneratorLoader(Protocol):
    """A part of the group ``generator``."""

    def load(self) -> Generator:
        """Load the generator."""
        ...


@part("source/face")
@dataclass(frozen=True)
class GeneratedFace:
    """A face that a generator makes."""

    generator: GeneratorLoader = field(default_factory=NamedGenerator)
    latent: Latent = field(default_factory=Seed)

    @torch.no_grad()
    def open(self, height: int | None) -> FrameProvider:
        """Load the generator and return the provider of its face."""
        generator = self.generator.load()
        face = generator.bind(self.latent.sample(generator))(lambda x, layer: x)
        return _constant(face[:, :3].expand(1, 3, -1, -1).clamp(-1, 1), height)


@part("source/film")
@dataclass(frozen=True)
class VideoSource:
    """A film.

    Args:
        path: of the film, or of the folder of a finished run.
        at: the picture for dreams that need only one, as a share of the film; 1 is the last.
    """

    path: str = ""
    at: float = 1.0

    def __post_init__(self) -> None:
        _check_path("film", "FILM", self.path)
        check_range("source.at", self.at, 0.0, 1.0)

    def open(self, height: int | None) -> FrameProvider:
        """Return the provider of one of its pictures.

        Raises:
            RequestError: there is no film, or it cannot be read.
        """
        number = max(0, round(self.at * (decoder.frame_count(self.file) - 1)))
        for index, frame in enumerate(decoder.decode_frames(self.file)):
            if index == number:
                return _constant(from_bytes(frame), height)
        raise RequestError(f"{self.file} has no frame to dream of")

    @property
    def file(self) -> Path:
        """The film.

        Raises:
            RequestError: there is none.
        """
        path = user_path(self.path)
        films = sorted(path.glob("film.*")) if path.is_dir() else [path]
        if not films or not films[0].is_file():
            raise RequestError(
                f"there is no film at source.path={self.path}; "
                "name a film, or the folder of a finished run"
            )
        return films[0]

    @property
    def rate(self) -> float:
        """Its frames a second."""
        return decoder.frame_rate(self.file)

    def play(self, height: int | None, fps: float) -> FrameProvider:
        """Return the provider of all its pictures, at ``fps`` frames a second.

        The film is decoded as its pictures are asked for. After its end the last picture stays.

        Raises:
            RequestError: there is no film, or it has no frames.
        """
        first = next(decoder.decode_frames(self.file), None)
        if first is None:
            raise RequestError(f"{self.file} has no frame to dream of")
        size = _even_size(first.shape[0], first.shape[1], height or min(first.shape[0], HEIGHT))
        rate = self.rate

        def pictures() -> Iterator[Tensor]:
            frames = decoder.decode_frames(self.file)
            frame: Frame = next(frames)
            number = 0
            for index in count():
                wanted = int(index * rate / fps + 1e-6)
                while number < wanted:
                    frame = next(frames, frame)
                    number += 1
                yield resize(from_bytes(frame), size)

        return FrameProvider(size, _PictureSequence(pictures))


class _PictureSequence:
    """Access by index to pictures that can only be made in order; going back starts them again."""

    def __init__(self, pictures: Callable[[], Iterator[Tensor]]) -> None:
        self.pictures = pictures
        self.next_index, self.remaining = 0, pictures()

    def __call__(self, index: int) -> Tensor:
        if index < self.next_index:
            self.next_index, self.remaining = 0, self.pictures()
        while self.next_index < index:
            next(self.remaining)
            self.next_index += 1
        self.next_index += 1
        return next(self.remaining)


def _constant(picture: Tensor, height: int | None) -> FrameProvider:
    """Return the provider of the same picture for every frame."""
    high, wide = picture.shape[2:]
    size = _even_size(high, wide, height or min(high, HEIGHT))
    resized = resize(picture, size)
    return FrameProvider(size, lambda _: resized, is_image=True)


def _even_size(high: int, wide: int, height: int) -> tuple[int, int]:
    """Return ``height`` and the width in proportion to ``high`` and ``wide``, as even numbers."""
    return 2 * round(height / 2), max(2, 2 * round(height * wide / high / 2))


def _check_ratio(ratio: Sequence[int]) -> None:
    if len(ratio) != 2 or not all(type(n) is int and 1 <= n <= 100 for n in ratio):
        raise RequestError(
            f"source.ratio must be two whole numbers up to 100, width and height, got {[*ratio]}"
        )


def _check_path(source: str, what: str, path: str) -> None:
    if not path:
        raise RequestError(f"source={source} needs a path: set source.path={what}")
