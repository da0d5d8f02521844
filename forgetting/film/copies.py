"""Copies of finished films: smaller ones for galleries, and several side by side in a mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetting.film.ffmpeg import (
    DECLARE_BT709,
    TO_BT709,
    file_source,
    run_ffmpeg,
    stills_source,
)
from forgetting.film.segments import SegmentStore


def rescale(
    path: Path,
    store: SegmentStore,
    copy: Path,
    cell: tuple[int, int],
    rate: float,
    seconds: float,
    crf: int = 14,
    start: float = 0.0,
) -> None:
    """Write a copy of a film, as .mp4, centred in a cell; transparent pixels become black.

    Args:
        path: the film, which may be a stranger's; no link.
        store: how it was written.
        copy: path of the copy.
        cell: width and height of the copy.
        rate: frames per second of the copy.
        seconds: length of the copy; the last frame is repeated until then.
        crf: quality of the copy, lower is better.
        start: seconds of the film that are left out, such as those of its title.

    Raises:
        OSError: the disk is full.
        ForgettingError: ffmpeg failed for another reason.
    """
    width, height = cell
    film = store.film
    # Codecs decode whole blocks of up to 64 pixels.
    source = ["-max_pixels", str((store.shape[0] + 64) * (store.shape[1] + 64))]
    if film.file_format.stills:
        pattern = f"{str(path).replace('%', '%%')}/%05d.png"
        source += ["-framerate", f"{film.rate:.10g}", *stills_source(pattern)]
    else:
        source += file_source(path)
    filters = [f"fps={rate:.10g}"]
    if start:  # half a frame early, because times are rounded
        begin = start - 0.5 / film.rate
        filters = [f"trim=start={begin:.6f},setpts=PTS-STARTPTS", *filters]
    if film.channels == 4:
        filters += ["format=gbrap", "premultiply=inplace=1"]
    filters += [
        f"scale={width}:{height}:force_original_aspect_ratio=decrease"
        f":flags=area+full_chroma_int+accurate_rnd:{TO_BT709}",
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2",
        f"tpad=stop_mode=clone:stop_duration={seconds:.6f}",
        DECLARE_BT709,
    ]
    length = ["-t", f"{seconds:.6f}"]
    run_ffmpeg(
        f"{path} cannot be decoded",
        *source,
        "-an",
        *length,
        "-vf",
        ",".join(filters),
        *_h264(crf),
        str(copy),
    )


def tile_films(
    films: Sequence[Path],
    corners: Sequence[tuple[int, int]],
    labels: Path,
    size: tuple[int, int],
    mosaic: Path,
) -> None:
    """Write one film, as .mp4, that shows several films side by side.

    Args:
        films: copies by :func:`rescale` of one size, rate and length.
        corners: the upper left corner (x, y) of every film; both even.
        labels: a picture that covers everything and is transparent where the films are.
        size: width and height of the mosaic.
        mosaic: path of the film that is written.

    Raises:
        OSError: the disk is full.
        ForgettingError: ffmpeg failed for another reason.
    """
    sources: list[str] = []
    for path in films:
        sources += ["-threads", "1", *file_source(path)]
    # The first film is extended to the size of the mosaic and the others are laid over it: their
    # timestamps are the same to the tick.
    (x, y), (width, height) = corners[0], size
    graph = [f"[0:v]pad={width}:{height}:{x}:{y}:0x0c0c0c[on0]"]
    graph += [
        f"[on{number}][{number + 1}:v]overlay={x}:{y}[on{number + 1}]"
        for number, (x, y) in enumerate(corners[1:])
    ]
    graph += [f"[on{len(films) - 1}][{len(films)}:v]overlay,{DECLARE_BT709}"]
    filters = ["-filter_complex", ";".join(graph)]
    run_ffmpeg(
        "the films cannot be tiled",
        *sources,
        "-i",
        f"file:{labels}",
        *filters,
        *_h264(18),
        str(mosaic),
    )


def _h264(crf: int) -> list[str]:
    """Return ffmpeg's arguments for a film in H.264 that plays everywhere."""
    codec = f"-c:v libx264 -threads 4 -preset veryfast -crf {crf} -pix_fmt yuv420p"
    return f"{codec} -movflags +faststart -fflags +bitexact -f mp4".split()
