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

from forgetting import files as cache
from forgetting.ablation import plan as plans
from forgetting.ablation.plan import Plan
from forgetting.analysis.measure import MeasureSettings
from forgetting.cluster.queue import Full
from forgetting.crew import Here, prepared
from forgetting.engines.allocator import keep_memory
from forgetting.errors import ForgettingError
from forgetting.film import recipe
from forgetting.jobs.run import segment_store

LITTLE = 64 * 2**20
"""Bytes that are free on a disk that is as good as full."""


class Painter:
    """What a worker can do. Everything it is given and gives back is plain data."""

    def __init__(self, scratch: Path | None = None) -> None:
        keep_memory()
        self.scratch = scratch
        self.at_hand: tuple[str, Here] | None = None

    def prepare(
        self, config: Mapping[str, Any], known: bytes | None, files: Sequence[str], *blobs: bytes
    ) -> tuple[bytes, bool]:
        """The plan of a film, and whether its frames follow from each other."""
        with _roomy(cache.cache_folder()):
            here = Here(
                prepared(
                    Files(tuple(files)).here(config, blobs),
                    None if known is None else unpacked(known),
                )
            )
        plan = plans.Plan(here.plan.tracks, recipe.with_config(here.plan.recipe, config))
        self.at_hand = (recipe.segment_key(plan), here)
        return packed(plan), here.sequential

    def segments(
        self,
        data: bytes,
        ranges: Sequence[tuple[int, int]],
        states: Mapping[str, bytes],
        folder: str | None,
        files: Sequence[str],
        *blobs: bytes,
    ) -> dict[str, bytes]:
        """Some segments of a film: the files that belong into its store, or nothing where they are written into the ``folder``."""
        plan, since = unpacked(data), time.monotonic()
        here = self._here(plan, files, blobs)
        with (
            tempfile.TemporaryDirectory(dir=self.scratch, prefix="forgetting-") as scratch,
            _roomy(Path(scratch)),
        ):
            store = segment_store(plan, Path(folder or scratch))
            store.folder.mkdir(parents=True, exist_ok=True)
            for name, state in states.items():
                (store.folder / name).write_bytes(state)
            here.shoot(plan, store, [range(start, stop) for start, stop in ranges], since)
            return {} if folder else _read(store.folder)

    def measure(
        self,
        data: bytes,
        how: MeasureSettings,
        told: Mapping[str, Any],
        files: Sequence[str],
        *blobs: bytes,
    ) -> dict[str, bytes]:
        """Measure a film: the files that belong beside it."""
        plan = unpacked(data)
        here = self._here(plan, files, blobs)
        with (
            tempfile.TemporaryDirectory(dir=self.scratch, prefix="forgetting-") as scratch,
            _roomy(Path(scratch)),
        ):
            here.measure(plan, how, Path(scratch), **told)
            return _read(Path(scratch))

    def _here(self, plan: Plan, files: Sequence[str], blobs: Sequence[bytes]) -> Here:
        """The film's stage: loaded once."""
        key = recipe.segment_key(plan)
        if self.at_hand is None or self.at_hand[0] != key:
            self.at_hand = None  # two networks at once might be too many
            config = recipe.config_of(recipe.read_recipe(plan, "of this film"))
            with _roomy(cache.cache_folder()):
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
        return Files(
            tuple(
                dict.fromkeys(
                    name for _, _, name in _named(dict(config)) if Path(name).expanduser().is_file()
                )
            )
        )

    def here(self, config: Mapping[str, Any], blobs: Sequence[bytes]) -> dict[str, Any]:
        """The config with the places where they lie on this machine; each is stored once, by its hash."""
        places = {}
        for name, blob in zip(self.names, blobs, strict=True):
            place = (
                cache.cache_folder()
                / "files"
                / f"{hashlib.sha256(blob).hexdigest()[:32]}-{Path(name).name}"
            )
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with cache.atomic_write(place) as piece:
                    piece.write_bytes(blob)
            places[name] = str(place)
        found: dict[str, Any] = _copied(config)
        for node, key, name in _named(found):
            node[key] = places.get(name, name)
        return found


def _copied(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node


def _named(node: Any) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every place in a config where a file is named: the node, the key, the file."""
    for key, value in list(node.items()) if isinstance(node, dict) else []:
        if key in (*recipe.FILES, "plan") and isinstance(value, str):
            yield node, key, value
        yield from _named(value)
    for value in node if isinstance(node, list) else []:
        yield from _named(value)


def packed(plan: Plan) -> bytes:
    """A plan as the bytes of its file."""
    with tempfile.TemporaryDirectory() as scratch:
        plans.save_plan(plan, Path(scratch) / "plan.npz")
        return (Path(scratch) / "plan.npz").read_bytes()


def unpacked(data: bytes) -> Plan:
    """The inverse of :func:`packed`."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "plan.npz").write_bytes(data)
        return plans.load_plan(Path(scratch) / "plan.npz")
