"""Films that are interrupted in every way, and resumed."""

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from forgetting.ablation import plan as plans
from forgetting.errors import ForgettingError, RequestError
from forgetting.film import encoder, recipe
from forgetting.film.run_folder import RunFolder
from forgetting.jobs import run
from forgetting.jobs.join import join
from helpers import (
    SEGMENTED,
    compose_config,
    decode_film,
    file_hashes,
    preview_config,
    render_config,
)

pytestmark = pytest.mark.slow


def test_shards_join_to_the_same_film_in_any_folder(tmp_path, undisturbed):
    for k in (1, 2, 3):
        folder = tmp_path / f"{k % 2}"
        assert (
            render_config(
                compose_config(*SEGMENTED, "film.duration=6", f"render.shard={k}/3"), folder
            )
            == folder
        )
        assert not (folder / "film.mp4").exists()
    with pytest.raises(RequestError, match=r"frames 20-29, 30-39 of 60 are missing"):
        join([tmp_path / "1"], tmp_path / "1")
    join([tmp_path / "0", tmp_path / "1"], tmp_path / "joined")
    assert file_hashes(tmp_path / "joined") == undisturbed
    join([tmp_path / "1", tmp_path / "0"], tmp_path / "1")
    assert file_hashes(tmp_path / "1") == undisturbed
    render_config(compose_config(*SEGMENTED, "film.duration=6"), tmp_path / "0")
    assert file_hashes(tmp_path / "0") == undisturbed, "a part can also grow into the whole"


def test_parts_of_a_plan_that_a_preview_made(tmp_path):
    """The plan may lie elsewhere on every machine; what auto chose is taken by all of them."""
    settings = [
        "generator=toy",
        "film.preset=ultrafast",
        "film.size=64",
        "film.fps=10",
        "film.duration=4",
        "film.segment=10",
    ]
    preview_config(compose_config(*settings), tmp_path)
    for k in (1, 2):
        plan = shutil.copyfile(tmp_path / "plan.npz", tmp_path / f"plan{k}.npz")
        given = recipe.config_with_plan(
            compose_config(f"plan={plan}", f"render.shard={k}/2"),
            ["plan", "render.shard"],
            "render",
        )
        render_config(given, tmp_path / str(k))
    together = join([tmp_path / "1", tmp_path / "2"], tmp_path / "film")
    assert len(decode_film(together, 64)) == 40
    (tmp_path / "parts").mkdir()
    for name in ("1", "2"):
        (tmp_path / name).rename(tmp_path / "parts" / name)
    assert join([tmp_path / "parts"]).read_bytes() == together.read_bytes()


def test_another_plan_is_another_film(tmp_path):
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        preview_config(
            compose_config(
                *SEGMENTED, "film.duration=2", "ordering=random", f"ordering.seed={seed}"
            ),
            tmp_path / str(seed),
        )
    given = [compose_config(f"plan={tmp_path / str(seed) / 'plan.npz'}") for seed in (1, 2)]
    settings = recipe.config_with_plan(given[0], ["plan"], "render")
    render_config(settings | {"render": {"shard": "1/2"}}, tmp_path / "run")
    other = settings | {"plan": given[1]["plan"]}
    with pytest.raises(RequestError, match="its plan is another one"):
        render_config(other, tmp_path / "run")
    render_config(other, tmp_path / "run", force=True)
    render_config(settings | {"plan": given[1]["plan"]}, tmp_path / "other")
    assert file_hashes(tmp_path / "run") == file_hashes(tmp_path / "other")


