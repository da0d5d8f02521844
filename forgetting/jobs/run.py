"""A run: the folder that a film is made in, begun once and gone on with as often as need be.

    plan.npz             from the beginning: who dies when, and the recipe
    segments/KEY/        while the film is being made: what is finished of it
    summary.json, curve.csv, curve.png, curve.svg         when all frames are there: how long they took, what was measured of them
    film.mp4, poster.png, sheet.png, recipe.yaml          at the end

``recipe.yaml`` is written last: where it is the recipe of the plan, the film is the film of the plan.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from PIL import Image

from forgetting import files
from forgetting.ablation import plan as plans
from forgetting.ablation.plan import Plan
from forgetting.analysis import measure as measuring
from forgetting.analysis.measure import SUMMARY, MeasureSettings
from forgetting.crew import Crew, Making, here, prepared
from forgetting.errors import ForgettingError, Interrupted, RequestError, friendly_os_errors
from forgetting.film import contact_sheet, encoder
from forgetting.film import recipe as recipes
from forgetting.film.images import save_png
from forgetting.film.render import composed_frames
from forgetting.film.segments import SegmentStore, parse_shard
from forgetting.film.settings import FilmSettings
from forgetting.jobs import configs
from forgetting.jobs import dream as dreams
from forgetting.progress import track

log = logging.getLogger(__name__)


def render(config: Mapping[str, Any], folder: Path, crew: Crew | None = None) -> Path:
    """Make the film of ``config`` in ``folder``, or go on with it; returns the film's path.

    With ``render.shard`` that part of its segments is made, and nothing joined; returns the folder. Without a ``crew`` that of the
    config's ``cluster`` does it, or this process.
    """
    shard = (config.get("render") or {}).get("shard")
    if shard is not None:
        parse_shard(shard)
    config, how = dreams.timed(config), MeasureSettings(**(config.get("measure") or {}))
    before, given = _plan_in(folder), config.get("plan")
    earlier = (
        recipes.film_config(recipes.config_of(recipes.read_recipe(before, folder)))
        if before is not None
        else {}
    )
    same_plan = given is None or (
        before is not None and plans.load_plan(Path(given)).digest() == before.digest()
    )
    known = before if earlier == recipes.film_config(config) and same_plan else None
    if known is not None and (there := _finished(known, segment_store(known, folder), folder)):
        _tidy(folder)
        log.info(
            "%s",
            f"the film in {folder} is finished already; another hydra.run.dir=PATH makes it again",
        )
        return there
    since = time.monotonic()
    with nullcontext(crew) if crew is not None else _crew(config) as whoever:
        making = whoever(config, known)
        if shard is not None and making.sequential:
            raise RequestError(
                f"frames of this dream follow from each other, so no part of it can be made alone; leave out render.shard={shard}"
            )
        plan = (
            known
            if known is not None and recipes.segment_key(known) == recipes.segment_key(making.plan)
            else making.plan
        )
        if before is not None and plan is not known:
            why = (
                ", ".join(recipes.differences(earlier, recipes.film_config(config)))
                or "made by another plan, other versions or another encoder"
            )
            log.info("%s", f"{folder} held another film ({why}): this one is made anew")
        with friendly_os_errors(folder), _alone(folder, shard):
            if plan is not known:
                plans.save_plan(plan, folder / "plan.npz")
            again = (
                "the same command"
                if config.get("cluster")
                else f"forgetting resume {folder}" + (f" --shard {shard}" if shard else "")
            )
            store = _shot(making, plan, folder, shard, since, again)
            if shard is None:
                making.measure(plan, how, folder, render_seconds=_seconds([store]))
                film = _finish([store], plan, folder)
    if shard is not None:
        log.info(
            "%s", f"part {shard} is finished; forgetting join FOLDER ... makes a film of all parts"
        )
        return folder
    _retire(folder)
    return film


def _crew(config: Mapping[str, Any]) -> AbstractContextManager[Crew]:
    """Who makes the film of a config."""
    node = config.get("cluster")
    return nullcontext(here) if node is None else configs.build_part(node, "cluster").hired()


def _shot(
    making: Making, plan: Plan, folder: Path, shard: str | None, since: float, again: str
) -> SegmentStore:
    """Make what is missing of a film, or of a part of it; ``again`` is how to go on if somebody interrupts."""
    store = segment_store(plan, folder)
    store.folder.mkdir(parents=True, exist_ok=True)
    wanted, finished = store.segments(shard), store.finished()
    todo = [segment for segment in wanted if segment not in finished]
    if len(todo) < len(wanted):
        log.info("%s", f"{len(wanted) - len(todo)} of {len(wanted)} segments are there already")
    try:
        if todo:
            making.shoot(plan, store, todo, since)
    except KeyboardInterrupt:
        done = len(store.named().keys() & set(wanted))
        raise Interrupted(
            f"interrupted; {done} of {len(wanted)} segments are finished; go on with: {again}"
        ) from None
    return store


def resume(folder: Path, shard: str | None = None) -> Path:
    """Go on with the run in ``folder``."""
    ours = recipes.config_of(recipes.read_recipe(_begun(folder), folder))
    configs.require_code_consent(ours, ())
    return render(ours | {"render": {"shard": shard}}, folder)


def measure(path: Path, how: MeasureSettings) -> Path:
    """Measure the film made in the folder ``path``, through its network, or the film that is the file ``path``."""
    if path.is_file():
        with friendly_os_errors(path.parent):
            found = measuring.measure_file(path, how)
    else:
        plan = _begun(path)
        config = recipes.config_of(recipes.read_recipe(plan, path))
        configs.require_code_consent(config, ())
        with friendly_os_errors(path):
            stage, seconds = (
                prepared(config, plan),
                files.read_json(path / SUMMARY).get("render_seconds"),
            )
            found = measuring.measure_film(stage, how, path, render_seconds=seconds)
    if found is None:
        raise RequestError("there is nothing to measure by; name measures, or say --names plain")
    return found


def join(folders: Sequence[Path], into: Path) -> Path:
    """Make a film, in ``into``, of the segments that lie in ``folders``; no network is needed."""
    plan, *others = (_begun(folder) for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if recipes.segment_key(other) != recipes.segment_key(plan):
            why = (
                ", ".join(
                    recipes.differences(recipes.film_identity(plan), recipes.film_identity(other))
                )
                or "who dies when"
            )
            raise RequestError(f"{folders[0]} and {folder} are parts of different films: {why}")
    into.mkdir(parents=True, exist_ok=True)
    with friendly_os_errors(into), _alone(into, None):
        if _plan_in(into) is None:
            plans.save_plan(plan, into / "plan.npz")
        stores = [segment_store(plan, folder) for folder in folders]
        files.write_json(
            into / SUMMARY,
            {"frames": len(plan), "fps": stores[0].film.fps, "render_seconds": _seconds(stores)},
        )
        film = _finish(stores, plan, into)
    _retire(into)
    log.info(
        "%s", f"it has no curve, for no network was needed; 'forgetting measure {into}' measures it"
    )
    return film


def preview(config: Mapping[str, Any], folder: Path) -> Path:
    """Draw the contact sheet that ``render`` would draw, without the film, and keep the plan; returns the sheet's path."""
    stage = prepared(dreams.timed(config))
    plan = stage.layout.plan
    store = segment_store(plan, folder)
    stops = [store.film.indices[position] for position in store.stations]
    seen = track(composed_frames(stage, stops), "looking at the stations", len(stops))
    thumbnails = {
        index: contact_sheet.thumbnail(picture) for index, picture in zip(stops, seen, strict=True)
    }
    with friendly_os_errors(folder):
        with files.atomic_write(folder / "sheet.png") as piece:
            save_png(
                contact_sheet.draw_sheet(thumbnails, plan, store.film.fps), piece, store.comment
            )
        if not (folder / "plan.npz").exists():  # that of a film is left to the film
            plans.save_plan(plan, folder / "plan.npz")
    return folder / "sheet.png"


