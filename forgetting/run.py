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

from forgetting import assembly, cache, encoder, input_files, measuring, notes, sheet
from forgetting import plan as plans
from forgetting import recipe as recipes
from forgetting.crew import Crew, Making, here, prepared
from forgetting.dreaming import experiment as dreams
from forgetting.errors import ForgettingError, Interrupted, RequestError, told_in_one_sentence
from forgetting.film import Film, save_png
from forgetting.measuring import SUMMARY, Measuring
from forgetting.plan import Plan
from forgetting.progress import track
from forgetting.render import composed
from forgetting.segments import Reel, part

log = logging.getLogger(__name__)


def render(config: Mapping[str, Any], folder: Path, crew: Crew | None = None) -> Path:
    """Make the film of ``config`` in ``folder``, or go on with it; returns the film's path.

    With ``render.shard`` that part of its segments is made, and nothing joined; returns the folder. Without a ``crew`` that of the
    config's ``cluster`` does it, or this process.
    """
    shard = (config.get("render") or {}).get("shard")
    if shard is not None:
        part(shard)
    config, how = dreams.timed(config), Measuring(**(config.get("measure") or {}))
    before, given = _plan_in(folder), config.get("plan")
    recipe = recipes.read(before, folder) if before is not None else None
    earlier = recipes.lasting(recipes.config_of(recipe)) if recipe is not None else {}
    files = input_files.replaced(recipes.files_of(recipe), input_files.record(config)) if recipe is not None else []
    same_plan = given is None or (before is not None and plans.load(Path(given)).digest() == before.digest())
    known = before if earlier == recipes.lasting(config) and same_plan and not files else None
    if known is not None and (there := _finished(known, reel_of(known, folder), folder)):
        _tidy(folder)
        log.info("%s", f"the film in {folder} is finished already; another hydra.run.dir=PATH makes it again")
        return there
    since = time.monotonic()
    with nullcontext(crew) if crew is not None else _crew(config) as whoever:
        making = whoever(config, known)
        if shard is not None and making.follows:
            raise RequestError(
                f"frames of this dream follow from each other, so no part of it can be made alone; leave out render.shard={shard}"
            )
        plan = known if known is not None and recipes.key(known) == recipes.key(making.plan) else making.plan
        if before is not None and plan is not known:
            changes = recipes.changes(earlier, recipes.lasting(config)) or [f"{key} is another file" for key in files]
            why = ", ".join(changes) or "made by another plan, other versions or another encoder"
            log.info("%s", f"{folder} held another film ({why}): this one is made anew")
        with told_in_one_sentence(folder), _alone(folder, shard):
            if plan is not known:
                plans.save(plan, folder / "plan.npz")
            again = "the same command" if config.get("cluster") else f"forgetting resume {folder}" + (f" --shard {shard}" if shard else "")
            reel = _shot(making, plan, folder, shard, since, again)
            if shard is None:
                making.measure(plan, how, folder, render_seconds=_seconds([reel]))
                film = _finish([reel], plan, folder)
    if shard is not None:
        log.info("%s", f"part {shard} is finished; forgetting join FOLDER ... makes a film of all parts")
        return folder
    _retire(folder)
    return film


def _crew(config: Mapping[str, Any]) -> AbstractContextManager[Crew]:
    """Who makes the film of a config."""
    node = config.get("cluster")
    return nullcontext(here) if node is None else assembly.instantiate(node, "cluster").hired()


def _shot(making: Making, plan: Plan, folder: Path, shard: str | None, since: float, again: str) -> Reel:
    """Make what is missing of a film, or of a part of it; ``again`` is how to go on if somebody interrupts."""
    reel = reel_of(plan, folder)
    reel.folder.mkdir(parents=True, exist_ok=True)
    wanted, finished = reel.segments(shard), reel.finished()
    todo = [segment for segment in wanted if segment not in finished]
    if len(todo) < len(wanted):
        log.info("%s", f"{len(wanted) - len(todo)} of {len(wanted)} segments are there already")
    try:
        if todo:
            making.shoot(plan, reel, todo, since)
    except KeyboardInterrupt:
        done = len(reel.named().keys() & set(wanted))
        raise Interrupted(f"interrupted; {done} of {len(wanted)} segments are finished; go on with: {again}") from None
    return reel


