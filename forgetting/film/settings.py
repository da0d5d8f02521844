"""The settings of a film: how it is written, and the size and layout of its frames."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageColor

from forgetting.ablation.tracks import ENDINGS
from forgetting.errors import RequestError, check_choice, check_int, check_range, unknown_name
from forgetting.files import is_file, user_path
from forgetting.film import grid as grids
from forgetting.film.fonts import MAX_FACES, Font
from forgetting.film.formats import ENCODERS, FORMATS, PRESETS, FilmFormat
from forgetting.film.images import cropped
from forgetting.film.texts import MAX_TITLE, check_text
from forgetting.parts import TARGET, part

LAYOUTS = ("face", "map", "diptych", "inset", "triptych")
PANELS = {"diptych": 2, "triptych": 3}
"""The number of panels side by side, for layouts with more than one."""

GAP = 0.02
"""Width of the gap between two panels, as a share of their height."""

SMALL = 512
"""Pictures smaller than this are enlarged by the nearest whole factor."""

TRANSPARENT = "transparent"
"""The background of films with an alpha channel."""

_PART = "film/film"


@part("film/film")
@dataclass(frozen=True)
class FilmSettings:
    """How a film is written.

    Args:
        fps: frames per second, in (0, 240].
        duration: seconds; a film has exactly ``round(fps * duration)`` frames.
        size: height in pixels; the width follows from it. None is the network's own size, and small
            pictures are enlarged.
        format: a key of :data:`forgetting.film.formats.FORMATS`: ``mp4`` (H.264), ``webm`` (VP9),
            ``gif``, ``png`` (a folder of stills); for galleries ``h265`` and ``av1`` (both 10
            bits), ``prores`` (4444) and ``ffv1`` (without loss).
        every: for a quick draft, only every n-th frame is rendered and shown n times as long, so
            the film takes as long as the full one.
        crf: quality of mp4 and h265 (0 to 51), webm and av1 (to 63), lower is better; None is the
            format's default, 18, 20, 30 or 26.
        preset: x264's ``ultrafast`` to ``veryslow``: the slower, the smaller the file.
        encoder: of mp4; ``auto`` is NVIDIA's where the engine runs on a GPU that has one, x264
            otherwise.
        segment: frames in a segment, which is what a killed render can lose. Every segment begins
            with a keyframe, at which the picture is refreshed; x264 chooses about 240 by itself.
        poster: the moment that the poster shows, as a share of the film.
        stations: number of pictures on the contact sheet.
        ending: what happens to the remainders that bias and noise produce when all units are
            ablated: they stay (``smudge``), stand still for a while (``hold``), or fade to
            ``black`` or ``white`` or, on a transparent background, away (``clear``).
        layout: ``face``, ``map`` (the memory map alone), ``diptych`` (face beside map), ``inset``
            (map in a corner), ``triptych`` (face, map, forgetting curve).
        title: stands on the background before the first frame of the film.
        title_duration: seconds that the title takes. The film's file is that much longer.
        font: of the title and the captions: path of a font file, or name of an installed font. None
            is the font that the package ships.
        font_face: number of the face in a file that holds several.
        crop: aspect ratio to which the frame is cropped, width to height: [1, 1], [9, 16].
        canvas: width and height of the finished film, on which the frame is centred as large as it
            fits.
        background: what the canvas shows around it: a colour by name or #rrggbb, or
            ``transparent``: such a film has an alpha channel, and the gaps between panels are
            transparent too.
        grid: columns x rows of faces that are ablated by the same plan, such as 3x3: the face of
            the seed and those of the seeds after it, or those of ``latent.seeds``.
        audio: path of a soundtrack. It is cut to the length of the film, title included, or silence
            follows it; it is faded at both ends for ``audio_fade`` seconds.
        audio_fade: seconds that the soundtrack fades at each end.
        audio_loop: whether a soundtrack that is shorter than the film is repeated.
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
    title_duration: float = 3.0
    font: str | None = None
    font_face: int = 0
    crop: Sequence[int] | None = None
    canvas: Sequence[int] | None = None
    background: str = "black"
    grid: str | None = None
    audio: str | None = None
    audio_fade: float = 2.0
    audio_loop: bool = False

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> FilmSettings:
        """Return the settings that a recipe holds as plain values.

        Recipes come from strangers, so no class is looked up by a name in them.

        Args:
            settings: field -> value; lists become tuples.

        Raises:
            RequestError: an unknown field, or a value that is not possible.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values: dict[str, Any] = {}
        for name, value in settings.items():
            if name == TARGET:
                check_choice(f"film.{TARGET}", value, [_PART])
                continue
            if name not in names:
                raise unknown_name("setting of a film", str(name), names)
            if isinstance(value, Mapping):
                raise RequestError(f"film.{name} must be a plain value, got {value!r}")
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            RequestError: a value that is not possible.
        """
        check_range("film.fps", self.fps, 0.01, 240)
        check_range("film.duration", self.duration, 0.01, 86_400)
        check_choice("film.format", self.format, FORMATS)
        check_choice("film.ending", self.ending, ENDINGS)
        check_choice("film.layout", self.layout, LAYOUTS)
        check_choice("film.preset", self.preset, PRESETS)
        check_choice("film.encoder", self.encoder, ENCODERS)
        check_int("film.every", self.every, 1, 1_000_000)
        check_int("film.segment", self.segment, 1, 100_000)
        check_range("film.poster", self.poster, 0, 1)
        check_int("film.stations", self.stations, 1, 256)
        if self.crf is not None and self.file_format.crf is not None:
            check_int("film.crf", self.crf, 0, self.file_format.worst_crf)
        if self.size is not None:
            check_int("film.size", self.size, 16, 8192)
        for name, pair, example in (
            ("crop", self.crop, "[9,16]"),
            ("canvas", self.canvas, "[1920,1080]"),
        ):
            if pair is not None and not _is_size(pair):
                raise RequestError(
                    f"film.{name} must be two whole numbers, width and height, as in "
                    f'"film.{name}={example}", got {pair!r}'
                )
        if self.canvas is not None:
            for side in self.canvas:
                check_int("film.canvas", side, 64, 16_384)
        for name, text in (("font", self.font), ("audio", self.audio)):
            if text is not None and not isinstance(text, str):
                raise RequestError(f"film.{name} must be text, got {text!r}; put it in quotes")
        if self.title is not None:
            check_text("film.title", self.title, MAX_TITLE)
        check_range("film.title_duration", self.title_duration, 0.1, 600)
        check_int("film.font_face", self.font_face, 0, MAX_FACES - 1)
        self._check_audio()
        self._check_background()
        self.grid_size  # noqa: B018 (raises if it is not possible)
        if self.frames < 1:
            raise RequestError(
                f"film.fps {self.fps:g} x film.duration {self.duration:g} s is not one frame; "
                "make one of them larger"
            )

    def check_soundtrack(self) -> None:
        """Raise if there is no soundtrack where one is to be; a finished film needs none any more.

        Raises:
            RequestError: there is no file.
        """
        if self.audio and not is_file(user_path(self.audio)):
            raise RequestError(f"there is no soundtrack at film.audio={self.audio}; check the path")

    def _check_audio(self) -> None:
        check_range("film.audio_fade", self.audio_fade, 0.0, 3600.0)
        if not self.audio:
            return
        if not self.file_format.sound:
            raise RequestError(
                f"film.audio needs a film with sound, and film.format={self.format} cannot have "
                "any; take mp4"
            )

    def _check_background(self) -> None:
        self.background_colour  # noqa: B018 (raises if it is not possible)
        if self.channels == 4 and not self.file_format.alpha:
            able = " or ".join(f"film={name}" for name, row in FORMATS.items() if row.alpha)
            raise RequestError(
                f"film.background=transparent needs {able}, which have an alpha channel, "
                f"got {self.format}"
            )
        if self.ending == "clear" and self.channels == 3:
            raise RequestError(
                "film.ending=clear fades into what is behind the film; "
                "add film.background=transparent, or take ending=black"
            )

    @property
    def file_format(self) -> FilmFormat:
        """Everything about the film's format."""
        return FORMATS[self.format]

    @property
    def frames(self) -> int:
        """The number of frames of the plan."""
        return round(self.fps * self.duration)

    @property
    def indices(self) -> range:
        """The frames of the plan that are in the film."""
        return range(0, self.frames, self.every)

    @property
    def title_frames(self) -> int:
        """The number of frames of the title, which stand before the others in the file.

        Frames of the plan, measures, sheets and posters are counted without them.
        """
        if not self.title or not self.title.strip():
            return 0
        return max(1, round(self.title_duration * self.rate))

    @property
    def title_seconds(self) -> float:
        """When the first frame of the plan is shown, in seconds of the file."""
        return self.title_frames / self.rate

    @property
    def file_frames(self) -> int:
        """The number of frames of the file: those of the title, and those of the plan."""
        return self.title_frames + len(self.indices)

    @property
    def file_seconds(self) -> float:
        """The length of the file."""
        return self.file_frames / self.rate

    @property
    def text_font(self) -> Font:
        """The font of the title and the captions."""
        return Font(Path(self.font), self.font_face) if self.font else Font()

    @property
    def rate(self) -> float:
        """Frames per second of the file."""
        return self.fps / self.every

    @property
    def quality(self) -> int:
        """The ``crf`` that the encoder gets; 0 in formats without that setting."""
        return self.crf if self.crf is not None else self.file_format.crf or 0

    @property
    def name(self) -> str:
        """The name of the film's file, or of its folder of stills."""
        return self.file_format.file

    @property
    def grid_size(self) -> tuple[int, int]:
        """Columns and rows of faces.

        Raises:
            RequestError: ``grid`` is not columns x rows.
        """
        match = re.fullmatch(r"(\d{1,2})x(\d{1,2})", str(self.grid or "1x1"))
        columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
        if not columns * rows:
            raise RequestError(
                f"film.grid must be columns x rows of faces, such as 3x3, got {self.grid!r}"
            )
        return columns, rows

    @property
    def faces(self) -> int:
        """The number of faces in a frame."""
        columns, rows = self.grid_size
        return columns * rows

    @property
    def channels(self) -> int:
        """The channels of a finished frame: three, or four with alpha."""
        return 4 if self.background == TRANSPARENT else 3

    @property
    def background_colour(self) -> tuple[int, ...]:
        """The background in [0, 255], one number for each of the film's channels.

        Raises:
            RequestError: ``background`` is no colour.
        """
        if self.background == TRANSPARENT:
            return 0, 0, 0, 0
        try:
            return ImageColor.getrgb(str(self.background))[:3]
        except ValueError:
            raise RequestError(
                "film.background must be transparent or a colour, such as black or #202020, "
                f"got {self.background!r}"
            ) from None

    def panel(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a panel, for pictures of ``height`` x ``width``.

        A grid of faces is one panel; no face in it is stretched.
        """
        size = self.size or height * max(1, round(SMALL / height))
        panel_width = grids.width(size, *self.grid_size, (height, width))
        if not self.file_format.even:
            return size, round(panel_width)
        return size, 2 * round(panel_width / 2)

    def uncropped_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of all panels, for pictures of ``height`` x ``width``."""
        size, panel_width = self.panel(height, width)
        panels = PANELS.get(self.layout, 1)
        return size, panels * panel_width + (panels - 1) * self.gap(size)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the film's height and width, for pictures of ``height`` x ``width``.

        Raises:
            RequestError: they are odd and the format needs even numbers.
        """
        size, _ = self.panel(height, width)
        shape = self.uncropped_shape(height, width)
        if self.crop:
            shape = cropped(shape, self.crop)
        if self.canvas:
            shape = self.canvas[1], self.canvas[0]
        if self.file_format.even and any(side % 2 for side in shape):
            setting, sides = ("canvas", shape) if self.canvas else ("size", (size,))
            odd = next((side for side in sides if side % 2), size)
            raise RequestError(
                f"film.{setting} must be even for {self.format} (its colours are stored at half "
                f"the size), got {odd}; {odd - 1} and {odd + 1} are fine"
            )
        return shape

    @staticmethod
    def gap(height: int) -> int:
        """Return the pixels between two panels of this height."""
        return 2 * round(GAP * height / 2)


def _is_size(pair: object) -> bool:
    """Return whether a value is two whole numbers in [1, 16384]."""
    return (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(type(number) is int and 1 <= number <= 16384 for number in pair)
    )
