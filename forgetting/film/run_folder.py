"""The folder of a run: what lies in it, and how a film is finished there.

    plan.npz             from the beginning: when every unit is ablated, and the recipe
    segments/KEY/        while the film is rendered: its finished segments
    segments/lock*       the locks of the processes that work in the folder
    summary.json, curve.csv, curve.png, curve.svg         when all frames are rendered
    film.mp4, poster.png, sheet.png, recipe.yaml          at the end

``recipe.yaml`` is written last: where it equals the recipe of the plan, the
film is the film of the plan.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from forgetting import files
from forgetting.ablation.plan import Plan, load_plan
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.film import contact_sheet, encoder
from forgetting.film import recipe as recipes
from forgetting.film.folder_lock import FolderLock
from forgetting.film.images import read_still, save_png
from forgetting.film.segments import SegmentStore
from forgetting.film.settings import FilmSettings
from forgetting.printable import shell_command


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run; ``path`` is where it lies."""

    path: Path

    def existing_plan(self) -> Plan | None:
        """Return the plan of the run, or None where none was begun."""
        path = self.path / "plan.npz"
        if not path.exists():
            return None
        plan = load_plan(path)
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

    def store(self, plan: Plan) -> SegmentStore:
        """Return the segments of the film of ``plan``, written as its recipe describes.

        Raises:
            RequestError: the recipe does not describe how the film is written.
        """
        recipe = recipes.read_recipe(plan, self.path)
        written = recipes.plain_values(recipe).get("film")
        written = written if isinstance(written, dict) else {}
        settings = recipes.config_of(recipe)["film"] | {"encoder": str(written.get("encoder"))}
        film, shape = FilmSettings.from_dict(settings), written.get("shape")
        if not _is_shape(shape) or film.frames != len(plan):
            raise RequestError(
                f"the recipe of the plan in {self.path} does not describe how its film is written; "
                "render it again in another folder"
            )
        folder = self._segments / recipes.segment_key(plan)
        comment = json.dumps(recipes.public_recipe(recipe))
        return SegmentStore(folder, film, (shape[0], shape[1]), comment)

    def finished_film(self, plan: Plan) -> Path | None:
        """Return the path of the film of ``plan``, or None where something is left to do."""
        store, recipe = self.store(plan), self.path / "recipe.yaml"
        film = self.path / store.film.name
        if not film.exists() or not recipe.exists() or store.folder.exists():
            return None
        return film if recipe.read_text(encoding="utf-8") == plan.recipe else None

    def finish(self, stores: Sequence[SegmentStore], plan: Plan) -> Path:
        """Join segments to the film, write what belongs to it, and return the film's path.

        Args:
            stores: of the same film, in this folder or others; together they hold all segments.
            plan: of the film.

        Raises:
            RequestError: segments are missing.
        """
        store, segments = stores[0], dict[range, Path]()
        for other in stores:
            segments = other.finished() | segments
        _check_complete(store, segments)
        film = self.path / store.film.name
        with files.atomic_write(film) as part:
            ordered = [(segments[segment], len(segment)) for segment in store.segments()]
            encoder.join_segments(store.film, ordered, part, store.comment)
        with files.atomic_write(self.path / "poster.png") as part:
            shutil.copyfile(_first_existing(store.poster_path for store in stores), part)
        thumbnails = {
            store.film.indices[position]: read_still(
                _first_existing(store.sample_path(position) for store in stores)
            )
            for position in store.sample_positions
        }
        with files.atomic_write(self.path / "sheet.png") as part:
            sheet = contact_sheet.draw_sheet(thumbnails, plan, store.film.fps)
            save_png(sheet, part, store.comment)
        with files.atomic_write(self.path / "recipe.yaml") as part:
            part.write_text(plan.recipe, encoding="utf-8")
        return film

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

    @contextmanager
    def lock(self, shard: str | None = None) -> Iterator[None]:
        """Hold the folder for a whole render or a join, or for the shard ``K/N``.

        Other shards may run beside a shard. A whole render also removes unfinished files that
        killed processes left.

        Raises:
            ForgettingError: another process works in the folder.
        """
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
        store: its segments.
        config: of its recipe, as plain values.
        film: path of the film, or None where something is left to do.
    """

    store: SegmentStore
    config: Mapping[str, Any]
    film: Path | None


def read_run(folder: Path) -> RunState:
    """Return the state of the run in ``folder``.

    Raises:
        RequestError: there is none, or its recipe cannot be read.
    """
    run = RunFolder(folder)
    plan = run.required_plan()
    config = recipes.config_of(recipes.read_recipe(plan, folder))
    return RunState(run.store(plan), config, run.finished_film(plan))


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    """Return whether a value from a recipe is height and width."""
    return (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(side) is int and side > 0 for side in shape)
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


def _first_existing(paths: Iterable[Path]) -> Path:
    return next(path for path in paths if path.exists())
