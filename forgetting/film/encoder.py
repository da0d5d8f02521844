"""Frames -> files, by ffmpeg: pieces of a film, and the film out of its pieces.

``imageio_ffmpeg`` brings the program; its own writer does not look at the exit status, and a disk that fills up while
the index is written would leave a broken film with a finished name.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from forgetting.engines.engine import Frame
from forgetting.errors import ForgettingError, RequestError
from forgetting.film.images import fit, save_png
from forgetting.film.settings import FilmSettings


@dataclass(frozen=True)
class Codec:
    """``piece`` and ``joined`` are what ffmpeg is told for a piece of film and for the film out of them, ``sound`` for what
    is heard with it."""

    suffix: str
    piece: str
    joined: str
    sound: str = ""


# The conversion to YUV is named, and the file says it: players guess otherwise, and colours drift.
_OUT, _TOLD = (
    "out_range=tv:out_color_matrix=bt709",
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
)
_BT709 = f"-vf scale=in_range=pc:{_OUT},{_TOLD} -pix_fmt yuv420p"
# A number of threads of its own for every machine would make another file on every machine.
_X264 = f"-c:v libx264 -threads 4 -preset {{preset}} -crf {{crf}} {_BT709} -f mp4"
_NVENC = f"-c:v h264_nvenc -preset p4 -bf 2 -b_ref_mode disabled -rc vbr -cq {{crf}} -b:v 0 {_BT709} -f mp4"
_VP9 = f"-c:v libvpx-vp9 -threads 4 -crf {{crf}} -b:v 0 -row-mt 1 -deadline good -cpu-used 4 {_BT709} -f mp4"
# B-frames are stored up to two places before they are shown; in short pieces by less, which would leave gaps at joints.
# For galleries: ten bits where the codec has them, so that slow fades have no steps.
_TEN = _BT709.replace("-pix_fmt yuv420p", "-pix_fmt yuv420p10le")
# Without B-frames: pieces can be joined by their timestamps alone.
_X265 = f"-c:v libx265 -preset {{preset}} -crf {{crf}} -x265-params log-level=error:pools=4:frame-threads=2:bframes=0 -tag:v hvc1 {_TEN} -f mp4"
_AV1 = f"-c:v libsvtav1 -preset {{speed}} -crf {{crf}} -svtav1-params lp=4 {_TEN} -f mp4"
_PRORES = f"-c:v prores_ks -profile:v 4444 -threads 4 -vendor apl0 {_BT709.replace('yuv420p', 'yuv{alpha}444p10le')} -f mov"
_FFV1 = "-c:v ffv1 -level 3 -slices 4 -slicecrc 1 -g 1 -threads 4 -pix_fmt gbrp -color_range pc -f matroska"
SPEEDS = {
    "ultrafast": 12,
    "superfast": 11,
    "veryfast": 10,
    "faster": 9,
    "fast": 8,
    "medium": 7,
    "slow": 5,
    "slower": 4,
    "veryslow": 3,
}
"""What SVT-AV1 calls x264's presets."""

_AAC = "aac -b:a 256k"

_MP4 = "-c copy -bsf:v setts=pts=PTS:dts=(N-2)/({rate}*TB):duration=1/({rate}*TB) -movflags +faststart -f mp4"
_CODECS = {
    ("mp4", "x264"): Codec("mp4", _X264, _MP4, _AAC),
    ("mp4", "nvenc"): Codec("mp4", _NVENC, _MP4, _AAC),
    ("webm", "x264"): Codec("mp4", _VP9, "-c copy -fflags +bitexact -f webm", "libopus -b:a 192k"),
    # GIFs cannot be joined: their pieces are kept without loss, and become a GIF once. A palette for each frame,
    # because one for the whole film would mean to hold the whole film in memory first.
    ("gif", "x264"): Codec(
        "mp4",
        "-c:v libx264rgb -threads 4 -preset ultrafast -qp 0 -f mp4",
        "-filter_complex split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=3 -loop 0 -f gif",
    ),
    ("png", "x264"): Codec("png", "", ""),
    ("h265", "x264"): Codec("mp4", _X265, "-c copy -tag:v hvc1 -movflags +faststart -f mp4", _AAC),
    ("av1", "x264"): Codec("mp4", _AV1, "-c copy -movflags +faststart -f mp4", _AAC),
    ("prores", "x264"): Codec("mov", _PRORES, "-c copy -movflags +faststart -f mov", "pcm_s16le"),
    ("ffv1", "x264"): Codec("mkv", _FFV1, "-c copy -fflags +bitexact -f matroska", "flac"),
}


