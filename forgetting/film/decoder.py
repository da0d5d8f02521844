"""Decodes the frames of films by ffmpeg, one at a time; the films may come from strangers."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from forgetting.engines.pixels import Frame
from forgetting.errors import RequestError, one_line
from forgetting.film.ffmpeg import file_source

MAX_SIDE = 16384
"""The largest width and height of a film that is decoded, in pixels."""


def frame_rate(path: Path) -> float:
    """Return the frames per second of a film.

    Raises:
        RequestError: the file is no film.
    """
    printed = report(path)
    match = re.search(r"Video:.*?([\d.]+) fps", printed)
    if match is None or float(match[1]) <= 0:
        raise _no_film(path, printed.strip().rpartition("\n")[2])
    return float(match[1])


def frame_count(path: Path) -> int:
    """Return the number of frames of a film; they are counted without decoding.

    Raises:
        RequestError: the file is no film.
    """
    printed = report(path, "-map", "0:v:0", "-c", "copy", "-f", "null", "-")
    counts = re.findall(r"frame=\s*(\d+)", printed)
    if not counts:
        raise _no_film(path, printed.strip().rpartition("\n")[2])
    return int(counts[-1])


def decode_frames(path: Path) -> Iterator[Frame]:
    """Yield all frames of a film, [H, W, 3].

    Raises:
        RequestError: the file is no film, or ends too early.
    """
    # As portable pixmaps, which hold their own size.
    pixmaps = "-map 0:v:0 -fps_mode passthrough -f image2pipe -c:v ppm -pix_fmt rgb24 -"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *file_source(path), *pixmaps.split()]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            while (frame := _read_pixmap(process.stdout)) is not None:
                yield frame
            if process.wait() != 0:
                errors.seek(0)
                raise _no_film(path, errors.read(2000).decode(errors="replace"))
        finally:
            process.kill()


def report(path: Path, *arguments: str) -> str:
    """Return what ffmpeg prints about a film or a soundtrack."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *file_source(path), *arguments]
    process = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return process.stderr.decode(errors="replace")


def _read_pixmap(stream: IO[bytes]) -> Frame | None:
    """Return the next frame of a stream of pixmaps, or None at its end."""
    header = b"".join(stream.readline(64) for _ in range(3))
    if not header:
        return None
    match = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", header)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE:
        raise RequestError(
            f"the film claims to be {width} x {height}; "
            f"films of up to {MAX_SIDE} pixels a side are decoded"
        )
    pixels = stream.read(3 * width * height)
    if len(pixels) < 3 * width * height:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _no_film(path: Path, reason: str) -> RequestError:
    return RequestError(f"{path} is no film that ffmpeg can read ({one_line(reason)})")
