"""Runs of films with text: their length, their shards, and their fonts on other machines."""

import json
import shutil

import numpy as np
import pytest

from forgetting.ablation import plan as plans
from forgetting.analysis import curve
from forgetting.analysis.measure import MeasureSettings
from forgetting.errors import RequestError
from forgetting.film import fonts, metadata, recipe
from forgetting.film.fonts import SHIPPED_FONT
from forgetting.film.images import read_still
from forgetting.jobs import run
from forgetting.jobs.join import join
from helpers import SEGMENTED, compose_config, decode_film, file_hashes, render_config

pytestmark = pytest.mark.slow

TITLED = [*SEGMENTED, "film.duration=2", "film.title=Lethe", "film.title_duration=0.5"]
"""A film of 20 frames, with a title of five."""


@pytest.fixture
def own_font(tmp_path):
    """A font of the user's."""
    path = tmp_path / "mine" / "Own.ttf"
    path.parent.mkdir()
    shutil.copyfile(SHIPPED_FONT, path)
    return path


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "png", "prores", "ffv1"])
def test_a_title_stands_before_the_film_in_every_format(tmp_path, kind):
    film = render_config(compose_config(*TITLED, f"film={kind}"), tmp_path / "titled")
    settings = compose_config(*TITLED, f"film={kind}", "film.title=null")
    plain = render_config(settings, tmp_path / "plain")
    if kind == "png":
        stills = sorted(film.iterdir())
        assert [path.name for path in stills] == [f"{number:05d}.png" for number in range(25)]
        pairs = zip(stills[5:], sorted(plain.iterdir()), strict=True)
        assert all(np.array_equal(read_still(one), read_still(other)) for one, other in pairs)
        return
    frames = decode_film(film, 64)
    assert len(frames) == len(decode_film(plain, 64)) + 5 == 25
    difference = np.abs(frames[5:].astype(int) - decode_film(plain, 64))
    assert difference.mean() < 2, "the same film follows"
    assert metadata.title_frames(film) == 5
    assert metadata.title_frames(plain) == 0


def test_plan_sheet_and_measures_do_not_count_the_title(tmp_path):
    settings = [*TITLED, "measure.names=plain"]
    film = render_config(compose_config(*settings), tmp_path / "titled")
    render_config(compose_config(*settings, "film.title=null"), tmp_path / "plain")
    folders = tmp_path / "titled", tmp_path / "plain"
    assert len(plans.load_plan(folders[0] / "plan.npz")) == 20
    for name in ("curve.csv",):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    assert [summary["frames"] for summary in summaries] == [20, 20]
    run.measure(film, MeasureSettings("plain"))
    of_run = curve.read_curve(folders[0] / "curve.csv")
    of_file = curve.read_curve(folders[0] / "film.curve.csv")
    assert of_file.frames.tolist() == of_run.frames.tolist()[: len(of_file.frames)]
    assert of_file.columns["structure"] == pytest.approx(
        of_run.columns["structure"][: len(of_file.frames)], abs=0.15
    )


def test_shards_of_a_titled_film_join_to_the_same_film(tmp_path):
    render_config(compose_config(*TITLED), tmp_path / "whole")
    for k in (1, 2):
        render_config(compose_config(*TITLED, f"render.shard={k}/2"), tmp_path / str(k))
    titles = [len(list((tmp_path / str(k)).glob("segments/*/title-*"))) for k in (1, 2)]
    assert titles == [1, 0], "the title is rendered with the first segment"
    join([tmp_path / "2", tmp_path / "1"], tmp_path / "joined")
    assert file_hashes(tmp_path / "joined") == file_hashes(tmp_path / "whole")


def test_a_film_resumes_where_its_font_is_not_installed(tmp_path, own_font):
    settings = [*TITLED, f"film.font={own_font}"]
    render_config(compose_config(*settings), tmp_path / "whole")
    assert (tmp_path / "whole/font.ttf").read_bytes() == own_font.read_bytes()
    render_config(compose_config(*settings, "render.shard=2/2"), tmp_path / "part")
    own_font.unlink()
    shutil.move(tmp_path / "part", tmp_path / "moved")
    kept = set((tmp_path / "moved").glob("segments/*/*.mp4"))
    run.resume(tmp_path / "moved", shard="1/2")
    assert kept < set((tmp_path / "moved").glob("segments/*/*.mp4")), "the same film"
    run.resume(tmp_path / "moved")
    assert file_hashes(tmp_path / "moved") == file_hashes(tmp_path / "whole")
    run.measure(tmp_path / "moved", MeasureSettings("plain"))
    given = recipe.config_with_plan(
        compose_config(f"plan={tmp_path / 'moved/plan.npz'}"), ["plan"], "render"
    )
    render_config(given, tmp_path / "again")
    assert (tmp_path / "again/film.mp4").exists()


def test_another_font_under_the_same_path_is_another_film(tmp_path, own_font):
    job = run.parse_job(compose_config(*TITLED, f"film.font={own_font}", "render.shard=1/2"))
    run.render(job, tmp_path / "run")
    own_font.write_bytes(SHIPPED_FONT.read_bytes() + b"\0")
    with pytest.raises(RequestError, match="holds another film .film.font is another file"):
        run.render(job, tmp_path / "run")
    run.render(job, tmp_path / "run", force=True)
    assert (tmp_path / "run/font.ttf").read_bytes() == own_font.read_bytes()


def test_a_font_that_is_neither_kept_nor_there(tmp_path, own_font):
    settings = [*TITLED, f"film.font={own_font}", "render.shard=1/2"]
    render_config(compose_config(*settings), tmp_path / "run")
    (tmp_path / "run/font.ttf").write_bytes(b"\x00\x01\x00\x00 of a stranger")
    own_font.unlink()
    with pytest.raises(RequestError, match="names film.font=.* which does not exist here"):
        run.resume(tmp_path / "run")


def test_an_installed_font_is_resolved_once(tmp_path, own_font, monkeypatch):
    monkeypatch.setattr(fonts, "_font_folders", lambda: [own_font.parent])
    settings = compose_config(*TITLED, "film.font=eb garamond")
    render_config(settings, tmp_path / "run")
    plan = plans.load_plan(tmp_path / "run/plan.npz")
    written = recipe.config_of(recipe.read_recipe(plan, tmp_path))["film"]
    assert written["font"] == str(own_font)
    monkeypatch.setattr(fonts, "_font_folders", list)
    assert run.resume(tmp_path / "run").exists()
    with pytest.raises(RequestError, match="no font named 'eb garamond' is installed"):
        render_config(settings, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_set_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("forgetting.models.architectures.toy.Toy.__init__", None)
    titled = compose_config("generator=toy", "film.title='忘却'")
    captioned = compose_config("generator=toy", "schedule=acts")
    captioned["schedule"]["acts"][0]["caption"] = "忘却"
    for config in (titled, captioned):
        with pytest.raises(RequestError, match="EB Garamond lacks: 忘"):
            run.parse_job(config)


def test_a_title_without_room_leaves_nothing(tmp_path):
    config = compose_config(*TITLED, "film.size=16", f"film.title={'words ' * 40}")
    with pytest.raises(RequestError, match="film.title does not fit into"):
        render_config(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
