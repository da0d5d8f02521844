"""A gallery: a folder of static pages that show the films of other folders, from a disk or from any host.

    index.html              the wall
    compare.html            two to four films in step
    film/KEY.html           a film: its curve, its plan, its recipe
    films/KEY/              its files, and what its pages know of it
    runs.js                 what the wall knows of all

KEY is that of the film's segments, see :func:`forgetting.film.recipe.segment_key`. Nothing is fetched from anywhere, and pages that are opened from
a disk may not read files; so what scripts need to know are scripts too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf
from PIL import Image

from forgetting import files
from forgetting.ablation import plan as plans
from forgetting.ablation.plan import Plan, share_of_units
from forgetting.analysis.curve import censored_figures, read_curve
from forgetting.analysis.finished_runs import FinishedRun, finished_runs
from forgetting.analysis.measure import CURVE
from forgetting.errors import RequestError, friendly_os_errors
from forgetting.film import copies
from forgetting.film import recipe as recipes
from forgetting.progress import track

SITE = Path(__file__).parent / "static"

WALL = 360
"""Height of the films on the wall; higher ones are shown there as smaller copies."""

POINTS = 240
"""Places along a film at which its page knows who is gone."""


@dataclass(frozen=True)
class GalleryFilm:
    """A film in the gallery."""

    run: FinishedRun

    @cached_property
    def plan(self) -> Plan:
        return plans.load_plan(self.run.folder / "plan.npz")

    @cached_property
    def key(self) -> str:
        return recipes.segment_key(self.plan)

    @property
    def title(self) -> str:
        return self.run.title

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, both even, as H.264 wants them."""
        height, width = self.run.store.shape
        return width + width % 2, height + height % 2

    @property
    def film(self) -> str:
        film = self.run.store.film
        return film.name if film.file_format.plays_in_browsers else "film.mp4"

    @property
    def wall(self) -> str:
        return "wall.mp4" if self.size[1] > WALL else self.film

    @property
    def verb(self) -> str:
        """What makes such films."""
        return "dream" if "dream" in self.run.config else "render"

    @property
    def dies(self) -> bool:
        """Whether anybody ever does: most dreams are of networks that stay whole."""
        return any(self.life["gone"])

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """As it may go out into the world."""
        return recipes.public_recipe(recipes.read_recipe(self.plan, self.run.folder))

    @property
    def yaml(self) -> str:
        return OmegaConf.to_yaml(OmegaConf.create(self.recipe))

    @property
    def figures(self) -> dict[str, float]:
        return self.run.figures

    @property
    def told(self) -> dict[str, Any]:
        """What the wall knows of it."""
        width, height = self.size
        film = self.run.store.film
        known = {
            "key": self.key,
            "title": self.title,
            "film": self.film,
            "wall": self.wall,
            "width": width,
            "height": height,
        }
        known |= {"rate": film.rate, "frames": self.run.store.count, "figures": self.figures}
        return known | {
            "outlived": sorted(censored_figures(self.run.summary)),
            "settings": dict(_leaves(self.recipe["config"])) | dict(self.run.settings),
        }

    @cached_property
    def life(self) -> dict[str, Any]:
        """What its page knows of it: who is gone when, and its curve. Times are in seconds of the film as it is written."""
        stage, indices = self.run.store.film, self.run.store.film.indices
        at = sorted(
            {round(place) for place in np.linspace(0, len(indices) - 1, min(POINTS, len(indices)))}
        )
        rows = [self.plan.ablation_by_layer(indices[place]) for place in at]
        layers = {name: [round(float(row[name].mean()), 3) for row in rows] for name in rows[0]}
        gone = [round(share_of_units(row), 5) for row in rows]
        known: dict[str, Any] = {
            "seconds": [round(place / stage.rate, 4) for place in at],
            "gone": gone,
            "layers": layers,
            "curve": {},
        }
        if (path := self.run.folder / CURVE).exists():
            curve = read_curve(path)
            known["measured"] = [round(float(second), 4) for second in curve.seconds]
            known["curve"] = {
                name: [round(float(value), 4) if np.isfinite(value) else None for value in values]
                for name, values in curve.columns.items()
            }
        return known


