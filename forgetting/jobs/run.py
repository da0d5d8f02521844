"""A run: the film of a job, made in a folder, resumed as often as need be.

What lies in the folder is described in :mod:`forgetting.film.run_folder`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from forgetting.ablation.plan import Plan, load_plan, save_plan
from forgetting.analysis.measure import SUMMARY, MeasureSettings, measure_file, measure_film
from forgetting.errors import Interrupted, RequestError, friendly_os_errors
from forgetting.files import atomic_write, read_json
from forgetting.film import contact_sheet, input_files, soundtrack
from forgetting.film import recipe as recipes
from forgetting.film.images import save_png
from forgetting.film.render import composed_frames
from forgetting.film.run_folder import RunFolder
from forgetting.film.segments import SegmentStore
from forgetting.jobs.configs import require_code_consent
from forgetting.jobs.executor import Executor, start_executor
from forgetting.jobs.job import Job, job_class, parse_job
from forgetting.jobs.render_job import RenderJob
from forgetting.models.checkpoints.native import unchanged_weights
from forgetting.printable import shell_command
from forgetting.progress import track

log = logging.getLogger(__name__)


def render(job: Job, folder: Path, executor: Executor | None = None, force: bool = False) -> Path:
    """Make the film of a job in ``folder``, or resume it; return the film's path.

    With a shard, that part of the film is rendered and nothing is joined; return the folder.

    Args:
        job: the film to make.
        folder: of the run.
        executor: renders it; without, the job's cluster or this process.
        force: replaces a film of other settings.

    Raises:
        RequestError: the folder holds a film of other settings.
    """
    run, shard = RunFolder(folder), job.execution.shard
    earlier, changes = run.existing_plan(), list[str]()
    if earlier is not None:
        changes = _changes(earlier, job, folder)
        if changes and not force:
            _check_replaceable(run, changes)
    existing = earlier if earlier is not None and not changes else None
    if existing is not None and (finished := run.finished_film(existing)):
        run.remove_leftovers()
        log.info(
            "the film in %s is finished already; another hydra.run.dir=PATH makes it again", folder
        )
        return finished
    if notice := soundtrack.shortness(job.film):
        log.info(notice)
    since = time.monotonic()
    with (
        nullcontext(executor)
        if executor is not None
        else start_executor(job.execution.cluster) as renderer
    ):
        render_job = renderer.start(job, existing)
        if shard is not None and render_job.sequential:
            raise RequestError(
                "frames of this dream depend on the frames before, so no part of it can be "
                "rendered "
                f"alone; leave out render.shard={shard}"
            )
        plan = _chosen_plan(existing, render_job.plan)
        if earlier is not None and plan is not existing:
            why = ", ".join(changes) or "made by other versions or another encoder"
            log.info("%s held another film (%s): this one replaces it", folder, why)
        with friendly_os_errors(folder), run.lock(shard):
            _check_unchanged(run, earlier, plan)
            if plan is not existing:
                save_plan(plan, folder / "plan.npz")
            run.keep_font(job.film)
            store = _render_missing(render_job, plan, run, job, since)
            if shard is None:
                seconds = round(store.seconds, 1)
                render_job.measure(
                    plan, job.execution.measure, store, folder, render_seconds=seconds
                )
                film = run.finish([store], plan)
                if plan is not earlier:
                    run.remove_other_films(film)
    if shard is not None:
        log.info("part %s is finished; forgetting join FOLDER ... makes a film of all parts", shard)
        return folder
    run.remove_segments()
    return film


def _changes(plan: Plan, job: Job, folder: Path) -> list[str]:
    """Return in what a job differs from the run in its folder, as sentences.

    Nothing means the same film.
    """
    recipe = recipes.read_recipe(plan, folder)
    recorded, now = recipes.files_of(recipe), input_files.record(job.config)
    same = {key: digest for key, digest in now.items() if recorded.get(key) == digest}
    before, after = (
        recipes.film_config(input_files.without_paths(config, same))
        for config in (recipes.config_of(recipe), job.config)
    )
    changes = recipes.differences(before, after)
    changes += [f"{key} is another file" for key in input_files.replaced(recorded, now)]
    if job.plan is not None and load_plan(Path(job.plan)).digest() != plan.digest():
        changes.append("its plan is another one")
    return changes


def _check_replaceable(run: RunFolder, changes: Sequence[str]) -> None:
    """Raise if a film in the folder of a run would be lost."""
    if run.holds_film():
        why = ", ".join(changes[:5]) + (f" and {len(changes) - 5} more" if changes[5:] else "")
        raise RequestError(
            f"{run.path} holds another film ({why}); choose another folder with "
            "hydra.run.dir=PATH, or add --force to replace that film"
        )


def _check_unchanged(run: RunFolder, earlier: Plan | None, plan: Plan) -> None:
    """Raise if another process has begun another film in the folder since ``earlier`` was read."""
    now = run.existing_plan()
    is_new = now is not None and (
        earlier is None or (now.recipe, now.digest()) != (earlier.recipe, earlier.digest())
    )
    if now is not None and is_new and recipes.segment_key(now) != recipes.segment_key(plan):
        raise RequestError(
            f"another process has begun another film in {run.path}; choose another folder with "
            "hydra.run.dir=PATH"
        )


def _chosen_plan(existing: Plan | None, prepared: Plan) -> Plan:
    """Return the existing plan where it makes the same film as the one that was prepared."""
    if existing is not None and recipes.segment_key(existing) == recipes.segment_key(prepared):
        return existing
    return prepared


def _render_missing(
    render_job: RenderJob, plan: Plan, run: RunFolder, job: Job, since: float
) -> SegmentStore:
    """Render what is missing of a film, or of its shard."""
    shard, store = job.execution.shard, run.store(plan)
    store.folder.mkdir(parents=True, exist_ok=True)
    wanted, finished = store.segments(shard), store.finished()
    missing = [segment for segment in wanted if segment not in finished]
    if len(missing) < len(wanted):
        log.info(
            "%d of %d segments in %s exist already",
            len(wanted) - len(missing),
            len(wanted),
            run.path,
        )
    try:
        if missing:
            render_job.render(plan, store, missing, since, job.execution.measure)
    except KeyboardInterrupt:
        done = len(store.named().keys() & set(wanted))
        command = "the same command"
        if job.execution.cluster is None:
            words = ("--shard", shard) if shard else ()
            command = shell_command("resume", run.path, *words)
        raise Interrupted(
            f"interrupted; {done} of {len(wanted)} segments are finished; resume with: {command}"
        ) from None
    return store


def resume(
    folder: Path, shard: str | None = None, trust: Sequence[str] = (), overrides: Sequence[str] = ()
) -> Path:
    """Resume the run in ``folder``.

    Args:
        folder: of the run.
        shard: ``K/N``: only the K-th of N parts.
        trust: packages whose parts the run may use.
        overrides: ``key=value`` of code that the command line names.
    """
    plan = RunFolder(folder).required_plan()
    config = trusted_config(plan, folder, trust, overrides)
    return render(parse_job(config | {"render": {"shard": shard}}), folder)


def trusted_config(
    plan: Plan,
    folder: Path,
    trust: Sequence[str] = (),
    overrides: Sequence[str] = (),
    code: bool = True,
) -> dict[str, Any]:
    """Return the config of a run that may be a stranger's.

    Raises:
        RequestError: it would run ``code`` that the command line does not name, or open a file
            other than those that its recipe records.
    """
    recipe = recipes.read_recipe(plan, folder)
    config = recipes.config_of(recipe) | {"trust": list(trust)}
    config = input_files.with_kept_font(config, recipes.files_of(recipe), folder)
    verb = job_class(config).verb
    if code:
        require_code_consent(config, overrides, verb)
    input_files.verify(config, recipes.files_of(recipe), folder / "plan.npz", verb)
    return config


def measure(path: Path, settings: MeasureSettings, trust: Sequence[str] = ()) -> Path:
    """Measure the film of the run in ``path`` through its network, or the film file ``path``.

    Returns:
        The path of the curve.

    Raises:
        RequestError: no metrics are selected.
    """
    if path.is_file():
        with friendly_os_errors(path.parent):
            curve = measure_file(path, settings)
    else:
        if not path.exists():
            raise RequestError(
                f"there is no film and no run at {path}; name a film, or the folder of a run"
            )
        plan = RunFolder(path).required_plan()
        config = trusted_config(plan, path, trust)
        with friendly_os_errors(path):
            source = parse_job(config).prepare(plan)
            seconds = read_json(path / SUMMARY).get("render_seconds")
            curve = measure_film(source, settings, path, render_seconds=seconds)
    if curve is None:
        raise RequestError("no metrics are selected; name some, or pass --names plain")
    return curve


def preview(job: Job, folder: Path, force: bool = False) -> Path:
    """Draw the contact sheet that ``render`` would draw, without the film, and keep the plan.

    Return its path.

    Args:
        job: the film.
        folder: of the run.
        force: replaces the contact sheet of a film of other settings.

    Raises:
        RequestError: the folder holds a film of other settings.
    """
    run = RunFolder(folder)
    earlier = run.existing_plan()
    if earlier is not None and not force and (changes := _changes(earlier, job, folder)):
        _check_replaceable(run, changes)
    with unchanged_weights():
        source = job.prepare()
    plan = source.compositor.plan
    store = run.store(plan)
    indices = [store.film.indices[position] for position in store.sample_positions]
    pictures = track(composed_frames(source, indices), "rendering samples", len(indices))
    thumbnails = {
        index: contact_sheet.thumbnail(picture)
        for index, picture in zip(indices, pictures, strict=True)
    }
    with friendly_os_errors(folder):
        with atomic_write(folder / "sheet.png") as part:
            sheet = contact_sheet.draw_sheet(thumbnails, plan, store.film.fps)
            save_png(sheet, part, store.comment)
        if not (folder / "plan.npz").exists():  # the plan of a film stays the film's
            save_plan(plan, folder / "plan.npz")
        run.keep_font(job.film)
    return folder / "sheet.png"
