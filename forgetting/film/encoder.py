"""Frames -> files: ffmpeg encodes segments of a film, and joins them without encoding again."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import imageio_ffmpeg
import numpy as np

from forgetting.engines.pixels import Bytes, Frame, Planes
from forgetting.errors import RequestError
from forgetting.film import soundtrack
from forgetting.film.ffmpeg import MEDIA, check_exit, ffmpeg_command
from forgetting.film.images import fit, save_png
from forgetting.film.settings import FilmSettings

T = TypeVar("T")

PIPE = 2**20
"""Bytes that the pipe to the encoder holds where the system allows it: a third of a frame at
1024 x 1024 as RGB, so that the two processes wait for each other less often."""


def resolve_encoder(film: FilmSettings, device: str) -> FilmSettings:
    """Return ``film`` with its encoder decided, for frames of an engine on ``device``.

    Raises:
        RequestError: NVIDIA's encoder is requested and does not run here.
    """
    requested = film.encoder
    if requested == "nvenc" and not _nvenc_works():
        raise RequestError(
            "film.encoder=nvenc needs an NVIDIA GPU whose encoder ffmpeg can use, "
            "and it does not run here; use x264"
        )
    use_nvenc = "nvenc" in film.file_format.variants and (
        requested == "nvenc" or (requested == "auto" and device == "cuda" and _nvenc_works())
    )
    return replace(film, encoder="nvenc" if use_nvenc else "x264")


@cache
def _nvenc_works() -> bool:
    """Return whether this ffmpeg can encode one black picture with NVIDIA's encoder here."""
    source = "-f lavfi -i color=black:s=256x256:d=0.1"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *f"-v quiet {source} -c:v h264_nvenc -f null -".split(),
    ]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def encode(
    film: FilmSettings,
    frames: Iterable[Frame | Planes],
    path: Path,
    shape: tuple[int, int],
    comment: str,
) -> None:
    """Write a segment of a film; in a film of stills, which has one frame, a PNG.

    Args:
        film: how it is written, with its encoder decided.
        frames: the frames of the segment, in order: all RGB, which is scaled to ``shape``, or all
            planes of that size.
        path: the file that is written.
        shape: height and width of the film.
        comment: metadata of a still.

    Raises:
        OSError: the disk is full.
        ForgettingError: the encoder failed for another reason.
    """
    if film.file_format.stills:
        (frame,) = frames
        return save_png(fit(_rgb(frame), shape), path, comment)
    height, width = shape
    first, frames = peeked(frames)
    planes = isinstance(first, Planes)
    pixels = "yuv420p" if planes else "rgb24" if film.channels == 3 else "rgba"
    source = f"-f rawvideo -pix_fmt {pixels} -s {width}x{height} -r {film.rate:.10g} -i -"
    arguments = film.file_format.segment_arguments(
        film.encoder, film.quality, film.preset, film.channels == 4, planes
    )
    # In a session of its own, so that Ctrl-C reaches this process and not the encoder.
    process = subprocess.Popen(
        ffmpeg_command(*source.split(), *arguments, str(path)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        # If the encoder has ended early, its exit status and its output give the reason.
        with contextlib.suppress(BrokenPipeError):
            for frame in frames:
                for block in _blocks(frame, shape):
                    process.stdin.write(block.data)
        _check_exit(film, process.communicate()[1], process.returncode)
    finally:
        process.kill()
        # Closing the pipe writes what is still buffered, and nothing reads it any more.
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def peeked(items: Iterable[T]) -> tuple[T, Iterator[T]]:
    """Return the first of some items, and all of them; no other is taken."""
    iterator = iter(items)
    first = next(iterator)
    return first, itertools.chain([first], iterator)


def _blocks(frame: Frame | Planes, shape: tuple[int, int]) -> Iterable[Bytes]:
    """Return what is written of a frame, block after block."""
    return frame if isinstance(frame, Planes) else [np.ascontiguousarray(fit(frame, shape))]


def _rgb(frame: Frame | Planes) -> Frame:
    assert not isinstance(frame, Planes)
    return frame


def join_segments(
    film: FilmSettings, segments: Sequence[tuple[Path, int]], path: Path, comment: str
) -> None:
    """Write the film made of its segments, in order, without encoding again.

    Args:
        film: how it is written.
        segments: the file and the number of frames of every segment.
        path: the file that is written; a folder in a film of stills.
        comment: metadata of the film.

    Raises:
        OSError: the disk is full.
        ForgettingError: ffmpeg failed for another reason.
    """
    if film.file_format.stills:
        path.mkdir()
        for number, (segment, _) in enumerate(segments):
            shutil.copyfile(segment, path / f"{number:05d}.png")
        return
    seconds = sum(count for _, count in segments) / film.rate
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *["-y", "-loglevel", "error", "-f", "concat", "-safe", "0"],
        *["-protocol_whitelist", "file,pipe", "-format_whitelist", f"concat,{MEDIA}"],
        *["-i", "pipe:0"],
        *soundtrack.arguments(film, seconds),
        *["-metadata", "title=forgetting", "-metadata", f"comment={comment}"],
        *film.file_format.join_arguments(film.rate),
        *(f"-c:a {film.file_format.sound}".split() if film.audio else ()),
        str(path),
    ]
    process = subprocess.run(
        command,
        input=_concat_list(film, segments).encode(),
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    _check_exit(film, process.stderr, process.returncode)
    if film.file_format.add_comment is not None:
        film.file_format.add_comment(path, comment)


def _check_exit(film: FilmSettings, stderr: bytes, status: int) -> None:
    failure = f"the encoder failed on film.format={film.format}"
    check_exit(failure, stderr, status, "another film.format may work")


_APOSTROPHE = r"'\''"
"""An apostrophe inside a quoted name of ffmpeg's list of files."""


def _concat_list(film: FilmSettings, segments: Sequence[tuple[Path, int]]) -> str:
    """Return the list of files that ffmpeg joins, with the seconds that each of them takes."""
    lines = ["ffconcat version 1.0"]
    microseconds, frames = 0, 0
    for segment, count in segments:
        frames += count
        # Counted from the beginning, so that no error adds up over hours.
        end = round(frames * 1_000_000 / film.rate)
        name = str(segment.resolve()).replace("'", _APOSTROPHE)
        lines += [f"file 'file:{name}'", f"duration {(end - microseconds) / 1e6:.6f}"]
        microseconds = end
    return "\n".join(lines)