@dataclass(frozen=True)
class RunState:
    """A run that was begun: how its film is written, its config, and the film, once nothing is left to do."""

    store: SegmentStore
    config: Mapping[str, Any]
    film: Path | None


def read_run(folder: Path) -> RunState:
    """The run in ``folder``, which must be there."""
    plan = _begun(folder)
    store = segment_store(plan, folder)
    return RunState(
        store, recipes.config_of(recipes.read_recipe(plan, folder)), _finished(plan, store, folder)
    )


def segment_store(plan: Plan, folder: Path) -> SegmentStore:
    """The segments in ``folder`` of the film of ``plan``: how they are written is in its recipe."""
    recipe = recipes.read_recipe(plan, folder)
    settings = recipes.config_of(recipe)["film"] | {
        "encoder": str(OmegaConf.select(recipe, "film.encoder"))
    }
    film, shape = configs.build_part(settings, "film"), OmegaConf.select(recipe, "film.shape")
    if (
        not isinstance(film, FilmSettings)
        or shape is None
        or len(shape) != 2
        or film.frames != len(plan)
    ):
        raise RequestError(
            f"the recipe of the plan in {folder} does not say how its film is written; render it anew, elsewhere"
        )
    return SegmentStore(
        folder / "segments" / recipes.segment_key(plan),
        film,
        (int(shape[0]), int(shape[1])),
        json.dumps(recipes.public_recipe(recipe)),
    )


