"""A gallery: a folder of static pages that show films, from a disk or from any web server.

    index.html              the wall: all films
    compare.html            two to four films in step
    film/KEY.html           a film: its curve, its plan, its recipe
    films/KEY/              the files of the film, and the data of its page
    runs.js                 the data of the wall

KEY is that of the film's segments, see :func:`forgetting.film.recipe.segment_key`. The pages load
nothing from elsewhere. Pages that are opened from a disk may not read files, so the data are
scripts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from forgetting import files
from forgetting.ablation import plan as plans
from forgetting.analysis.differences import independent_keys
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery.gallery_film import WALL, GalleryFilm
from forgetting.analysis.measure import CURVE
from forgetting.analysis.words import key_labels, natural_order
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.film import copies, decoder
from forgetting.film.images import read_still
from forgetting.film.recipe import EXPERIMENT
from forgetting.film.unreadable_runs import UnreadableRuns
from forgetting.progress import track

STATIC = Path(__file__).parent / "static"
"""The folder of templates, scripts and the style sheet."""

STILLS = {"poster.jpg": 1440, "thumb.jpg": WALL}
"""The largest height of a film's stills, by file name."""

MAX_PIXELS = 2**25
"""The most pixels of a film that is shown: those of 8K."""


def make_gallery(
    folder: Path, out: Path | None = None, unreadable: UnreadableRuns | None = None
) -> Path:
    """Make a gallery of the finished films below a folder; return the path of its index.html.

    Args:
        folder: with the runs.
        out: the folder of the gallery; FOLDER/gallery by default. An earlier gallery is replaced.
        unreadable: gets the runs that cannot be read; without it the first of them is an error.

    Raises:
        RequestError: there are no films, or ``out`` is a link or a folder that holds something
            else.
    """
    site = out or folder / "gallery"
    if files.is_link(site):
        raise RequestError(f"{site} is a link; name the folder itself with --out PATH")
    is_gallery = (site / "runs.js").exists()
    if site.exists() and not is_gallery and (not site.is_dir() or any(site.iterdir())):
        raise RequestError(f"{site} is there and is no gallery; name another with --out PATH")
    films, works = [GalleryFilm(run) for run in finished_runs(folder, unreadable)], {}
    films.sort(key=lambda work: natural_order(work.title))
    with friendly_os_errors(site), files.atomic_write(site) as part:
        (part / "film").mkdir(parents=True)
        for work in track(films, "making pages", len(films)):
            if work.key in works:  # the same film
                continue
            with nullcontext() if unreadable is None else unreadable.leave_out(work.run.folder):
                files.remove_path(part / "films" / work.key)  # of a copy that could not be shown
                _write_film(work, part / "films" / work.key, site / "films" / work.key)
                works[work.key] = work
        if not works:
            raise RequestError(f"none of the films in {folder} can be shown; render them again")
        for unfinished in (part / "films").iterdir():
            if unfinished.name not in works:
                files.remove_path(unfinished)
        _write_pages(list(works.values()), part)
    return site / "index.html"


def _write_film(work: GalleryFilm, folder: Path, earlier: Path) -> None:
    """Write the files of a film into ``folder``.

    They are linked from the ``earlier`` gallery if it has them, because equal keys mean equal
    films.
    """
    folder.mkdir(parents=True)
    names = {work.film, work.wall, *STILLS}
    if all(_is_own_file(earlier / name) for name in names):
        for name in names:
            _link_or_copy(earlier / name, folder / name)
    else:
        _write_copies(work, folder)
        _write_stills(work, folder)
    plans.save_plan(replace(work.plan, recipe=work.yaml), folder / "plan.npz")
    if work.run.curve is not None:
        _link_or_copy(work.run.folder / CURVE, folder / CURVE)
    _write_script(
        folder / "life.js", f"FORGETTING.timelines[{json.dumps(work.key)}]", work.timeline
    )


