"""A worker: makes segments of whatever film it is asked for, and keeps the network of the last one at hand."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting import cache, input_files, recipe
from forgetting import plan as plans
from forgetting.allocator import keep_memory
from forgetting.cluster.queue import Full
from forgetting.crew import Here, prepared
from forgetting.errors import ForgettingError
from forgetting.input_files import located
from forgetting.measuring import Measuring
from forgetting.plan import Plan
from forgetting.run import reel_of

LITTLE = 64 * 2**20
"""Bytes that are free on a disk that is as good as full."""


class Painter:
    """What a worker can do. Everything it is given and gives back is plain data."""

    def __init__(self, scratch: Path | None = None) -> None:
        keep_memory()
        self.scratch = scratch
        self.at_hand: tuple[str, Here] | None = None

    def prepare(self, config: Mapping[str, Any], known: bytes | None, files: Sequence[str], *blobs: bytes) -> tuple[bytes, bool]:
        """The plan of a film, and whether its frames follow from each other."""
        with _roomy(cache.folder()):
            here = Here(prepared(Files(tuple(files)).here(config, blobs), None if known is None else unpacked(known)))
        plan = plans.Plan(here.plan.tracks, recipe.with_config(here.plan.recipe, config))
        self.at_hand = (recipe.key(plan), here)
        return packed(plan), here.follows

    def segments(
        self,
        data: bytes,
        ranges: Sequence[tuple[int, int]],
        states: Mapping[str, bytes],
        folder: str | None,
        files: Sequence[str],
        *blobs: bytes,
    ) -> dict[str, bytes]:
        """Some segments of a film: the files that belong into its reel, or nothing where they are written into the ``folder``."""
        plan, since = unpacked(data), time.monotonic()
        here = self._here(plan, files, blobs)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="forgetting-") as scratch, _roomy(Path(scratch)):
            reel = reel_of(plan, Path(folder or scratch))
            reel.folder.mkdir(parents=True, exist_ok=True)
            for name, state in states.items():
                (reel.folder / name).write_bytes(state)
            here.shoot(plan, reel, [range(start, stop) for start, stop in ranges], since)
            return {} if folder else _read(reel.folder)

    def measure(self, data: bytes, how: Measuring, told: Mapping[str, Any], files: Sequence[str], *blobs: bytes) -> dict[str, bytes]:
        """Measure a film: the files that belong beside it."""
        plan = unpacked(data)
        here = self._here(plan, files, blobs)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="forgetting-") as scratch, _roomy(Path(scratch)):
            here.measure(plan, how, Path(scratch), **told)
            return _read(Path(scratch))

    def _here(self, plan: Plan, files: Sequence[str], blobs: Sequence[bytes]) -> Here:
        """The film's stage: loaded once."""
        key = recipe.key(plan)
        if self.at_hand is None or self.at_hand[0] != key:
            self.at_hand = None  # two networks at once might be too many
            config = recipe.config_of(recipe.read(plan, "of this film"))
            with _roomy(cache.folder()):
                self.at_hand = (key, Here(prepared(Files(tuple(files)).here(config, blobs), plan)))
        return self.at_hand[1]


@contextmanager
def _roomy(folder: Path) -> Iterator[None]:
    """Tell a full disk from other things that go wrong."""
    try:
        yield
    except (ForgettingError, OSError) as error:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < LITTLE:
            raise Full(f"the disk of a node is full at {folder}") from error
        raise


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@dataclass(frozen=True)
class Files:
    """The files that a config names: they lie where the film was asked for, and travel to the workers by what is in them."""

    names: tuple[str, ...]

    @staticmethod
    def of(config: Mapping[str, Any]) -> Files:
        return Files(tuple(dict.fromkeys(node[key] for node, key in _named(config) if located(node[key]).is_file())))

    def here(self, config: Mapping[str, Any], blobs: Sequence[bytes]) -> dict[str, Any]:
        """The config with the places where they lie on this machine; each is stored once, by its hash."""
        places = {}
        for name, blob in zip(self.names, blobs, strict=True):
            place = cache.folder() / "files" / f"{hashlib.sha256(blob).hexdigest()[:32]}-{Path(name).name}"
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with cache.whole(place) as piece:
                    piece.write_bytes(blob)
            places[name] = str(place)
        found: dict[str, Any] = _copied(config)
        for node, key in _named(found):
            node[key] = places.get(node[key], node[key])
        return found


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node


def _named(config: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Every place in a config where a file is named, its plan included: the node and the key."""
    if isinstance(config.get("plan"), str):
        yield config, "plan"
    for _, node, key in input_files.references(config):
        yield node, key


def packed(plan: Plan) -> bytes:
    """A plan as the bytes of its file."""
    with tempfile.TemporaryDirectory() as scratch:
        plans.save(plan, Path(scratch) / "plan.npz")
        return (Path(scratch) / "plan.npz").read_bytes()


def unpacked(data: bytes) -> Plan:
    """The inverse of :func:`packed`."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "plan.npz").write_bytes(data)
        return plans.load(Path(scratch) / "plan.npz")
