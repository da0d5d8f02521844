import numpy as np
import pytest
from PIL import Image

from forgetting.ablation import plan as plans
from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators import removal
from forgetting.engines.engine import FrameRequest, Outputs, render_rows
from forgetting.engines.pixels import to_bytes
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film import grid, render
from forgetting.film.images import fit
from forgetting.jobs.config_groups import GROUPS, group_options
from forgetting.jobs.job import parse_job
from forgetting.models import generator_zoo, latents
from forgetting.models.checkpoints import native
from forgetting.models.units import Units
from helpers import (
    THREE_FRAMES,
    TINY,
    compose_config,
    decode_film,
    needs_openvino,
    prepare_config,
    preview_config,
    render_config,
)

pytestmark = pytest.mark.slow

EXPERIMENTS = sorted(option.name for option in group_options("experiment"))


def test_the_promised_experiments_are_there():
    promised = {
        "darkness",
        "coarse_first",
        "fine_first",
        "bleaching",
        "dissolve",
        "remember",
        "pendulum",
        "quick",
    }
    assert promised <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_renders(tmp_path, name):
    path = render_config(compose_config(f"experiment={name}", *THREE_FRAMES), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "film.mp4",
        "plan.npz",
        "poster.png",
        "recipe.yaml",
        "sheet.png",
        "summary.json",
    ]
    height, width = parse_job(compose_config(f"experiment={name}", *THREE_FRAMES)).film.shape(
        32, 32
    )
    assert decode_film(path, width, height).shape == (3, height, width, 3)
    assert len(plans.load_plan(tmp_path / "plan.npz")) == 3


@pytest.mark.parametrize(
    "group",
    [group for group in GROUPS if group not in ("experiment", "generator", "noise", "cluster")],
)
def test_every_option_of_every_group_renders(tmp_path, group):
    scores = tmp_path / "scores.npy"
    np.save(scores, np.arange(52.0))
    for option in group_options(group):
        settings = [
            *THREE_FRAMES,
            f"{group}={option.name}",
            *([f"ordering.path={scores}"] if option.name == "file" else []),
        ]
        folder = tmp_path / option.name
        folder.mkdir()
        assert render_config(compose_config(*settings), folder).exists()


@pytest.mark.parametrize("noise", ["constant", "off", "animated"])
def test_noise_in_films(tmp_path, noise):
    """Of a network that has some; frames are the same in segments of any length."""
    network, films = TINY["stylegan2-orig"](), []
    native.write_checkpoint(
        tmp_path / "mine.safetensors",
        "stylegan2",
        network.hyperparameters,
        network.state_dict(),
        "a test",
    )
    for segment in (2, 9):
        settings = (
            "generator=file",
            f"generator.path={tmp_path / 'mine.safetensors'}",
            f"noise={noise}",
            "film=ffv1",
            "film.size=16",
        )
        more = (
            *THREE_FRAMES[1:-1],
            "film.duration=2",
            f"film.segment={segment}",
            "noise.turns=1" if noise == "animated" else "units=channels",
        )
        (tmp_path / str(segment)).mkdir()
        films.append(
            decode_film(
                render_config(compose_config(*settings, *more), tmp_path / str(segment)), 16
            )
        )
    assert np.array_equal(*films)
    still = fit(to_bytes(network.bind(latents.Seed().sample(network))())[0].numpy(), (16, 16))
    assert (np.abs(films[0][0].astype(int) - still).max() <= 1) == (noise != "off")


def test_the_default_is_darkness():
    assert compose_config() == compose_config("experiment=darkness")


def test_values_are_checked_before_anything_slow(monkeypatch):
    monkeypatch.setattr(generator_zoo, "load", lambda name: pytest.fail("nothing should be loaded"))
    with pytest.raises(RequestError, match=r"film.fps"):
        prepare_config(compose_config("film.fps=0"))


