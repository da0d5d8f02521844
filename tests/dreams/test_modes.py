"""The modes of dreams: films of dives and stills, of intact and of ablated classifiers."""

import resource
import sys

import numpy as np
import pytest
import torch

from forgetting.dreams.checkpoints import FrameCheckpoints
from forgetting.dreams.resizing import resize
from forgetting.dreams.sources import StaticNoise
from forgetting.engines.pixels import to_bytes
from forgetting.film import images
from forgetting.jobs.config_groups import group_options
from helpers import dream_frames, dream_stage


def test_frames_of_a_dive_do_not_depend_on_which_are_requested(dream_config):
    settings = dream_config("dream=dive")
    all_frames = dream_frames(settings)
    assert np.array_equal(dream_frames(settings, [5, 9, 17]), all_frames[[5, 9, 17]])
    assert not np.array_equal(all_frames[5], all_frames[6])
    assert np.array_equal(all_frames[0], to_bytes(StaticNoise().open(48).picture(0))[0].numpy()), (
        "it begins with the source"
    )
    other = dream_frames(dream_config("dream=dive", "source.seed=1"))
    assert not np.array_equal(other[5], all_frames[5])


def test_gradients_are_enabled_between_two_frames(dream_config):
    rendered = dream_stage(dream_config("dream=dive")).frames(range(4))
    next(rendered)
    assert torch.is_grad_enabled()
    next(rendered)


def test_a_loop_ends_near_its_first_frame(dream_config):
    source = dream_stage(dream_config("dream=dive", "dream.loop=0.5", "schedule=never"))
    *_, last = source.mode.frames(source.dreamer, list(range(18)), FrameCheckpoints(None, 1))
    (first,) = source.mode.frames(source.dreamer, [0], FrameCheckpoints(None, 1))
    before = source.dreamer.source_picture(-3)
    for index in (-2, -1):
        before = source.mode._next(source.dreamer, before, index)
    assert torch.equal(source.mode._next(source.dreamer, before, 0), first), (
        "the frames before the first lead to it"
    )
    assert float((last - before).abs().mean()) < 0.75 * float((last - first).abs().mean())


@pytest.mark.parametrize("dream", ["dive", "journey"])
@pytest.mark.parametrize("loop", [0, 0.5])
def test_a_dive_from_a_photograph_begins_with_the_photograph(dream_config, photograph, dream, loop):
    """Also in a loop, whose end fades into the photograph as it comes nearer."""
    settings = dream_config(
        f"dream={dream}",
        f"dream.loop={loop}",
        "source=photograph",
        f"source.path='{photograph}'",
        "film.duration=3",
    )
    frames = dream_frames(settings).astype(int)
    fitted = to_bytes(resize(images.read_image(photograph), (48, 64)))[0].numpy()
    assert np.array_equal(frames[0], fitted)
    assert not np.array_equal(frames[1], fitted)
    if loop:
        away = np.abs(frames - frames[0]).mean((1, 2, 3))
        assert away[-1] < 0.7 * away[-4]


@pytest.mark.slow
@pytest.mark.parametrize("count", [120, pytest.param(900, marks=pytest.mark.soak)])
def test_the_memory_of_a_long_dive_is_flat(dream_config, count):
    """No frame takes more memory than the first fifty have taken."""
    settings = dream_config(
        "dream=dive",
        "film.fps=30",
        f"film.duration={count / 30}",
        "film.size=64",
        "schedule=linear",
    )
    source = dream_stage(settings)
    used = []
    for index, _ in enumerate(source.frames(range(count))):
        if index in (50, count - 1):
            used.append(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                / (1024 if sys.platform == "linux" else 2**20)
            )
    assert used[1] - used[0] < 16, "megabytes"


def test_a_still_begins_with_the_picture_and_changes_evenly(dream_config, photograph):
    settings = dream_config("dream=still", "source=photograph", f"source.path='{photograph}'")
    frames = dream_frames(settings).astype(int)
    source = resize(images.read_image(photograph), (48, 64))
    assert frames.shape[1:] == (48, 64, 3)
    assert np.abs(frames[0] - to_bytes(source)[0].numpy()).max() == 0
    away = np.abs(frames - frames[0]).mean((1, 2, 3))
    assert (np.diff(away) > 0).all(), "it only moves away"
    assert np.abs(np.diff(frames, axis=0)).mean((1, 2, 3)).max() < 2 * away[-1] / 17 + 1, "evenly"


def test_a_breath_ends_as_it_begins(dream_config, photograph):
    settings = dream_config(
        "dream=breathe",
        "dream.amount.periods=2",
        "source=photograph",
        f"source.path='{photograph}'",
    )
    frames = dream_frames(settings).astype(int)
    away = np.abs(frames - frames[0]).mean((1, 2, 3))
    assert away[9] == 0
    assert np.array_equal(frames[1], frames[17])
    assert away[4] > 1


@pytest.mark.slow
def test_every_operator_can_ablate_a_dream(dream_config):
    """At a size that is not the network's own; single weights can be ablated too."""
    for option in group_options("operator"):
        frames = dream_frames(
            dream_config(
                "dream=dive",
                "schedule=linear",
                f"operator={option.name}",
                "film.duration=1",
                "film.size=64",
            )
        )
        assert frames.shape == (6, 64, 64, 3), option.name
    frames = [
        dream_frames(
            dream_config("dream=dive", f"schedule={when}", "units=weights", "film.duration=1")
        )
        for when in ("never", "linear")
    ]
    assert np.array_equal(frames[0][0], frames[1][0])
    assert not np.array_equal(frames[0][3], frames[1][3])


def test_a_fully_ablated_classifier_leaves_the_source(dream_config):
    settings = dream_config(
        "dream=dive",
        "schedule=linear",
        "schedule.hold=[0,0.3]",
        "dream.feed=1",
        "source.contrast=0.8",
    )
    frames, source = dream_frames(settings), StaticNoise(contrast=0.8).open(48)
    assert np.abs(frames[-1].astype(int) - to_bytes(source.picture(17))[0].numpy()).max() <= 1
    assert np.abs(frames[3].astype(int) - to_bytes(source.picture(3))[0].numpy()).max() > 3


def test_the_map_shows_the_activity_of_units(dream_config):
    source = dream_stage(dream_config("dream=dive", "schedule=linear", "film.layout=diptych"))
    activities = [rendered.activity for rendered in source.frames(range(18))]
    assert all(activity.shape == source.reference.shape for activity in activities)
    assert np.abs(activities[0] - activities[8]).max() > 0
    assert activities[-1].max() == 0
