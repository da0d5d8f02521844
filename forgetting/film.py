"""A film: how it is to be written, and what its pictures look like then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from forgetting.engines import Frame
from forgetting.errors import RequestError, one_of, whole, within

FORMATS = ("mp4", "webm", "gif", "png")
ENDINGS = ("smudge", "hold", "black", "white")
SMALL = 512
"""Networks that make smaller pictures than this are enlarged to it by the nearest whole factor."""

ENCODERS = ("auto", "x264", "nvenc")
_CRF = {"mp4": (18, 51), "webm": (30, 63)}  # default and worst


@dataclass(frozen=True)
class Film:
    """How a film is written.

    Args:
        fps: frames per second, in (0, 240].
        duration: seconds; a film has exactly ``round(fps * duration)`` frames.
        size: height in pixels, the width follows; None is the network's own size, small ones enlarged.
        format: ``mp4`` (H.264), ``webm`` (VP9), ``gif``, or ``png`` for a folder of stills.
        every: a rough cut of every so manieth frame, as many times slower: the film takes as long as in full.
        crf: quality of mp4 (0 lossless to 51) or webm (to 63), lower is better; None is 18 or 30.
        preset: x264's ``ultrafast`` to ``veryslow``: the slower, the smaller the file.
        encoder: of mp4; ``auto`` is NVIDIA's where the engine is on a GPU that has one, x264 otherwise.
        segment: frames that are written as one piece: what a render that is killed may lose. Every piece begins with a
            keyframe, at which the picture is refreshed; 240 is about what x264 does by itself.
        poster: which moment the poster shows, as a share of the film.
        stations: pictures on the contact sheet.
        ending: what becomes of the remainders that bias and noise paint when all units are gone: they stay (``smudge``),
            they stand still for a while (``hold``), or fade to ``black`` or ``white``.
    """

    fps: float = 24
    duration: float = 30.0
    size: int | None = None
    format: str = "mp4"
    every: int = 1
    crf: int | None = None
    preset: str = "veryfast"
    encoder: str = "auto"
    segment: int = 240
    poster: float = 0.5
    stations: int = 16
    ending: str = "smudge"

    def __post_init__(self) -> None:
        within("film.fps", self.fps, 0.01, 240)
        within("film.duration", self.duration, 0.01, 86_400)
        one_of("film.format", self.format, FORMATS)
        one_of("film.ending", self.ending, ENDINGS)
        one_of("film.preset", self.preset, ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"))
        one_of("film.encoder", self.encoder, ENCODERS)
        whole("film.every", self.every, 1, 1_000_000)
        whole("film.segment", self.segment, 1, 100_000)
        within("film.poster", self.poster, 0, 1)
        whole("film.stations", self.stations, 1, 256)
        if self.crf is not None and self.format in _CRF:
            whole("film.crf", self.crf, 0, _CRF[self.format][1])
        if self.size is not None:
            whole("film.size", self.size, 16, 8192)
        if self.frames < 1:
            raise RequestError(f"film.fps {self.fps:g} x film.duration {self.duration:g} s is not one frame; make one of them larger")

    @property
    def frames(self) -> int:
        """Frames of the plan."""
        return round(self.fps * self.duration)

    @property
    def indices(self) -> range:
        """The frames of the plan that are filmed."""
        return range(0, self.frames, self.every)

    @property
    def rate(self) -> float:
        """Frames per second of the file."""
        return self.fps / self.every

    @property
    def quality(self) -> int:
        return self.crf if self.crf is not None else _CRF.get(self.format, (0, 0))[0]

    @property
    def name(self) -> str:
        return "film" if self.format == "png" else f"film.{self.format}"

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The film's height and width for pictures of ``height`` x ``width``."""
        size = self.size or height * max(1, round(SMALL / height))
        if self.format not in _CRF:
            return size, round(size * width / height)
        if size % 2:
            raise RequestError(
                f"film.size must be even for {self.format} (its colours are stored at half the size), got {size}; "
                f"{size - 1} and {size + 1} are fine"
            )
        return size, 2 * round(size * width / height / 2)


def fit(frame: Frame, shape: tuple[int, int]) -> Frame:
    """[H, W, 3] scaled to ``shape`` (height, width) with a Lanczos filter."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(Image.fromarray(frame).resize(shape[::-1], Image.Resampling.LANCZOS))


def save_png(frame: Frame, path: Path, comment: str) -> None:
    """Write a still with ``comment`` in its metadata."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", comment)
    Image.fromarray(frame).save(path, format="png", pnginfo=info, compress_level=3)
