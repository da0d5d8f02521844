"""Dreams as films: all kinds of them, gone on with, of networks that die, upon anything."""

import resource
import sys

import numpy as np
import torch

from forgetting.dreams import motion
from forgetting.dreams.checkpoints import FrameCheckpoints
from forgetting.dreams.sources import StaticNoise
from forgetting.engines.engine import to_bytes
from forgetting.film import images
from forgetting.jobs.config_groups import group_options
from helpers import dream_frames, dream_stage


def test_frames_of_a_dive_are_the_same_however_they_are_asked_for(dream_config):
    settings = dream_config("dream=dive")
    everything = dream_frames(settings)
    assert np.array_equal(dream_frames(settings, [5, 9, 17]), everything[[5, 9, 17]])
    assert not np.array_equal(everything[5], everything[6])
    assert np.array_equal(everything[0], to_bytes(StaticNoise().open(48).picture(0))[0].numpy()), (
        "it begins with the source"
    )
    other = dream_frames(dream_config("dream=dive", "source.seed=1"))
    assert not np.array_equal(other[5], everything[5])


def test_a_frame_that_is_handed_out_leaves_gradients_to_others(dream_config):
    shots = dream_stage(dream_config("dream=dive")).shots(range(4))
    next(shots)
    assert torch.is_grad_enabled()
    next(shots)


def test_a_loop_comes_back_to_its_first_frame(dream_config):
    ready = dream_stage(dream_config("dream=dive", "dream.loop=0.5", "schedule=never"))
    *_, last = ready.kind.pictures(ready.dreamer, list(range(18)), FrameCheckpoints(None, 1))
    (first,) = ready.kind.pictures(ready.dreamer, [0], FrameCheckpoints(None, 1))
    before = ready.dreamer.scenery.picture(-3)
    for index in (-2, -1):
        before = ready.kind._next(ready.dreamer, before, index)
    assert torch.equal(ready.kind._next(ready.dreamer, before, 0), first), (
        "what comes before the beginning leads to it"
    )
    assert float((last - before).abs().mean()) < 0.75 * float((last - first).abs().mean())


def test_the_memory_of_a_long_dive_is_flat(dream_config):
    """Three hundred frames; with what it takes to make fifty, all of them can be made."""
    settings = dream_config(
        "dream=dive", "film.fps=30", "film.duration=10", "film.size=64", "schedule=linear"
    )
    ready = dream_stage(settings)
    used = []
    for index, _ in enumerate(ready.shots(range(300))):
        if index in (50, 299):
            used.append(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                / (1024 if sys.platform == "linux" else 2**20)
            )
    print(used)
    assert used[1] - used[0] < 16, "megabytes"


def test_stills_grow_from_the_picture_on(dream_config, photograph):
    settings = dream_config("dream=still", "source=photograph", f"source.path='{photograph}'")
    found = dream_frames(settings).astype(int)
    source = images.read_image(photograph)
    assert found.shape[1:] == (48, 64, 3)
    assert np.abs(found[0] - to_bytes(motion.resized(source, (48, 64)))[0].numpy()).max() == 0
    away = np.abs(found - found[0]).mean((1, 2, 3))
    assert (np.diff(away) > 0).all(), "it only grows"
    assert np.abs(np.diff(found, axis=0)).mean((1, 2, 3)).max() < 2 * away[-1] / 17 + 1, "evenly"


def test_breathing_closes(dream_config, photograph):
    settings = dream_config(
        "dream=breathe",
        "dream.amount.periods=2",
        "source=photograph",
        f"source.path='{photograph}'",
    )
    found = dream_frames(settings).astype(int)
    away = np.abs(found - found[0]).mean((1, 2, 3))
    assert away[9] == 0
    assert np.array_equal(found[1], found[17])
    assert away[4] > 1


def test_everything_that_can_die_can_die_while_it_dreams(tmp_path, dream_config):
    """Every operator, at a size that is not the network's own; and synapses."""
    for option in group_options("operator"):
        found = dream_frames(
            dream_config(
                "dream=dive",
                "schedule=linear",
                f"operator={option.name}",
                "film.duration=1",
                "film.size=64",
            )
        )
        assert found.shape == (6, 64, 64, 3), option.name
    found = [
        dream_frames(
            dream_config("dream=dive", f"schedule={when}", "units=weights", "film.duration=1")
        )
        for when in ("never", "linear")
    ]
    assert np.array_equal(found[0][0], found[1][0])
    assert not np.array_equal(found[0][3], found[1][3])


def test_a_dreamer_that_is_gone_leaves_what_it_is_fed(dream_config):
    settings = dream_config(
        "dream=dive",
        "schedule=linear",
        "schedule.hold=[0,0.3]",
        "dream.feed=1",
        "source.contrast=0.8",
    )
    found, source = dream_frames(settings), StaticNoise(contrast=0.8).open(48)
    assert np.abs(found[-1].astype(int) - to_bytes(source.picture(17))[0].numpy()).max() <= 1
    assert np.abs(found[3].astype(int) - to_bytes(source.picture(3))[0].numpy()).max() > 3


def test_the_map_shows_who_hears_what(dream_config):
    ready = dream_stage(dream_config("dream=dive", "schedule=linear", "film.layout=diptych"))
    heard = [levels for _, levels in ready.shots(range(18))]
    assert all(levels.shape == ready.layout.reference.shape for levels in heard)
    assert np.abs(heard[0] - heard[8]).max() > 0
    assert heard[-1].max() == 0