def test_parts_of_different_films_are_not_joined(tmp_path):
    for k, seed in ((1, 3), (2, 4)):
        render_config(
            compose_config(
                *SEGMENTED, "film.duration=4", f"latent.seed={seed}", f"render.shard={k}/2"
            ),
            tmp_path / str(k),
        )
    with pytest.raises(
        RequestError, match="parts of different films: config.latent.seed was 3, is 4"
    ):
        join([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
    with pytest.raises(RequestError, match="there is no run in"):
        join([tmp_path / "nowhere"], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_a_film_whose_config_changed_is_rendered_again_only_by_force(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = tmp_path / "run"
    render_config(
        compose_config(*SEGMENTED, "film.duration=2", "latent.seed=3", "render.shard=1/2"), folder
    )
    other = compose_config(*SEGMENTED, "film.duration=2", "latent.seed=4")
    with pytest.raises(
        RequestError, match=r"holds another film \(latent.seed was 3, is 4\); choose .* --force"
    ):
        render_config(other, folder)
    assert list(folder.glob("segments/*/*-*.mp4")), "nothing is lost"
    render_config(other, folder, force=True)
    assert "held another film (latent.seed was 3, is 4): this one replaces it" in caplog.text
    render_config(
        compose_config(*SEGMENTED, "film.duration=2", "latent.seed=4"), tmp_path / "other"
    )
    assert file_hashes(folder) == file_hashes(tmp_path / "other")
    caplog.clear()
    before = (folder / "film.mp4").stat().st_mtime_ns
    render_config(compose_config(*SEGMENTED, "film.duration=2", "latent.seed=4"), folder)
    assert "is finished already" in caplog.text
    assert (folder / "film.mp4").stat().st_mtime_ns == before


def test_other_versions_are_never_mixed(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(recipe, "version", lambda package: "0.0.1")
    render_config(
        compose_config(*SEGMENTED, "film.duration=2", "render.shard=1/2"), tmp_path / "run"
    )
    monkeypatch.undo()
    run.resume(tmp_path / "run")
    assert "held another film (made by other versions or another encoder)" in caplog.text
    render_config(compose_config(*SEGMENTED, "film.duration=2"), tmp_path / "other")
    assert file_hashes(tmp_path / "run") == file_hashes(tmp_path / "other")


def test_a_plan_that_was_edited_is_another_film(tmp_path):
    render_config(
        compose_config(*SEGMENTED, "film.duration=2", "film.ending=smudge", "render.shard=1/2"),
        tmp_path,
    )
    before = next((tmp_path / "segments").glob("*/*-*.mp4"))
    arrays = dict(np.load(tmp_path / "plan.npz"))
    with (tmp_path / "plan.npz").open("wb") as file:
        np.savez(file, **arrays | {"fraction": np.flip(arrays["fraction"])})
    path = run.resume(tmp_path)
    assert not before.exists()
    film = decode_film(path, 64)
    assert film[0].std() < film[-1].std(), "it runs backwards"
    assert plans.load_plan(tmp_path / "plan.npz").tracks[0].fraction[-1] == 0


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path, undisturbed, monkeypatch):
    real, calls = encoder.encode, []

    def third_is_full(settings, frames, path, *others):
        calls.append(path)
        if len(calls) == 3:
            path = Path("/dev/full")
        real(settings, frames, path, *others)

    monkeypatch.setattr(encoder, "encode", third_is_full)
    sentence = (
        r"the disk is full at .*run; free some space and run: forgetting resume .*run "
        r"\(what is finished is kept\)"
    )
    with pytest.raises(ForgettingError, match=sentence):
        render_config(compose_config(*SEGMENTED, "film.duration=6"), tmp_path / "run")
    assert len(list((tmp_path / "run").glob("segments/*/*-*.*.mp4"))) == 2
    assert not list((tmp_path / "run").rglob("*.part"))
    monkeypatch.setattr(
        encoder, "encode", lambda *arguments: calls.append(None) or real(*arguments)
    )
    calls.clear()
    run.resume(tmp_path / "run")
    assert len(calls) == 4
    assert file_hashes(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("kind", ["webm", "gif", "png"])
def test_films_of_every_format_resume(tmp_path, kind):
    settings = [*SEGMENTED, "film.duration=2", f"film.format={kind}"]
    render_config(compose_config(*settings), tmp_path / "whole")
    render_config(compose_config(*settings, "render.shard=2/2"), tmp_path / "parts")
    run.resume(tmp_path / "parts")
    name = "film" if kind == "png" else f"film.{kind}"
    ours, theirs = (tmp_path / folder / name for folder in ("whole", "parts"))
    if kind == "png":
        assert file_hashes(ours) == file_hashes(theirs)
        assert len(file_hashes(ours)) == 20
    else:
        assert sha256(ours.read_bytes()).digest() == sha256(theirs.read_bytes()).digest()


BUSY = "another process is making a film in .*run; wait for it"


def test_a_whole_render_and_a_shard_exclude_each_other(tmp_path, undisturbed):
    """A whole render would remove the segments under a running shard; other shards may run."""
    film, folder = [*SEGMENTED, "film.duration=6"], tmp_path / "run"
    render_config(compose_config(*film, "render.shard=1/3"), folder)
    segments = file_hashes(next(folder.glob("segments/*/")))
    with RunFolder(folder).lock("2/3"):
        with pytest.raises(ForgettingError, match=BUSY):
            render_config(compose_config(*film), folder)
        with pytest.raises(ForgettingError, match=BUSY):
            run.resume(folder)
        with pytest.raises(ForgettingError, match=BUSY):
            join([folder], folder)
        with pytest.raises(ForgettingError, match=BUSY):
            render_config(compose_config(*film, "render.shard=2/3"), folder)
        assert file_hashes(next(folder.glob("segments/*/"))) == segments
        assert render_config(compose_config(*film, "render.shard=3/3"), folder) == folder
    with RunFolder(folder).lock(), pytest.raises(ForgettingError, match=BUSY):
        render_config(compose_config(*film, "render.shard=2/3"), folder)
    run.resume(folder)
    assert file_hashes(folder) == undisturbed


def test_resuming_where_no_run_was_begun(tmp_path):
    with pytest.raises(RequestError, match="there is no run in .*: it has no plan.npz"):
        run.resume(tmp_path)
    (tmp_path / "plan.npz").write_bytes(b"noise")
    with pytest.raises(RequestError, match="not a plan"):
        run.resume(tmp_path)


def test_a_rough_cut(tmp_path):
    render_config(compose_config(*SEGMENTED, "film.duration=6"), tmp_path / "whole")
    path = render_config(
        compose_config(*SEGMENTED, "film.duration=6", "film.every=20"), tmp_path / "rough"
    )
    whole, rough = decode_film(tmp_path / "whole/film.mp4", 64), decode_film(path, 64)
    assert len(rough) == 3
    assert all(np.abs(rough[k].astype(float) - whole[20 * k]).mean() < 3 for k in range(3))
