"""The formats of films: everything about a format is its row in :data:`FORMATS`.

To add a format, write a row here and a file ``configs/film/NAME.yaml``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forgetting.film.ffmpeg import DECLARE_BT709, TO_BT709

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
"""The presets of x264, from fast to small; other codecs translate them."""

ENCODERS = ("auto", "x264", "nvenc")
"""What ``film.encoder`` can be: x264 stands for every format's own encoder on the CPU."""


@dataclass(frozen=True)
class FilmFormat:
    """A film format: what its files are called, how ffmpeg writes them, and what they can hold.

    Args:
        file: name of the finished film.
        suffix: of a segment's file, without the dot.
        segment: ffmpeg's arguments for a segment. ``{crf}`` stands for the quality, ``{preset}``
            for the preset, ``{alpha}`` for an ``a`` in films with an alpha channel.
        join: ffmpeg's arguments for the film made of segments; ``{rate}`` stands for frames per
            second.
        sound: ffmpeg's codec of a soundtrack with its options; empty where films are silent.
        crf: default quality, lower is better; None for formats without that setting.
        worst_crf: the largest possible value of ``crf``.
        even: whether width and height must be even, because colours are stored at half the size.
        alpha: whether films can have an alpha channel.
        planes: whether films store 8 bits of 4:2:0, so that an engine's planes need no conversion.
        plays_in_browsers: whether every browser plays it.
        stills: whether the film is a folder of numbered PNG files, one segment for each frame.
        presets: the codec's own names of x264's presets; empty where they are the same.
        variants: ffmpeg's arguments for a segment by other encoders, by ``film.encoder``.
        add_comment: writes a comment into a finished film, for formats whose metadata ffmpeg omits.
    """

    file: str
    suffix: str = "mp4"
    segment: str = ""
    join: str = ""
    sound: str = ""
    crf: int | None = None
    worst_crf: int = 0
    even: bool = False
    alpha: bool = False
    planes: bool = False
    plays_in_browsers: bool = False
    stills: bool = False
    presets: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    add_comment: Callable[[Path, str], None] | None = None

    def segment_arguments(
        self, encoder: str, crf: int, preset: str, alpha: bool, planes: bool = False
    ) -> list[str]:
        """Return ffmpeg's arguments for a segment.

        Args:
            encoder: a key of ``variants``; any other name means the format's own encoder.
            crf: quality, lower is better.
            preset: one of ``PRESETS``.
            alpha: whether the film has an alpha channel.
            planes: whether frames arrive as planes instead of as RGB.
        """
        template = self.variants.get(encoder, self.segment)
        speed = self.presets.get(preset, preset)
        return template.format(
            crf=crf, preset=speed, alpha="a" * alpha, to_yuv="" if planes else RGB_TO_YUV
        ).split()

    def join_arguments(self, rate: float) -> list[str]:
        """Return ffmpeg's arguments for the film, at ``rate`` frames per second."""
        return self.join.format(rate=f"{rate:.10g}").split()


def _add_gif_comment(path: Path, comment: str) -> None:
    """Put a comment extension (GIF89a, section 24) before the trailer."""
    data = comment.encode("ascii", "replace")
    blocks = b"".join(
        bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)
    )
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + blocks + b"\x00\x3b")


RGB_TO_YUV = f"scale=in_range=pc:{TO_BT709},"
"""The filter that converts RGB."""

_YUV = f"-vf {{to_yuv}}{DECLARE_BT709} -pix_fmt"
# Chroma lies in the middle of four pixels, and films say so, because players guess otherwise.
_YUV_420 = f"-vf {{to_yuv}}{DECLARE_BT709}:chroma_location=center -pix_fmt"
_YUV_8_BITS = f"{_YUV_420} yuv420p"
_YUV_10_BITS = f"{_YUV_420} yuv420p10le"  # slow fades show no steps
_AAC = "aac -b:a 256k"