def make_gallery(folder: Path, out: Path | None = None) -> Path:
    """Hang the finished films below a folder; returns the gallery's index.html. ``out`` is FOLDER/gallery by default.

    Raises:
        RequestError: there are none, or ``out`` is a folder that holds something else.
    """
    site = out or folder / "gallery"
    if (
        site.exists()
        and not (site / "runs.js").exists()
        and (not site.is_dir() or any(site.iterdir()))
    ):
        raise RequestError(f"{site} is there and is no gallery; name another with --out PATH")
    works = list({work.key: work for work in map(GalleryFilm, finished_runs(folder))}.values())
    with friendly_os_errors(site), files.atomic_write(site) as part:
        (part / "film").mkdir(parents=True)
        for work in track(works, "hanging films", len(works)):
            _hang(work, part / "films" / work.key, site / "films" / work.key)
        _write(works, part)
    return site / "index.html"


def _hang(work: GalleryFilm, folder: Path, before: Path) -> None:
    """A film's files: those of the gallery that was there ``before``, for a key says all of a film, or new ones."""
    folder.mkdir(parents=True)
    names = {work.film, work.wall, "poster.jpg", "thumb.jpg"}
    if all((before / name).exists() for name in names):
        for name in names:
            _same(before / name, folder / name)
    else:
        film, (width, height) = work.run.store.film, work.size
        if film.file_format.plays_in_browsers:
            _same(work.run.film, folder / work.film)
        else:
            copies.rescale(
                work.run.film, film, folder / work.film, work.size, film.rate, work.run.seconds
            )
        if work.wall != work.film:
            small = 2 * round(WALL * width / height / 2), WALL
            copies.rescale(
                work.run.film,
                film,
                folder / work.wall,
                small,
                min(film.rate, 30),
                work.run.seconds,
                crf=24,
            )
        with Image.open(work.run.folder / "poster.png") as poster:
            for name, most in (("poster.jpg", 1440), ("thumb.jpg", WALL)):
                still = poster.convert("RGB")
                still.thumbnail((4 * most, most))
                still.save(folder / name, quality=84)
    plans.save_plan(replace(work.plan, recipe=work.yaml), folder / "plan.npz")
    if (curve := work.run.folder / CURVE).exists():
        _same(curve, folder / CURVE)
    _script(folder / "life.js", f"FORGETTING.lives[{json.dumps(work.key)}]", work.life)


def _write(works: Sequence[GalleryFilm], site: Path) -> None:
    pages = Environment(
        loader=PackageLoader("forgetting.analysis.gallery", "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    told = [work.told for work in works]
    first = told[0]["settings"]
    common = {
        key: value
        for key, value in first.items()
        if all(one["settings"].get(key) == value for one in told)
    }
    for one in told:
        one["settings"] = {
            key: value for key, value in one["settings"].items() if key not in common
        }
    varied = list(dict.fromkeys(key for work in works for key in work.run.settings))
    measured = list(dict.fromkeys(name for work in works for name in work.figures))
    told_of_all = {"works": told, "common": common, "varied": varied, "figures": measured}
    for path in SITE.iterdir():
        if path.suffix in (".css", ".js"):
            shutil.copyfile(path, site / path.name)
    _script(site / "runs.js", "FORGETTING.all", told_of_all)
    _page(pages, "index.html", site / "index.html", works=works, told=told_of_all)
    _page(pages, "compare.html", site / "compare.html", works=works)
    for place, work in enumerate(works):
        beside = {"before": works[place - 1], "after": works[(place + 1) % len(works)]}
        _page(pages, "film.html", site / "film" / f"{work.key}.html", work=work, **beside)


def _page(pages: Environment, template: str, path: Path, **told: Any) -> None:
    path.write_text(pages.get_template(template).render(**told), encoding="utf-8")


def _script(path: Path, name: str, told: Mapping[str, Any]) -> None:
    head = "globalThis.FORGETTING ??= {lives: {}};\n"
    path.write_text(
        f"{head}{name} = {json.dumps(told, separators=(',', ':'), allow_nan=False)};\n",
        encoding="utf-8",
    )


def _same(path: Path, other: Path) -> None:
    """The same file under another name: no copy, where the file system can do without."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _leaves(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every setting of a config by its dotted key; parts by the names of their classes."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            under = where if key == recipes.TARGET else f"{where}.{key}" if where else str(key)
            yield from _leaves(recipes.part_label(value) if key == recipes.TARGET else value, under)
    elif where:
        yield where, str(node)