def resolve_encoder(film: FilmSettings, device: str) -> FilmSettings:
    """``film`` with its encoder decided, for frames that come from an engine on ``device``.

    Raises:
        RequestError: NVIDIA's encoder is asked for and does not run here.
    """
    wanted = film.encoder
    if wanted == "nvenc" and not _nvenc():
        raise RequestError(
            "film.encoder=nvenc needs an NVIDIA GPU whose encoder ffmpeg can use, and it does not run here; use x264"
        )
    fast = film.format == "mp4" and (
        wanted == "nvenc" or (wanted == "auto" and device == "cuda" and _nvenc())
    )
    return replace(film, encoder="nvenc" if fast else "x264")


@cache
def _nvenc() -> bool:
    """Whether NVIDIA's encoder is in this ffmpeg and works on this machine: tried, on one black picture."""
    source = "-f lavfi -i color=black:s=256x256:d=0.1"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "quiet",
        *source.split(),
        "-c:v",
        "h264_nvenc",
        "-f",
        "null",
        "-",
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def codec(film: FilmSettings) -> Codec:
    """What a settled film is written with."""
    return _CODECS[film.format, film.encoder]


def encode(
    film: FilmSettings, frames: Iterable[Frame], path: Path, shape: tuple[int, int], comment: str
) -> None:
    """Write a piece of film; frames are scaled to ``shape`` (height, width). A piece of a film of stills is one still.

    Raises:
        OSError: the disk is full.
        ForgettingError: the encoder gave up for another reason.
    """
    if film.format == "png":
        (frame,) = frames
        return save_png(fit(frame, shape), path, comment)
    height, width = shape
    colours = "rgb24" if film.channels == 3 else "rgba"
    source = f"-f rawvideo -pix_fmt {colours} -s {width}x{height} -r {film.rate:.10g} -i -"
    told = codec(film).piece.format(
        crf=film.quality,
        preset=film.preset,
        speed=SPEEDS[film.preset],
        alpha="a" * (film.channels == 4),
    )
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-nostdin",
        "-loglevel",
        "error",
        *source.split(),
        *told.split(),
        str(path),
    ]
    # In a session of its own, so that Ctrl-C reaches us and not the encoder behind our back.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    try:
        with contextlib.suppress(
            BrokenPipeError
        ):  # the encoder has left; its exit status and last words tell why
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(fit(frame, shape)).data)
        _check(f"on film.format={film.format}", process.communicate()[1], process.returncode)
    finally:
        process.kill()
        with contextlib.suppress(
            BrokenPipeError
        ):  # what is still on its way to the encoder has nowhere to go
            process.communicate()