def _write_copies(work: GalleryFilm, folder: Path) -> None:
    """Write the film as browsers play it, and a smaller copy for the wall if the film is high."""
    film, run, (width, height) = work.run.store.film, work.run, work.size
    if film.file_format.plays_in_browsers:
        decoder.frame_rate(run.film)  # raises if it is no film, which browsers would show as black
        _link_or_copy(run.film, folder / work.film)
    else:
        copies.rescale(
            run.film, run.store, folder / work.film, work.size, film.rate, film.file_seconds
        )
    if work.wall != work.film:
        small = 2 * round(WALL * width / height / 2), WALL
        rate, seconds = min(film.rate, 30), film.file_seconds
        copies.rescale(run.film, run.store, folder / work.wall, small, rate, seconds, crf=24)


def _write_stills(work: GalleryFilm, folder: Path) -> None:
    height, width = work.run.store.shape
    most = min(height * width, MAX_PIXELS)
    poster = read_still(work.run.folder / "poster.png", links=False, most=most)
    for name, most in STILLS.items():
        still = Image.fromarray(poster)
        still.thumbnail((4 * most, most))
        still.save(folder / name, quality=84)


def _write_pages(works: Sequence[GalleryFilm], site: Path) -> None:
    """Write all pages, scripts and the style sheet."""
    pages = Environment(
        loader=PackageLoader("forgetting.analysis.gallery", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    wall = _wall_data(works)
    for path in STATIC.iterdir():
        if path.suffix in (".css", ".js"):
            shutil.copyfile(path, site / path.name)
    _write_script(site / "runs.js", "FORGETTING.all", wall)
    _write_page(pages, "index.html", site / "index.html", works=works, wall=wall)
    _write_page(pages, "compare.html", site / "compare.html", works=works)
    for number, work in enumerate(works):
        neighbours = {"before": works[number - 1], "after": works[(number + 1) % len(works)]}
        path = site / "film" / f"{work.key}.html"
        _write_page(pages, "film.html", path, work=work, **neighbours)


def _wall_data(works: Sequence[GalleryFilm]) -> dict[str, Any]:
    """Return the data of the wall; settings that all films share are listed once."""
    entries = [work.wall_data() for work in works]
    common = {
        key: value
        for key, value in entries[0]["settings"].items()
        if all(entry["settings"].get(key) == value for entry in entries)
    }
    for entry in entries:
        entry["settings"] = {
            key: value for key, value in entry["settings"].items() if key not in common
        }
    differences = [work.differences for work in works]
    varied = list(dict.fromkeys(key for own in differences for key in own))
    return {
        "works": entries,
        "common": common,
        "varied": varied,
        "labels": key_labels(varied),
        "filters": sorted(independent_keys(differences), key=_filter_rank),
        "figures": list(dict.fromkeys(name for work in works for name in work.figures)),
    }


def _filter_rank(key: str) -> int:
    """Return how late a filter is offered: experiments, parts, faces, and then the rest."""
    first = key == EXPERIMENT, "." not in key, key == "latent.seed", not key.startswith("film.")
    return first.index(True) if any(first) else len(first)


def _write_page(pages: Environment, template: str, path: Path, **variables: Any) -> None:
    path.write_text(pages.get_template(template).render(**variables), encoding="utf-8")


def _write_script(path: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write a script that assigns data to a JavaScript name."""
    values = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = f"globalThis.FORGETTING ??= {{timelines: {{}}}};\n{name} = {values};\n"
    path.write_text(text, encoding="utf-8")


def _link_or_copy(path: Path, copy: Path) -> None:
    """Give a file another name; it is copied only where the file system has no links.

    Raises:
        RequestError: it is a link or no regular file.
    """
    files.check_own(path)
    try:
        os.link(path, copy)
    except OSError:
        files.copy_own(path, copy)


def _is_own_file(path: Path) -> bool:
    """Return whether a path is a regular file and no link."""
    return path.is_file() and not files.is_link(path)