def test_a_preview_is_the_sheet_of_the_film(tmp_path):
    (tmp_path / "film").mkdir()
    (tmp_path / "preview").mkdir()
    settings = compose_config(
        "generator=toy", "engine=torch", "film.fps=10", "film.duration=3", "film.preset=ultrafast"
    )
    render_config(settings, tmp_path / "film")
    sheet = preview_config(settings, tmp_path / "preview")
    assert sorted(path.name for path in (tmp_path / "preview").iterdir()) == [
        "plan.npz",
        "sheet.png",
    ]
    assert np.array_equal(
        np.asarray(Image.open(sheet)), np.asarray(Image.open(tmp_path / "film" / "sheet.png"))
    )


@pytest.mark.parametrize("architecture", TINY)
def test_every_experiment_on_every_architecture(tmp_path, architecture):
    """From a file of the user; three frames each, without writing them."""
    network = TINY[architecture]()
    path = tmp_path / "network.safetensors"
    kind = next(name for name, part in native.ARCHITECTURES.items() if type(network) is part)
    native.write_checkpoint(path, kind, network.hyperparameters, network.state_dict(), "a test")
    for name in EXPERIMENTS:
        settings = (
            f"experiment={name}",
            *THREE_FRAMES[1:],
            "generator=file",
            f"generator.path={path}",
            "pacing.probes=8",
        )
        source = prepare_config(compose_config(*settings))
        frames = list(render_rows(source.engine, source.compositor.plan.rows([0, 1, 2])))
        assert len(frames) == 3
        assert frames[0].shape == (*network.size, 3)


@pytest.mark.parametrize("latent", ["seed", "walk", "wander", "breathe"])
def test_the_last_frame_of_a_loop_is_a_neighbour_of_the_first(tmp_path, latent):
    """The step from the last frame to the first is no larger than the others."""
    settings = (
        "experiment=pendulum",
        f"latent={latent}",
        "generator=toy",
        "engine=torch",
        "film=ffv1",
        "film.duration=4",
        "film.size=32",
    )
    decoded = decode_film(render_config(compose_config(*settings), tmp_path), 32).astype(float)
    steps = np.abs(np.roll(decoded, -1, axis=0) - decoded).mean((1, 2, 3))
    assert len(steps) == 96
    assert np.abs(decoded[48] - decoded[0]).mean() > 5 * steps[-1], "something happens on the way"
    assert steps[-1] <= steps[:-1].max()


def test_a_face_moves_while_its_units_are_ablated(tmp_path):
    settings = (
        "generator=toy",
        "engine=torch",
        "latent=walk",
        "film.fps=8",
        "film.duration=1",
        "film.format=png",
        "film.size=32",
        "film.ending=smudge",
    )
    render_config(compose_config(*settings), tmp_path)
    plan = prepare_config(compose_config(*settings)).compositor.plan
    network = generator_zoo.load("toy")
    for index in (0, 3, 7):
        ws = latents.Walk((10, 11, 12)).sample(network, index, 8)
        task = AblationTask(network, ws, (Target(removal.Zero(), Units(network.layers)),))
        expected = next(render_rows(TorchConfig().start(task), plan.rows([index])))
        assert np.array_equal(
            np.asarray(Image.open(tmp_path / "film" / f"{index:05d}.png")), expected
        )


def test_a_grid_shows_several_faces_ablated_by_the_same_plan(tmp_path):
    settings = (
        "generator=toy",
        "engine=torch",
        "film.grid=3x2",
        "film.size=98",
        "film.layout=diptych",
        "latent.seeds=[4,9,5,4,7,30]",
        "film.ending=smudge",
        "film.background='#102030'",
    )
    source = prepare_config(compose_config(*settings, "film.fps=4", "film.duration=1"))
    (frame,) = render.composed_frames(source, [2])
    assert frame.shape == (98, 148 + 2 + 148, 3), "three faces are wider than two are high"
    assert (frame[48:50, :148] == (16, 32, 48)).all(), "there are gaps"
    network = generator_zoo.load("toy")
    cells = grid.cells((98, 148), 3, 2)
    for cell, seed in zip(cells, (4, 9, 5, 4, 7, 30), strict=True):
        ws = latents.Seed(seed).sample(network)
        task = AblationTask(network, ws, (Target(removal.Zero(), Units(network.layers)),))
        alone = next(render_rows(TorchConfig().start(task), source.compositor.plan.rows([2])))
        assert np.array_equal(frame[cell], fit(alone, frame[cell].shape[:2])), seed
    for wrong in ("3", "0x3", "axb"):
        with pytest.raises(RequestError, match="film.grid must be columns x rows"):
            parse_job(compose_config("generator=toy", f"film.grid={wrong}"))
    with pytest.raises(RequestError, match=r"latent.seeds names 3 faces .* film.grid=3x1"):
        parse_job(compose_config("generator=toy", "latent.seeds=[3,23,41]"))


