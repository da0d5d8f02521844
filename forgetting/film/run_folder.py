"""The folder of a run: what lies in it, and how a film is finished there.

    plan.npz             from the beginning: when every unit is ablated, and the recipe
    segments/KEY/        while the film is rendered: its finished segments
    segments/lock*       the locks of the processes that work in the folder
    summary.json, curve.csv, curve.png, curve.svg         when all frames are rendered
    font.ttf             a copy of the font, where film.font names one
    film.mp4, poster.png, sheet.png, recipe.yaml          at the end

``recipe.yaml`` is written last: where it equals the recipe of the plan, the
film is the film of the plan.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from omegaconf import DictConfig

from forgetting import files
from forgetting.ablation.plan import Plan, load_plan
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.film import contact_sheet, encoder, input_files
from forgetting.film import recipe as recipes
from forgetting.film.folder_lock import FolderLock
from forgetting.film.formats import FORMATS
from forgetting.film.images import read_still, save_png
from forgetting.film.segments import SegmentStore
from forgetting.film.settings import FilmSettings
from forgetting.printable import shell_command
from forgetting.safe_yaml import MAX_BYTES

PLAN, RECIPE = "plan.npz", "recipe.yaml"
"""The files of a plan, and of the recipe of a finished film."""

_FILMS = {film_format.file for film_format in FORMATS.values()}

MAX_SIDE = 65_536
"""The largest height and width of a film in a recipe."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run; ``path`` is where it lies."""

    path: Path

    def existing_plan(self) -> Plan | None:
        """Return the plan of the run, or None where none was begun."""
        path = self.path / PLAN
        if not os.path.lexists(path):
            return None
        plan = load_plan(path, links=False)
        return plan if plan.recipe else None

    def required_plan(self) -> Plan:
        """Return the plan of the run.

        Raises:
            RequestError: no run was begun in the folder.
        """
        if (plan := self.existing_plan()) is None:
            raise RequestError(
                f"there is no run in {self.path}: it has no plan.npz; to begin one, run: "
                f"{shell_command('render', f'hydra.run.dir={self.path}')}"
            )
        return plan

    def store(self, plan: Plan, recipe: DictConfig | None = None) -> SegmentStore:
        """Return the segments of the film of ``plan``, written as its recipe describes.

        Args:
            plan: of the film.
            recipe: of the plan, if it has been read already.

        Raises:
            RequestError: the recipe does not describe how the film is written.
        """
        recipe = recipes.read_recipe(plan, self.path) if recipe is None else recipe
        written = recipes.plain_values(recipe).get("film")
        written = written if isinstance(written, dict) else {}
        settings = recipes.config_of(recipe)["film"] | {"encoder": str(written.get("encoder"))}
        film, shape = FilmSettings.from_dict(settings), written.get("shape")
        if not _is_shape(shape) or film.frames != len(plan):
            raise RequestError(
                f"the recipe of the plan in {self.path} does not describe how its film is written; "
                "render it again in another folder"
            )
        folder = self._segments / recipes.segment_key(plan, recipe)
        comment = json.dumps(recipes.public_recipe(recipe))
        return SegmentStore(folder, film, (shape[0], shape[1]), comment)

    def finished_film(self, plan: Plan, store: SegmentStore | None = None) -> Path | None:
        """Return the path of the film of ``plan``, or None where something is left to do.

        Args:
            plan: of the film.
            store: its segments, if they are known already.

        Raises:
            RequestError: the film or the recipe beside it is a link or no regular file.
        """
        store = self.store(plan) if store is None else store
        film = self.path / store.film.name
        try:
            recipe = files.read_text(self.path / RECIPE, MAX_BYTES)
            if os.path.lexists(store.folder) or recipe != plan.recipe:
                return None
            _check_film(film, store)
        except FileNotFoundError:
            return None
        return film

    def finish(self, stores: Sequence[SegmentStore], plan: Plan) -> Path:
        """Join segments to the film, write what belongs to it, and return the film's path.

        Args:
            stores: of the same film, in this folder or others; together they hold all segments.
            plan: of the film.

        Raises:
            RequestError: segments are missing.
        """
        store, segments, title = stores[0], dict[range, Path](), dict[range, Path]()
        for other in stores:
            segments = other.finished() | segments
            title = title or other.finished_title()
        _check_complete(store, segments)
        film = self.path / store.film.name
        with files.atomic_write(film) as part:
            ordered = [(path, len(segment)) for segment, path in sorted(title.items(), key=_start)]
            ordered += [(segments[segment], len(segment)) for segment in store.segments()]
            encoder.join_segments(store.film, ordered, part, store.comment)
        with files.atomic_write(self.path / "poster.png") as part:
            files.copy_own(_first_existing(store.poster_path for store in stores), part)
        thumbnails = {
            store.film.indices[position]: read_still(
                _first_existing(store.sample_path(position) for store in stores), links=False
            )
            for position in store.sample_positions
        }
        with files.atomic_write(self.path / "sheet.png") as part:
            sheet = contact_sheet.draw_sheet(thumbnails, plan, store.film.fps)
            save_png(sheet, part, store.comment)
        with files.atomic_write(self.path / RECIPE) as part:
            part.write_text(plan.recipe, encoding="utf-8")
        return film

    def keep_font(self, film: FilmSettings) -> None:
        """Keep a copy of the font of a film, so that it can be resumed where the font is not."""
        if film.font is None:
            return
        font, kept = film.text_font, input_files.kept_font(self.path)
        copied = self.path / f"font.{font.suffix}"
        if kept is not None and kept.samefile(font.path):
            return
        with files.atomic_write(copied) as part:
            part.write_bytes(font.content)

    def holds_film(self) -> bool:
        """Return whether a film, or any part of one, lies here."""
        names = (RECIPE, *_FILMS)
        return any(os.path.lexists(self.path / name) for name in names) or any(
            self._segments.glob("*/*-*.*")
        )

    def remove_other_films(self, film: Path) -> None:
        """Remove the films of other formats than that of ``film``, which it replaces."""
        for name in _FILMS - {film.name}:
            files.remove_path(self.path / name)

    def remove_leftovers(self) -> None:
        """Remove what killed processes left: unfinished files, and an empty folder of segments."""
        self._remove_unfinished_files()
        if self._segments.exists() and not any(self._segments.glob("*/")):
            self.remove_segments()

    def remove_segments(self) -> None:
        """Remove the segments of a finished film, unless another process works here.

        To be called when the lock is released: the lock files lie beside the segments.
        """
        with friendly_os_errors(self.path):
            self._folder_lock.remove_folder()

    def check_segments(self) -> None:
        """Raise if the folders of segments are links, which could lead anywhere.

        Raises:
            RequestError: one of them is.
        """
        files.check_own_folder(self._segments)
        if self._segments.exists():
            for path in self._segments.iterdir():
                if files.is_link(path):
                    files.check_own_folder(path)

    @contextmanager
    def lock(self, shard: str | None = None) -> Iterator[None]:
        """Hold the folder for a whole render or a join, or for the shard ``K/N``.

        Other shards may run beside a shard. A whole render also removes unfinished files that
        killed processes left.

        Raises:
            ForgettingError: another process works in the folder.
            RequestError: the folder of segments is a link.
        """
        self.check_segments()
        with self._folder_lock.hold(shard):
            if shard is None:
                self._remove_unfinished_files()
            yield

    def is_locked(self) -> bool:
        """Return whether any process works in the folder: a whole render, a join or a shard."""
        return self._folder_lock.is_held()

    @property
    def _segments(self) -> Path:
        return self.path / "segments"

    @property
    def _folder_lock(self) -> FolderLock:
        return FolderLock(self._segments)

    def _remove_unfinished_files(self) -> None:
        for path in self.path.glob("*.part"):
            files.remove_path(path)


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Args:
        plan: of its film.
        recipe: of the plan.
        store: its segments.
        film: path of the film, or None where something is left to do.
    """

    plan: Plan
    recipe: DictConfig
    store: SegmentStore
    film: Path | None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The config in the recipe, as plain values."""
        return recipes.config_of(self.recipe)