def join_segments(
    film: FilmSettings, pieces: Sequence[tuple[Path, int]], path: Path, comment: str
) -> None:
    """Write the film out of its pieces (each with its number of frames), in order, without encoding again.

    Raises:
        OSError, ForgettingError: as :func:`encode`.
    """
    if film.format == "png":
        path.mkdir()
        for number, (piece, _) in enumerate(pieces):
            shutil.copyfile(piece, path / f"{number:05d}.png")
        return
    told = ["ffconcat version 1.0"]
    microseconds, done = 0, 0
    for piece, count in pieces:
        done += count
        until = round(
            done * 1_000_000 / film.rate
        )  # from the beginning, so that nothing adds up over hours
        told += [
            f"file 'file:{str(piece.resolve()).replace(chr(39), _QUOTE)}'",
            f"duration {(until - microseconds) / 1e6:.6f}",
        ]
        microseconds = until
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "concat", "-safe", "0",
        "-protocol_whitelist", "file,pipe", "-i", "pipe:0", *_sound(film, sum(count for _, count in pieces) / film.rate),
        "-metadata", "title=forgetting", "-metadata", f"comment={comment}",
        *codec(film).joined.format(rate=f"{film.rate:.10g}").split(),
        *(f"-c:a {codec(film).sound}".split() if film.audio else ()), str(path),
    ]  # fmt: skip
    process = subprocess.run(
        command,
        input="\n".join(told).encode(),
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    _check(f"on film.format={film.format}", process.stderr, process.returncode)
    if film.format == "gif":
        _comment_gif(path, comment)


def rescale(
    path: Path,
    film: FilmSettings,
    into: Path,
    cell: tuple[int, int],
    rate: float,
    seconds: float,
    crf: int = 14,
) -> None:
    """A copy of a film, as .mp4, in the middle of a cell of that width and height: frames come at ``rate``, the last stays on until
    ``seconds`` are over, and whatever is transparent is black.

    Raises:
        OSError, ForgettingError: as :func:`encode`.
    """
    width, height = cell
    stills = [
        "-framerate",
        f"{film.rate:.10g}",
        "-i",
        f"file:{str(path).replace('%', '%%')}/%05d.png",
    ]
    source = (
        stills if film.format == "png" else ["-protocol_whitelist", "file", "-i", f"file:{path}"]
    )
    shaped = [
        f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=area+full_chroma_int+accurate_rnd:{_OUT}"
    ]
    shaped = ["format=gbrap", "premultiply=inplace=1", *shaped] if film.channels == 4 else shaped
    shaped += [
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2",
        f"tpad=stop_mode=clone:stop_duration={seconds:.6f}",
        _TOLD,
    ]
    _ffmpeg(
        *source,
        "-an",
        "-t",
        f"{seconds:.6f}",
        "-vf",
        ",".join([f"fps={rate:.10g}", *shaped]),
        *_h264(crf),
        str(into),
    )


def tile_films(
    films: Sequence[Path],
    corners: Sequence[tuple[int, int]],
    labels: Path,
    size: tuple[int, int],
    into: Path,
) -> None:
    """One film, as .mp4, of films that :func:`smaller` made alike, each with its left upper corner (even) at its place, under the
    picture ``labels`` of that width and height, which is transparent where they are.

    Raises:
        OSError, ForgettingError: as :func:`encode`.
    """
    sources = [
        word
        for path in films
        for word in ("-threads", "1", "-protocol_whitelist", "file", "-i", f"file:{path}")
    ]
    # The first film is the ground of the others: they keep the same time, to the tick.
    (x, y), (width, height) = corners[0], size
    graph = [f"[0:v]pad={width}:{height}:{x}:{y}:0x0c0c0c[on0]"]
    graph += [
        f"[on{number}][{number + 1}:v]overlay={x}:{y}[on{number + 1}]"
        for number, (x, y) in enumerate(corners[1:])
    ]
    graph += [f"[on{len(films) - 1}][{len(films)}:v]overlay,{_TOLD}"]
    _ffmpeg(
        *sources, "-i", f"file:{labels}", "-filter_complex", ";".join(graph), *_h264(18), str(into)
    )


def _h264(crf: int) -> list[str]:
    return f"-c:v libx264 -threads 4 -preset veryfast -crf {crf} -pix_fmt yuv420p -movflags +faststart -fflags +bitexact -f mp4".split()


def _ffmpeg(*words: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error", *words]
    process = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True
    )
    _check("on a film made of others", process.stderr, process.returncode)


def _sound(film: FilmSettings, seconds: float) -> list[str]:
    """What ffmpeg is told of a soundtrack: as long as the film to the sample, silent where it is too short, faded at both ends."""
    if not film.audio:
        return []
    fade = min(film.audio_fade, seconds / 2)
    shaped = f"atrim=0:{seconds:.6f},apad=whole_dur={seconds:.6f},asetpts=PTS-STARTPTS"
    shaped += (
        f",afade=t=in:d={fade:.6f},afade=t=out:st={seconds - fade:.6f}:d={fade:.6f}"
        if fade > 0
        else ""
    )
    source = [
        "-protocol_whitelist",
        "file",
        "-i",
        f"file:{Path(film.audio).expanduser()}",
        "-map",
        "0:v:0",
        "-map",
        "1:a:0",
    ]
    # The codec of the sound comes behind that of the pictures, which is a copy of all.
    return [*source, "-af", shaped]


_QUOTE = r"'\''"
"""An apostrophe in a list of ffmpeg's."""


def _check(where: str, said: bytes, status: int) -> None:
    if status == 0:
        return
    words = said.decode(errors="replace").strip()
    if "No space left on device" in words:
        raise OSError(errno.ENOSPC, "No space left on device")
    told = "; ".join(words.splitlines()[:3]) or "it said nothing"
    raise ForgettingError(f"the encoder failed {where}: {told}; another film.format may work")


def _comment_gif(path: Path, comment: str) -> None:
    """Put a comment extension (GIF89a, section 24) before the trailer; ffmpeg writes no metadata into a GIF."""
    data = comment.encode("ascii", "replace")
    blocks = b"".join(
        bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)
    )
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + blocks + b"\x00\x3b")
