"""Sources of dreams: films, folders of runs and faces."""

import numpy as np
import torch

from forgetting.dreams.sources import VideoSource
from helpers import compose_config, decode_film, dream_frames, render_config


def test_a_film_is_played_at_any_rate(footage, tmp_path):
    provider = VideoSource(str(footage)).play(None, 8)
    assert provider.size == (72, 64)
    twice = [provider.picture(index) for index in range(20)]
    assert torch.equal(twice[0], twice[1])
    assert torch.equal(twice[14], twice[19]), "after its end the last picture stays"
    assert not torch.equal(twice[1], twice[2])
    assert torch.equal(provider.picture(5), twice[5]), "also where an earlier picture is requested"
    assert torch.equal(VideoSource(str(footage)).open(None).picture(3), twice[14]), "its last frame"
    assert torch.equal(VideoSource(str(footage), at=0).open(None).picture(3), twice[0])


def test_runs_and_faces_are_sources(tmp_path, dream_config):
    """A dream begins with the last frame of a run, or with the face of a generator."""
    face = compose_config(
        "generator=toy",
        "engine=torch",
        "pacing=units",
        "film.size=48",
        "film.fps=6",
        "film.duration=1",
    )
    render_config(face, tmp_path / "face")
    frames = dream_frames(
        dream_config(
            "dream=dive", "source=film", f"source.path='{tmp_path / 'face'}'", "film.duration=0.5"
        )
    )
    assert (
        np.abs(frames[0].astype(int) - decode_film(tmp_path / "face/film.mp4", 48)[-1]).max() <= 1
    )
    settings = dream_config(
        "dream=still", "source=face", "generator@source.generator=toy", "film.duration=0.5"
    )
    assert dream_frames(settings).shape == (3, 48, 48, 3)