# Every codec gets a fixed number of threads: its default is the number of cores, and then every
# machine would write another file.
FORMATS: Mapping[str, FilmFormat] = {
    "mp4": FilmFormat(
        file="film.mp4",
        segment=f"-c:v libx264 -threads 4 -preset {{preset}} -crf {{crf}} {_YUV_8_BITS} -f mp4",
        # B-frames are stored up to two frames before they are shown; in short segments by less,
        # which would leave gaps between segments.
        join=(
            "-c copy -bsf:v setts=pts=PTS:dts=(N-2)/({rate}*TB):duration=1/({rate}*TB)"
            " -movflags +faststart -f mp4"
        ),
        sound=_AAC,
        crf=18,
        worst_crf=51,
        even=True,
        planes=True,
        plays_in_browsers=True,
        variants={
            "nvenc": (
                "-c:v h264_nvenc -preset p4 -bf 2 -b_ref_mode disabled"
                f" -rc vbr -cq {{crf}} -b:v 0 {_YUV_8_BITS} -f mp4"
            )
        },
    ),
    "webm": FilmFormat(
        file="film.webm",
        segment=(
            "-c:v libvpx-vp9 -threads 4 -crf {crf} -b:v 0 -row-mt 1 -deadline good -cpu-used 4"
            f" {_YUV_8_BITS} -f mp4"
        ),
        join="-c copy -fflags +bitexact -f webm",
        sound="libopus -b:a 192k",
        crf=30,
        worst_crf=63,
        even=True,
        planes=True,
        plays_in_browsers=True,
    ),
    # GIFs cannot be joined: their segments are stored without loss, and become a GIF once. Every
    # frame has a palette of its own, because one for the whole film would need the whole film in
    # memory.
    "gif": FilmFormat(
        file="film.gif",
        segment="-c:v libx264rgb -threads 4 -preset ultrafast -qp 0 -f mp4",
        join=(
            "-filter_complex split[a][b];[a]palettegen=stats_mode=single[p];"
            "[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3 -loop 0 -f gif"
        ),
        add_comment=_add_gif_comment,
    ),
    "png": FilmFormat(file="film", suffix="png", alpha=True, stills=True),
    # Without B-frames segments can be joined by their timestamps alone.
    "h265": FilmFormat(
        file="film.mp4",
        segment=(
            "-c:v libx265 -preset {preset} -crf {crf}"
            " -x265-params log-level=error:pools=4:frame-threads=2:bframes=0"
            f" -tag:v hvc1 {_YUV_10_BITS} -f mp4"
        ),
        join="-c copy -tag:v hvc1 -movflags +faststart -f mp4",
        sound=_AAC,
        crf=20,
        worst_crf=51,
        even=True,
    ),
    "av1": FilmFormat(
        file="film.mp4",
        segment=(
            "-c:v libsvtav1 -preset {preset} -crf {crf} -svtav1-params lp=4"
            f" {_YUV_10_BITS} -f mp4"
        ),
        join="-c copy -movflags +faststart -f mp4",
        sound=_AAC,
        crf=26,
        worst_crf=63,
        even=True,
        presets=dict(zip(PRESETS, ("12", "11", "10", "9", "8", "7", "5", "4", "3"), strict=True)),
    ),
    "prores": FilmFormat(
        file="film.mov",
        suffix="mov",
        segment=(
            "-c:v prores_ks -profile:v 4444 -threads 4 -vendor apl0"
            f" {_YUV} yuv{{alpha}}444p10le -f mov"
        ),
        join="-c copy -movflags +faststart -f mov",
        sound="pcm_s16le",
        alpha=True,
    ),
    "ffv1": FilmFormat(
        file="film.mkv",
        suffix="mkv",
        segment=(
            "-c:v ffv1 -level 3 -slices 4 -slicecrc 1 -g 1 -threads 4"
            " -pix_fmt gbrp -color_range pc -f matroska"
        ),
        join="-c copy -fflags +bitexact -f matroska",
        sound="flac",
    ),
}
"""The name of a format, as ``film.format`` has it -> everything about it."""