def test_gaps_of_a_grid_are_transparent_in_a_transparent_film():
    source = prepare_config(
        compose_config(
            "generator=toy",
            "engine=torch",
            "film=png",
            "film.grid=2x2",
            "film.size=98",
            "film.background=transparent",
            "film.fps=4",
            "film.duration=1",
        )
    )
    (frame,) = render.composed_frames(source, [0])
    assert (frame[48:50, :, 3] == 0).all()
    assert (frame[:48, :48, 3] == 255).all()


def test_activity_is_recorded_now_and_then_and_interpolated_between():
    """At the recorded frames it is exact; it does not depend on where rendering begins."""
    settings = (
        "generator=toy",
        "engine=torch",
        "film.layout=map",
        "film.size=64",
        "film.fps=10",
        "film.duration=3.1",
    )
    source = prepare_config(compose_config(*settings))
    step = render.RECORDING_STEP
    activity = [rendered.activity for rendered in source.frames(range(31))]
    for index in (0, step, 2 * step, 30):
        row = source.compositor.plan.row(index)
        (recorded,) = source.engine.render([FrameRequest(row, outputs=Outputs(activity=True))])
        assert np.array_equal(activity[index], recorded.activity[:, 0, 0])
    between = 0.75 * activity[step] + 0.25 * activity[2 * step]
    np.testing.assert_allclose(activity[step + 3], between, rtol=1e-5, atol=1e-6)
    (alone,) = source.frames([step + 3])
    assert np.array_equal(alone.activity, activity[step + 3])


@needs_openvino
def test_films_that_store_planes_get_planes_and_rgb_where_stills_are():
    source = prepare_config(compose_config("generator=toy", "film.size=null", "film.duration=1"))
    planes = source.compositor.takes_planes
    frames = list(source.frames(range(24), rgb={0, 7}))
    if not planes:  # the toy's pictures are enlarged
        assert all(rendered.planes is None for rendered in frames)
    source = prepare_config(
        compose_config("generator=toy", "engine=openvino", "film.size=32", "film.duration=1")
    )
    assert source.compositor.takes_planes
    frames = list(source.frames(range(24), rgb={0, 7}))
    assert all(rendered.planes is not None for rendered in frames)
    assert [k for k, rendered in enumerate(frames) if rendered.frame is not None] == [0, 7]
    for index, rendered in zip((0, 7), source.frames([0, 7]), strict=True):
        assert rendered.planes is None
        assert np.array_equal(rendered.rgb, frames[index].rgb)


@needs_openvino
@pytest.mark.parametrize(
    "setting",
    [
        "film.layout=diptych",
        "film.size=128",
        "film.grid=2x1",
        "film=gif",
        "film=h265",
        "film=prores",
        "film.canvas=[128,128]",
        "film.crop=[1,2]",
        "schedule=acts",
    ],
)
def test_films_that_compose_frames_get_rgb(setting):
    settings = ["generator=toy", "engine=openvino", "film.size=32", "film.duration=1", setting]
    if setting == "schedule=acts":
        settings.append("schedule.acts.0.caption=early")
    source = prepare_config(compose_config(*settings))
    assert not source.compositor.takes_planes
    (rendered,) = source.frames([3], rgb=set())
    assert rendered.planes is None
    assert rendered.rgb.shape[2] == 3