def resume(folder: Path, shard: str | None = None) -> Path:
    """Go on with the run in ``folder``."""
    ours = _trusted(_begun(folder), folder)
    return render(ours | {"render": {"shard": shard}}, folder)


def _trusted(plan: Plan, folder: Path, code: bool = True) -> dict[str, Any]:
    """The config of the run in ``folder``, which may be a stranger's: it runs no ``code`` and opens no files but those recorded."""
    recipe = recipes.read(plan, folder)
    config = recipes.config_of(recipe)
    if code:
        assembly.consent(config, ())
    input_files.verify(config, recipes.files_of(recipe), folder / "plan.npz")
    return config


def measure(path: Path, how: Measuring) -> Path:
    """Measure the film made in the folder ``path``, through its network, or the film that is the file ``path``."""
    if path.is_file():
        with told_in_one_sentence(path.parent):
            found = measuring.file(path, how)
    else:
        plan = _begun(path)
        config = _trusted(plan, path)
        with told_in_one_sentence(path):
            stage, seconds = prepared(config, plan), notes.read(path / SUMMARY).get("render_seconds")
            found = measuring.film(stage, how, path, render_seconds=seconds)
    if found is None:
        raise RequestError("there is nothing to measure by; name measures, or say --names plain")
    return found


def join(folders: Sequence[Path], into: Path) -> Path:
    """Make a film, in ``into``, of the segments that lie in ``folders``; no network is needed."""
    plan, *others = (_begun(folder) for folder in folders)
    for folder, other in zip(folders[1:], others, strict=True):
        if recipes.key(other) != recipes.key(plan):
            why = ", ".join(recipes.changes(recipes.essence(plan), recipes.essence(other))) or "who dies when"
            raise RequestError(f"{folders[0]} and {folder} are parts of different films: {why}")
    _trusted(plan, folders[0], code=False)
    into.mkdir(parents=True, exist_ok=True)
    with told_in_one_sentence(into), _alone(into, None):
        if _plan_in(into) is None:
            plans.save(plan, into / "plan.npz")
        reels = [reel_of(plan, folder) for folder in folders]
        notes.write(into / SUMMARY, {"frames": len(plan), "fps": reels[0].film.fps, "render_seconds": _seconds(reels)})
        film = _finish(reels, plan, into)
    _retire(into)
    log.info("%s", f"it has no curve, for no network was needed; 'forgetting measure {into}' measures it")
    return film


def preview(config: Mapping[str, Any], folder: Path) -> Path:
    """Draw the contact sheet that ``render`` would draw, without the film, and keep the plan; returns the sheet's path."""
    stage = prepared(dreams.timed(config))
    plan = stage.layout.plan
    reel = reel_of(plan, folder)
    stops = [reel.film.indices[position] for position in reel.stations]
    seen = track(composed(stage, stops), "looking at the stations", len(stops))
    thumbnails = {index: sheet.thumbnail(picture) for index, picture in zip(stops, seen, strict=True)}
    with told_in_one_sentence(folder):
        with cache.whole(folder / "sheet.png") as piece:
            save_png(sheet.draw(thumbnails, plan, reel.film.fps), piece, reel.comment)
        if not (folder / "plan.npz").exists():  # that of a film is left to the film
            plans.save(plan, folder / "plan.npz")
    return folder / "sheet.png"


@dataclass(frozen=True)
class Begun:
    """A run that was begun: how its film is written, its config, and the film, once nothing is left to do."""

    reel: Reel
    config: Mapping[str, Any]
    film: Path | None


def begun(folder: Path) -> Begun:
    """The run in ``folder``, which must be there."""
    plan = _begun(folder)
    reel = reel_of(plan, folder)
    return Begun(reel, recipes.config_of(recipes.read(plan, folder)), _finished(plan, reel, folder))


