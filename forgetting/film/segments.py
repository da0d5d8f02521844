"""The segments of a film: each is complete or absent, and any process can render any of them.

The segments of a film lie in a folder of their own, RUN/segments/KEY. KEY is a hash of everything
that the frames depend on, so segments of different films never mix. A segment is written under a
temporary name. Its finished name holds its range and the hash of its bytes, and appears in one
step:

    0000240-0000479.5f0c….mp4      frames 240 to 479
    sample-0000144.png             the contact sheet's picture of frame 144
    0000240.seconds                time taken by a process whose first segment began with frame 240
    title-0000000-0000071.9b….mp4  the title, which stands before frame 0
    poster.png

The title ends with the first picture of the film, so the first segment is written with it. Two
processes that render the same segment write the same name.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from forgetting import files
from forgetting.engines.pixels import Frame, Planes
from forgetting.errors import RequestError
from forgetting.film import contact_sheet, encoder
from forgetting.film.finished_frame import FinishedFrame
from forgetting.film.images import fit, save_png
from forgetting.film.settings import FilmSettings

log = logging.getLogger(__name__)

HASH = 32
"""Hexadecimal digits of a segment's SHA-256 in its name."""

POSTER = "poster.png"


@dataclass(frozen=True)
class SegmentStore:
    """The segments of one film.

    Args:
        folder: where they lie.
        film: how they are written.
        shape: height and width of the film.
        comment: metadata of stills.
    """

    folder: Path
    film: FilmSettings
    shape: tuple[int, int]
    comment: str

    @property
    def count(self) -> int:
        """The number of frames in the film."""
        return len(self.film.indices)

    @property
    def sample_positions(self) -> list[int]:
        """The positions in the film that the contact sheet shows."""
        return contact_sheet.sample_positions(self.count, self.film.stations)

    @property
    def still_positions(self) -> set[int]:
        """The positions in the film of which stills are saved: sheet, poster, end of the title."""
        title = [0] if self._title_segments else []
        return {*self.sample_positions, self._poster_position, *title}

    @property
    def _poster_position(self) -> int:
        return round(self.film.poster * (self.count - 1))

    def segments(self, shard: str | None = None) -> list[range]:
        """Return the ranges of positions of all segments, or those of the shard ``K/N``.

        A shard is the K-th of N consecutive parts of the list of segments.
        """
        segments = self._split(self.count)
        if shard is None:
            return segments
        k, n = parse_shard(shard)
        return segments[(k - 1) * len(segments) // n : k * len(segments) // n]

    def named(self) -> dict[range, Path]:
        """Return the segments whose files exist; their content is not checked."""
        return self._named("", self.segments())

    def finished(self) -> dict[range, Path]:
        """Return the segments whose files hold the bytes that were written; remove damaged ones."""
        finished = _undamaged(self.named())
        if self.film.title_frames and not self.finished_title():
            finished.pop(self.segments()[0], None)
        return finished

    def finished_title(self) -> dict[range, Path]:
        """Return the files of the title by their ranges of its frames; none if one is missing."""
        title = _undamaged(self._named("title-", self._title_segments))
        return title if len(title) == len(self._title_segments) else {}

    def write(
        self,
        segment: range,
        frames: Iterable[FinishedFrame],
        before_naming: Callable[[], None] = lambda: None,
        title: Callable[[Frame], Iterable[Frame]] = lambda first: (),
    ) -> None:
        """Write a segment; its file appears complete or not at all.

        Args:
            segment: the range of positions.
            frames: its frames in order, with RGB at ``still_positions``; frames of later segments
                may follow.
            before_naming: called when all bytes are written and before the file gets its name.
            title: returns the frames of the title, by the first frame of the film.
        """
        files.make_own_folder(self.folder)
        if self._title_segments and segment.start == 0:
            first, frames = encoder.peeked(frames)
            of_title = iter(title(fit(first.rgb, self.shape)))
            for part in self._title_segments:
                self._encode("title-", part, itertools.islice(of_title, len(part)))
        self._encode("", segment, self._save_stills(segment, frames), before_naming)
        log.debug("frames %d to %d are written", segment.start, segment.stop - 1)

    @property
    def seconds(self) -> float:
        """How long rendering took, summed over all processes that wrote segments here."""
        return sum(map(_recorded_seconds, self.folder.glob("*.seconds")))

    def record_seconds(self, first: range, seconds: float) -> None:
        """Record how long a process has rendered by now; ``first`` is its first segment."""
        with files.atomic_write(self.folder / f"{first.start:07d}.seconds") as part:
            part.write_text(f"{seconds:.3f}\n")

    def sample_path(self, position: int) -> Path:
        """Return the path of the contact sheet's picture of this position."""
        return self.folder / f"sample-{position:07d}.png"

    @property
    def poster_path(self) -> Path:
        """The path of the poster."""
        return self.folder / POSTER

    @property
    def _title_segments(self) -> list[range]:
        """The ranges of the title's frames that are files of their own."""
        return self._split(self.film.title_frames)

    def _split(self, count: int) -> list[range]:
        """Return the ranges of ``count`` frames that are files of their own."""
        length = 1 if self.film.file_format.stills else self.film.segment
        return [range(start, min(start + length, count)) for start in range(0, count, length)]

    def _named(self, prefix: str, segments: Iterable[range]) -> dict[range, Path]:
        """Return those of the segments whose files exist; their content is not checked."""
        expected, named = set(segments), dict[range, Path]()
        for path in sorted(self.folder.glob(f"{prefix}*-*.*.*")) if self.folder.exists() else []:
            if match := re.fullmatch(rf"{prefix}(\d+)-(\d+)\.[0-9a-f]{{{HASH}}}\.\w+", path.name):
                segment = range(int(match[1]), int(match[2]) + 1)
                if segment in expected and not files.is_link(path):
                    named[segment] = path
        return named

    def _encode(
        self,
        prefix: str,
        segment: range,
        frames: Iterable[Frame | Planes],
        before_naming: Callable[[], None] = lambda: None,
    ) -> None:
        """Write a file of frames; it gets its name when it is complete."""
        suffix = self.film.file_format.suffix
        path = self.folder / f"{prefix}{segment.start:07d}-{segment.stop - 1:07d}.{suffix}"
        with files.temporary_path(path) as part:
            encoder.encode(self.film, frames, part, self.shape, self.comment)
            before_naming()
            part.replace(path.with_suffix(f".{_hash(part)}.{suffix}"))

    def _save_stills(
        self, segment: range, frames: Iterable[FinishedFrame]
    ) -> Iterator[Frame | Planes]:
        """Yield the frames of a segment; save those of the contact sheet and of the poster."""
        samples = set(self.sample_positions)
        # Not strict: frames of the next segments follow.
        for position, frame in zip(segment, frames, strict=False):
            if position in samples:
                self._save_still(self.sample_path(position), contact_sheet.thumbnail(frame.rgb))
            if position == self._poster_position:
                self._save_still(self.poster_path, fit(frame.rgb, self.shape))
            yield frame.rgb if frame.planes is None else frame.planes

    def _save_still(self, path: Path, picture: Frame) -> None:
        with files.atomic_write(path) as part:
            save_png(picture, part, self.comment)


def parse_shard(shard: str) -> tuple[int, int]:
    """Return K and N of the shard ``K/N``.

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


def _recorded_seconds(path: Path) -> float:
    """Return the number in a file; 0 if it holds none, as nothing depends on it."""
    try:
        seconds = float(files.read_text(path, 100))
    except (ValueError, OSError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _undamaged(named: dict[range, Path]) -> dict[range, Path]:
    """Return the files that hold the bytes that were written; remove the others."""
    finished = dict(named)
    for segment, path in named.items():
        if not path.is_file() or f".{_hash(path)}." not in path.name:
            log.info("segment %s is damaged; it is rendered again", path)
            files.remove_path(path)
            del finished[segment]
    return finished


def _hash(path: Path) -> str:
    with files.open_own(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH]