def read_run(folder: Path) -> RunState:
    """Return the state of the run in ``folder``.

    Raises:
        RequestError: there is none, or a file of it cannot be read.
    """
    run = RunFolder(folder)
    plan = run.required_plan()
    recipe = recipes.read_recipe(plan, folder)
    store = run.store(plan, recipe)
    return RunState(plan, recipe, store, run.finished_film(plan, store))


def _check_film(film: Path, store: SegmentStore) -> None:
    """Raise unless a film is a regular file, or a folder of as many stills as it has frames.

    Raises:
        FileNotFoundError: it does not exist.
        RequestError: it is a link, no regular file, or incomplete.
    """
    if not store.film.file_format.stills:
        return files.check_own(film)
    files.check_own_folder(film)
    film.stat()
    try:
        for number in range(store.film.file_frames):
            files.check_own(film / f"{number:05d}.png")
    except FileNotFoundError:
        raise RequestError(
            f"{film} lacks {number:05d}.png; remove recipe.yaml and run 'forgetting resume' there"
        ) from None


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether a value from a recipe is height and width."""
    return (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(side) is int and 0 < side <= MAX_SIDE for side in shape)
    )


def _check_complete(store: SegmentStore, segments: dict[range, Path]) -> None:
    """Raise where segments of a film are missing."""
    if missing := [segment for segment in store.segments() if segment not in segments]:
        ranges = ", ".join(f"{segment.start}-{segment.stop - 1}" for segment in missing[:5])
        ranges += " and more" if len(missing) > 5 else ""
        raise RequestError(
            f"frames {ranges} of {store.count} are missing; 'forgetting resume FOLDER' renders "
            "them, or join more folders"
        )


def _start(segment: tuple[range, Path]) -> int:
    return segment[0].start


def _first_existing(paths: Iterable[Path]) -> Path:
    """Return the first path that exists.

    Raises:
        RequestError: none does.
    """
    for path in (tried := list(paths)):
        if os.path.lexists(path):
            return path
    raise RequestError(f"{tried[0]} is missing; remove the segments beside it to render them again")
