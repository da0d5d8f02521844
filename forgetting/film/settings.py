"""A film: how it is to be written, and what its pictures look like then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageColor

from forgetting.ablation.tracks import ENDINGS
from forgetting.errors import RequestError, check_choice, check_int, check_range
from forgetting.film.images import cropped
from forgetting.parts import part

FORMATS = ("mp4", "webm", "gif", "png", "h265", "av1", "prores", "ffv1")
LAYOUTS = ("face", "map", "diptych", "inset", "triptych")
PANELS = {"diptych": 2, "triptych": 3}
GAP = 0.02
"""Between two panels, as a share of their height."""

SMALL = 512
"""Networks that make smaller pictures than this are enlarged to it by the nearest whole factor."""

ENCODERS = ("auto", "x264", "nvenc")
_CRF = {"mp4": (18, 51), "webm": (30, 63), "h265": (20, 51), "av1": (26, 63)}  # default and worst
_NAMES = {
    "png": "film",
    "h265": "film.mp4",
    "av1": "film.mp4",
    "prores": "film.mov",
    "ffv1": "film.mkv",
}
SILENT = ("gif", "png")
SEE_THROUGH = ("png", "prores")
CLEAR = "transparent"
"""The ground of films with an alpha channel."""


@part("film/film")
@dataclass(frozen=True)
class FilmSettings:
    """How a film is written.

    Args:
        fps: frames per second, in (0, 240].
        duration: seconds; a film has exactly ``round(fps * duration)`` frames.
        size: height in pixels, the width sequential; None is the network's own size, small ones enlarged.
        format: ``mp4`` (H.264), ``webm`` (VP9), ``gif``, ``png`` for a folder of stills; for galleries ``h265`` and ``av1``
            (both 10 bits), ``prores`` (4444) and ``ffv1`` (the master, without loss).
        every: a rough cut of every so manieth frame, as many times slower: the film takes as long as in full.
        crf: quality of mp4 and h265 (0 to 51), webm and av1 (to 63), lower is better; None is 18, 20, 30 or 26.
        preset: x264's ``ultrafast`` to ``veryslow``: the slower, the smaller the file.
        encoder: of mp4; ``auto`` is NVIDIA's where the engine is on a GPU that has one, x264 otherwise.
        segment: frames that are written as one piece: what a render that is killed may lose. Every piece begins with a
            keyframe, at which the picture is refreshed; 240 is about what x264 does by itself.
        poster: which moment the poster shows, as a share of the film.
        stations: pictures on the contact sheet.
        ending: what becomes of the remainders that bias and noise paint when all units are gone: they stay (``smudge``),
            they stand still for a while (``hold``), or fade to ``black`` or ``white`` or, on a transparent ground, away
            (``clear``).
        layout: ``face``, ``map`` (the memory map alone), ``diptych`` (face beside map), ``inset`` (map in a corner),
            ``triptych`` (face, map, forgetting curve).
        title: stands on black before the picture appears.
        crop: what is left of the frame, as width to height: [1, 1], [9, 16].
        canvas: width and height of the finished film, on which the frame stands as large as it fits.
        ground: what the canvas shows around it: a colour by name or #rrggbb, or ``transparent``: such a film has an alpha
            channel, and nothing is between panels either.
        audio: a soundtrack, as long as the film or cut to it, faded at both ends for ``audio_fade`` seconds.
        wall: columns x rows of people who die by the same plan, such as 3x3: the seed's, and those after it.
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
    layout: str = "face"
    title: str | None = None
    crop: Sequence[int] | None = None
    canvas: Sequence[int] | None = None
    ground: str = "black"
    wall: str | None = None
    audio: str | None = None
    audio_fade: float = 2.0

    def __post_init__(self) -> None:
        check_range("film.fps", self.fps, 0.01, 240)
        check_range("film.duration", self.duration, 0.01, 86_400)
        check_choice("film.format", self.format, FORMATS)
        check_choice("film.ending", self.ending, ENDINGS)
        check_choice("film.layout", self.layout, LAYOUTS)
        for name, pair in (("crop", self.crop), ("canvas", self.canvas)):
            if pair is not None and (
                len(pair) != 2 or not all(type(n) is int and 1 <= n <= 16384 for n in pair)
            ):
                raise RequestError(
                    f"film.{name} must be two whole numbers, width and height, got {[*pair]}"
                )
        check_range("film.audio_fade", self.audio_fade, 0.0, 3600.0)
        if self.audio and self.format in SILENT:
            raise RequestError(
                f"film.audio needs a film that can sound, and film.format={self.format} cannot; take mp4"
            )
        if self.audio and not Path(self.audio).expanduser().is_file():
            raise RequestError(f"there is no soundtrack at film.audio={self.audio}; check the path")
        self.background_colour, self.grid_size  # noqa: B018 (checked here)
        if self.channels == 4 and self.format not in SEE_THROUGH:
            raise RequestError(
                f"film.ground=transparent needs film=png or film=prores, which have an alpha channel, got {self.format}"
            )
        if self.ending == "clear" and self.channels == 3:
            raise RequestError(
                "film.ending=clear fades into what is behind the film; say film.ground=transparent too, or take ending=black"
            )
        check_choice(
            "film.preset",
            self.preset,
            (
                "ultrafast",
                "superfast",
                "veryfast",
                "faster",
                "fast",
                "medium",
                "slow",
                "slower",
                "veryslow",
            ),
        )
        check_choice("film.encoder", self.encoder, ENCODERS)
        check_int("film.every", self.every, 1, 1_000_000)
        check_int("film.segment", self.segment, 1, 100_000)
        check_range("film.poster", self.poster, 0, 1)
        check_int("film.stations", self.stations, 1, 256)
        if self.crf is not None and self.format in _CRF:
            check_int("film.crf", self.crf, 0, _CRF[self.format][1])
        if self.size is not None:
            check_int("film.size", self.size, 16, 8192)
        if self.frames < 1:
            raise RequestError(
                f"film.fps {self.fps:g} x film.duration {self.duration:g} s is not one frame; make one of them larger"
            )

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
        return _NAMES.get(self.format, f"film.{self.format}")

    @property
    def grid_size(self) -> tuple[int, int]:
        """Columns and rows of people."""
        found = re.fullmatch(r"(\d{1,2})x(\d{1,2})", str(self.wall or "1x1"))
        columns, rows = (int(found[1]), int(found[2])) if found else (0, 0)
        if not columns * rows:
            raise RequestError(
                f"film.wall must be columns x rows of people, such as 3x3, got {self.wall!r}"
            )
        return columns, rows

    @property
    def channels(self) -> int:
        """Of a finished frame: three, or four with alpha."""
        return 4 if self.ground == CLEAR else 3

    @property
    def background_colour(self) -> tuple[int, ...]:
        """One number for each of the film's channels."""
        if self.ground == CLEAR:
            return 0, 0, 0, 0
        try:
            return ImageColor.getrgb(self.ground)[:3]
        except ValueError:
            raise RequestError(
                f"film.ground must be transparent or a colour, such as black or #202020, got {self.ground!r}"
            ) from None

    def panel(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the picture in the film, for pictures of ``height`` x ``width``."""
        size = self.size or height * max(1, round(SMALL / height))
        if self.format not in _CRF:
            return size, round(size * width / height)
        return size, 2 * round(size * width / height / 2)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """The film's height and width for pictures of ``height`` x ``width``."""
        size, across = self.panel(height, width)
        panels = PANELS.get(self.layout, 1)
        found = size, panels * across + (panels - 1) * self.gap(size)
        if self.crop:
            found = cropped(found, self.crop)
        if self.canvas:
            found = self.canvas[1], self.canvas[0]
        if self.format in _CRF and any(n % 2 for n in found):
            what, odd = ("canvas", found) if self.canvas else ("size", (size,))
            number = next((n for n in odd if n % 2), size)
            raise RequestError(
                f"film.{what} must be even for {self.format} (its colours are stored at half the size), got {number}; "
                f"{number - 1} and {number + 1} are fine"
            )
        return found

    @staticmethod
    def gap(height: int) -> int:
        """Pixels between two panels."""
        return 2 * round(GAP * height / 2)
