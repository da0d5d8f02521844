"""The folder of a gallery, and what replaces it."""

import shutil
from dataclasses import replace

import pytest

from forgetting.ablation import plan as plans
from forgetting.analysis.gallery import site as gallery
from forgetting.errors import RequestError
from forgetting.film import decoder
from forgetting.film.recipe import config_with_plan
from helpers import compose_config, gallery_data, render_config

pytestmark = pytest.mark.slow


def test_the_files_of_a_gallery(site, runs):
    works = gallery_data(site / "runs.js")["works"]
    assert len(works) == 5
    for work in works:
        folder = site / "films" / work["key"]
        assert {work["film"], work["wall"], "poster.jpg", "thumb.jpg", "plan.npz", "life.js"} <= {
            path.name for path in folder.iterdir()
        }
        assert (site / "film" / f"{work['key']}.html").exists()
    tall = next(work for work in works if work["height"] == 400)
    assert tall["wall"] == "wall.mp4"
    assert next(decoder.decode_frames(site / "films" / tall["key"] / "wall.mp4")).shape == (
        360,
        360,
        3,
    )
    stills = next(work for work in works if work["frames"] == 3 + 12)
    assert len(list(decoder.decode_frames(site / "films" / stills["key"] / "film.mp4"))) == 15
    for path in site.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text
            assert "https:" not in text
            assert str(runs) not in text


def test_a_gallery_is_replaced_and_keeps_its_films(runs, tmp_path):
    site = gallery.make_gallery(runs / "d", tmp_path / "site").parent
    (small,) = site.glob("films/*/wall.mp4")
    stamp = small.stat().st_mtime_ns
    (site / "left-over.html").write_text("")
    gallery.make_gallery(runs / "d", tmp_path / "site")
    assert small.stat().st_mtime_ns == stamp
    assert not (site / "left-over.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_folders_are_not_replaced(runs, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError, match="is no gallery"):
        gallery.make_gallery(runs, tmp_path)
    with pytest.raises(RequestError, match="is no gallery"):
        gallery.make_gallery(runs, tmp_path / "thesis.tex")
    with pytest.raises(RequestError, match="there is no finished film"):
        gallery.make_gallery(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_film_is_rendered_again_from_the_plan_of_its_page(site, runs, tmp_path):
    key = next(
        work["key"] for work in gallery_data(site / "runs.js")["works"] if work["frames"] == 36
    )
    plan = site / "films" / key / "plan.npz"
    again = render_config(
        config_with_plan(compose_config(f"plan={plan}"), ["plan"], "render"), tmp_path / "again"
    )
    old = decoder.decode_frames(site / "films" / key / "film.mp4")
    assert all(
        (frame == earlier).all()
        for frame, earlier in zip(decoder.decode_frames(again), old, strict=True)
    )


def test_recipes_are_escaped(runs, tmp_path):
    """A setting that is a script stays text."""
    shutil.copytree(runs / "a", tmp_path / "one")
    plan = plans.load_plan(tmp_path / "one" / "plan.npz")
    recipe = plan.recipe.replace("title: null", "title: '</pre><script>alert(1)</script>'")
    assert recipe != plan.recipe
    plans.save_plan(replace(plan, recipe=recipe), tmp_path / "one" / "plan.npz")
    (tmp_path / "one" / "recipe.yaml").write_text(recipe)
    site = gallery.make_gallery(tmp_path).parent
    (page,) = site.glob("film/*.html")
    assert "<script>alert" not in page.read_text()
    assert "&lt;script&gt;alert" in page.read_text()