def reel_of(plan: Plan, folder: Path) -> Reel:
    """The segments in ``folder`` of the film of ``plan``: how they are written is in its recipe."""
    recipe = recipes.read(plan, folder)
    settings = recipes.config_of(recipe)["film"] | {"encoder": str(OmegaConf.select(recipe, "film.encoder"))}
    film, shape = assembly.instantiate(settings, "film"), OmegaConf.select(recipe, "film.shape")
    if not isinstance(film, Film) or shape is None or len(shape) != 2 or film.frames != len(plan):
        raise RequestError(f"the recipe of the plan in {folder} does not say how its film is written; render it anew, elsewhere")
    return Reel(folder / "segments" / recipes.key(plan), film, (int(shape[0]), int(shape[1])), json.dumps(recipes.told(recipe)))


def _plan_in(folder: Path) -> Plan | None:
    path = folder / "plan.npz"
    if not path.exists():
        return None
    plan = plans.load(path)
    return plan if plan.recipe else None


def _begun(folder: Path) -> Plan:
    """The plan of the run in ``folder``, which must be there."""
    if (plan := _plan_in(folder)) is None:
        raise RequestError(f"there is no run in {folder}: it has no plan.npz; forgetting render hydra.run.dir={folder} begins one")
    return plan


def _finished(plan: Plan, reel: Reel, folder: Path) -> Path | None:
    """The film of ``plan`` in ``folder``, if it is there and nothing is left to do."""
    film, told = folder / reel.film.name, folder / "recipe.yaml"
    if not film.exists() or not told.exists() or (folder / "segments").exists():
        return None
    return film if told.read_text(encoding="utf-8") == plan.recipe else None


@contextmanager
def _alone(folder: Path, shard: str | None) -> Iterator[None]:
    """Refuse to work where somebody else is at the same work; the lock goes with the process that holds it."""
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "segments" / f"lock{'' if shard is None else '-' + shard.replace('/', '-of-')}")
    try:
        with lock.acquire(timeout=0):
            if shard is None:
                _tidy(folder)
            yield
    except Timeout:
        raise ForgettingError(
            f"another process is making a film in {folder}; wait for it, or choose another with hydra.run.dir=PATH"
        ) from None


def _finish(reels: Sequence[Reel], plan: Plan, folder: Path) -> Path:
    """Join what lies in ``reels``, and write what belongs to the film; the recipe last."""
    reel, pieces = reels[0], dict[range, Path]()
    for other in reels:
        pieces = other.finished() | pieces
    if missing := [segment for segment in reel.segments() if segment not in pieces]:
        ranges = ", ".join(f"{segment.start}-{segment.stop - 1}" for segment in missing[:5]) + (" and more" if len(missing) > 5 else "")
        raise RequestError(f"frames {ranges} of {reel.count} are missing; 'forgetting resume FOLDER' makes them, or join more folders")
    with cache.whole(folder / reel.film.name) as piece:
        encoder.join(reel.film, [(pieces[segment], len(segment)) for segment in reel.segments()], piece, reel.comment)
    with cache.whole(folder / "poster.png") as piece:
        shutil.copyfile(_still("poster.png", reels), piece)
    thumbnails = {reel.film.indices[position]: np.asarray(Image.open(_still(reel.station(position), reels))) for position in reel.stations}
    with cache.whole(folder / "sheet.png") as piece:
        save_png(sheet.draw(thumbnails, plan, reel.film.fps), piece, reel.comment)
    with cache.whole(folder / "recipe.yaml") as piece:
        piece.write_text(plan.recipe, encoding="utf-8")
    return folder / reel.film.name


def _seconds(reels: Sequence[Reel]) -> float:
    """How long a film took to make, all processes together."""
    return round(sum(reel.seconds for reel in reels), 1)


def _still(name: str, reels: Sequence[Reel]) -> Path:
    return next(path for reel in reels if (path := reel.folder / name).exists())


def _tidy(folder: Path) -> None:
    """Remove what a process that was killed had no time to name."""
    for left in folder.glob("*.part"):
        cache.remove(left)


def _retire(folder: Path) -> None:
    """Remove the segments of a film that is there."""
    with told_in_one_sentence(folder), cache.temporary(folder / "segments") as old:
        (folder / "segments").rename(old)
