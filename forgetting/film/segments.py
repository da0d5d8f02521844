"""A film in segments: each is whole or not there, made in any order, by any process, on any machine.

The segments of a film lie in a folder of their own, RUN/segments/KEY. KEY is a hash of everything the pictures depend
on, so pieces of different films never meet. A segment is written under a temporary name; its finished name holds its
range and the hash of its bytes, and appears in one step:

    0000240-0000479.5f0c….mp4      frames 240 to 479
    station-0000144.png            what the contact sheet shows of frame 144
    0000240.seconds                how long a process took that began with frame 240
    poster.png

Two processes that make the same segment make the same name.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from forgetting import files
from forgetting.engines.engine import Frame
from forgetting.errors import RequestError
from forgetting.film import contact_sheet, encoder
from forgetting.film.images import fit, save_png
from forgetting.film.settings import FilmSettings

log = logging.getLogger(__name__)

HASH = 32
"""Hexadecimal digits of a segment's SHA-256 in its name."""


@dataclass(frozen=True)
class SegmentStore:
    """The segments of one film: ``folder``, how they are written, and ``comment``, the metadata of stills."""

    folder: Path
    film: FilmSettings
    shape: tuple[int, int]
    comment: str

    @property
    def count(self) -> int:
        return len(self.film.indices)

    @property
    def stations(self) -> list[int]:
        return contact_sheet.sample_positions(self.count, self.film.stations)

    def segments(self, shard: str | None = None) -> list[range]:
        """The ranges of the film's segments, or those of the shard ``K/N``: the K-th of N parts, in order."""
        length = 1 if self.film.file_format.stills else self.film.segment
        whole = [
            range(start, min(start + length, self.count)) for start in range(0, self.count, length)
        ]
        if shard is None:
            return whole
        k, n = parse_shard(shard)
        return whole[(k - 1) * len(whole) // n : k * len(whole) // n]

    def named(self) -> dict[range, Path]:
        """The segments that are there by name."""
        wanted, found = set(self.segments()), dict[range, Path]()
        for path in sorted(self.folder.glob("*-*.*.*")) if self.folder.exists() else []:
            if match := re.fullmatch(rf"(\d+)-(\d+)\.[0-9a-f]{{{HASH}}}\.\w+", path.name):
                segment = range(int(match[1]), int(match[2]) + 1)
                if segment in wanted:
                    found[segment] = path
        return found

    def finished(self) -> dict[range, Path]:
        """The segments that are there, every byte of them as it was written."""
        found = self.named()
        for segment, path in list(found.items()):
            if f".{_hash(path)}." not in path.name:
                log.info("%s", f"segment {path} was damaged; it is made again")
                path.unlink(missing_ok=True)
                del found[segment]
        return found

    def write(
        self, segment: range, pictures: Iterable[Frame], made: Callable[[], None] = lambda: None
    ) -> None:
        """Make a segment out of its pictures, in order; it is there at once, or not at all. Once it is ``made``, but has no name yet,
        that is called."""
        self.folder.mkdir(parents=True, exist_ok=True)
        suffix = self.film.file_format.suffix
        unfinished = self.folder / f"{segment.start:07d}-{segment.stop - 1:07d}.{suffix}"
        with files.temporary_path(unfinished) as piece:
            encoder.encode(
                self.film, self._kept(segment, pictures), piece, self.shape, self.comment
            )
            made()
            piece.replace(unfinished.with_suffix(f".{_hash(piece)}.{suffix}"))

    @property
    def seconds(self) -> float:
        """How long it took to make what is there, all processes together that had a part in it."""
        return sum(float(path.read_text()) for path in self.folder.glob("*.seconds"))

    def spend(self, first: range, seconds: float) -> None:
        """Keep how long it has taken by now, in a process whose first segment was that one."""
        with files.atomic_write(self.folder / f"{first.start:07d}.seconds") as part:
            part.write_text(f"{seconds:.3f}\n")

    def _kept(self, segment: range, pictures: Iterable[Frame]) -> Iterator[Frame]:
        """The pictures; stations and the poster are kept as they go by."""
        stations, poster = set(self.stations), round(self.film.poster * (self.count - 1))
        for position, picture in zip(
            segment, pictures, strict=False
        ):  # there are pictures of other segments behind it
            if position in stations:
                self._still(self.station(position), contact_sheet.thumbnail(picture))
            if position == poster:
                self._still("poster.png", fit(picture, self.shape))
            yield picture

    def _still(self, name: str, picture: Frame) -> None:
        with files.atomic_write(self.folder / name) as piece:
            save_png(picture, piece, self.comment)

    @staticmethod
    def station(position: int) -> str:
        """The name of the still of a station."""
        return f"station-{position:07d}.png"


def parse_shard(shard: str) -> tuple[int, int]:
    """``2/8`` -> (2, 8).

    Raises:
        RequestError: it is not the K-th of N parts.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", str(shard))
    k, n = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= k <= n:
        raise RequestError(
            f"render.shard must be K/N, the K-th of N parts, such as 2/8; got {shard!r}"
        )
    return k, n


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH]