def _plan_in(folder: Path) -> Plan | None:
    path = folder / "plan.npz"
    if not path.exists():
        return None
    plan = plans.load_plan(path)
    return plan if plan.recipe else None


def _begun(folder: Path) -> Plan:
    """The plan of the run in ``folder``, which must be there."""
    if (plan := _plan_in(folder)) is None:
        raise RequestError(
            f"there is no run in {folder}: it has no plan.npz; forgetting render hydra.run.dir={folder} begins one"
        )
    return plan


def _finished(plan: Plan, store: SegmentStore, folder: Path) -> Path | None:
    """The film of ``plan`` in ``folder``, if it is there and nothing is left to do."""
    film, told = folder / store.film.name, folder / "recipe.yaml"
    if not film.exists() or not told.exists() or (folder / "segments").exists():
        return None
    return film if told.read_text(encoding="utf-8") == plan.recipe else None


@contextmanager
def _alone(folder: Path, shard: str | None) -> Iterator[None]:
    """Refuse to work where somebody else is at the same work; the lock goes with the process that holds it."""
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    lock = FileLock(
        folder / "segments" / f"lock{'' if shard is None else '-' + shard.replace('/', '-of-')}"
    )
    try:
        with lock.acquire(timeout=0):
            if shard is None:
                _tidy(folder)
            yield
    except Timeout:
        raise ForgettingError(
            f"another process is making a film in {folder}; wait for it, or choose another with hydra.run.dir=PATH"
        ) from None


def _finish(stores: Sequence[SegmentStore], plan: Plan, folder: Path) -> Path:
    """Join what lies in ``stores``, and write what belongs to the film; the recipe last."""
    store, pieces = stores[0], dict[range, Path]()
    for other in stores:
        pieces = other.finished() | pieces
    if missing := [segment for segment in store.segments() if segment not in pieces]:
        ranges = ", ".join(f"{segment.start}-{segment.stop - 1}" for segment in missing[:5]) + (
            " and more" if len(missing) > 5 else ""
        )
        raise RequestError(
            f"frames {ranges} of {store.count} are missing; 'forgetting resume FOLDER' makes them, or join more folders"
        )
    with files.atomic_write(folder / store.film.name) as piece:
        encoder.join_segments(
            store.film,
            [(pieces[segment], len(segment)) for segment in store.segments()],
            piece,
            store.comment,
        )
    with files.atomic_write(folder / "poster.png") as piece:
        shutil.copyfile(_still("poster.png", stores), piece)
    thumbnails = {
        store.film.indices[position]: np.asarray(
            Image.open(_still(store.station(position), stores))
        )
        for position in store.stations
    }
    with files.atomic_write(folder / "sheet.png") as piece:
        save_png(contact_sheet.draw_sheet(thumbnails, plan, store.film.fps), piece, store.comment)
    with files.atomic_write(folder / "recipe.yaml") as piece:
        piece.write_text(plan.recipe, encoding="utf-8")
    return folder / store.film.name


def _seconds(stores: Sequence[SegmentStore]) -> float:
    """How long a film took to make, all processes together."""
    return round(sum(store.seconds for store in stores), 1)


def _still(name: str, stores: Sequence[SegmentStore]) -> Path:
    return next(path for store in stores if (path := store.folder / name).exists())


def _tidy(folder: Path) -> None:
    """Remove what a process that was killed had no time to name."""
    for left in folder.glob("*.part"):
        files.remove_path(left)


def _retire(folder: Path) -> None:
    """Remove the segments of a film that is there."""
    with friendly_os_errors(folder), files.temporary_path(folder / "segments") as old:
        (folder / "segments").rename(old)
