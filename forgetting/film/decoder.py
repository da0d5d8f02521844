"""Frames out of films, anybody's: decoded by ffmpeg, one at a time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from forgetting.engines.engine import Frame
from forgetting.errors import RequestError, one_line

LARGEST = 16384
"""Pixels along a side; no size is believed beyond that."""


def frame_rate(path: Path) -> float:
    """Frames a second.

    Raises:
        RequestError: it is no film.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *_source(path)]
    told = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, check=False
    ).stderr.decode(errors="replace")
    found = re.search(r"Video:.*?([\d.]+) fps", told)
    if found is None or float(found[1]) <= 0:
        raise _no_film(path, told.strip().rpartition("\n")[2])
    return float(found[1])


def frame_count(path: Path) -> int:
    """How many frames it has; they are counted, and not decoded.

    Raises:
        RequestError: it is no film.
    """
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-hide_banner",
        *_source(path),
        *["-map", "0:v:0", "-c", "copy", "-f", "null", "-"],
    ]
    told = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, check=False
    ).stderr.decode(errors="replace")
    found = re.findall(r"frame=\s*(\d+)", told)
    if not found:
        raise _no_film(path, told.strip().rpartition("\n")[2])
    return int(found[-1])


def decode_frames(path: Path) -> Iterator[Frame]:
    """[H, W, 3], from the first to the last.

    Raises:
        RequestError: it is no film, or breaks off.
    """
    # As portable pixmaps, which say their own size.
    told = "-map 0:v:0 -fps_mode passthrough -f image2pipe -c:v ppm -pix_fmt rgb24 -"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *_source(path), *told.split()]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            while (frame := _pixmap(process.stdout)) is not None:
                yield frame
            if process.wait() != 0:
                errors.seek(0)
                raise _no_film(path, errors.read(2000).decode(errors="replace"))
        finally:
            process.kill()


def _source(path: Path) -> list[str]:
    return ["-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]


def _pixmap(stream: IO[bytes]) -> Frame | None:
    head = b"".join(stream.readline(64) for _ in range(3))
    if not head:
        return None
    found = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", head)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < width <= LARGEST or not 0 < height <= LARGEST:
        raise RequestError(
            f"a film whose pictures are {width} x {height} is not believed; up to {LARGEST} pixels a side are"
        )
    data = stream.read(3 * width * height)
    return (
        np.frombuffer(data, np.uint8).reshape(height, width, 3)
        if len(data) == 3 * width * height
        else None
    )


def _no_film(path: Path, why: str) -> RequestError:
    return RequestError(f"{path} is no film that ffmpeg can read ({one_line(why)})")
