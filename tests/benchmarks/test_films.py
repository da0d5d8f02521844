"""Benchmarks make the films that they time."""

import pytest

from films import EVEN, Film
from forgetting.cli.hydra_verbs import compose_job
from forgetting.film import decoder
from forgetting.jobs import run


@pytest.fixture
def made(monkeypatch):
    """The jobs that are rendered, what lies in the folders of their runs, and their frames."""
    made, render = [], run.render

    def recorded(job, folder, executor):
        film = render(job, folder, executor)
        names = sorted(path.name for path in folder.iterdir())
        made.append((job, names, [frame.shape for frame in decoder.decode_frames(film)]))

    monkeypatch.setattr(run, "render", recorded)
    return made


TOY = ("generator=toy", "ordering=random", "engine=torch")


@pytest.mark.slow
def test_every_call_makes_the_whole_film_and_measures_nothing(made):
    make = Film(TOY, 6).start()
    assert len(made) == 1
    make()
    make()
    for _, names, frames in made:
        assert {"film.mp4", "plan.npz", "poster.png", "recipe.yaml", "sheet.png"} <= set(names)
        assert not any(name.startswith("curve") for name in names)
        assert frames == [(512, 512, 3)] * 6
    assert len(made) == 3


@pytest.mark.slow
def test_a_diptych_is_timed_with_its_map(made):
    Film((*TOY, *EVEN, "film.layout=diptych"), 2).start()
    ((_, _, frames),) = made
    assert len(frames) == 2
    assert frames[0][1] > 2 * frames[0][0]


def test_the_default_film_is_that_of_render():
    default = compose_job([], "render").config
    config = Film(("engine=openvino", "engine.precision=float32"), 720).job.config
    assert {key for key in default if config[key] != default[key]} == {"engine", "measure"}
    assert config["engine"]["precision"] == "float32"


def test_an_even_film_ablates_as_many_units_with_every_frame():
    source = Film((*TOY, *EVEN), 24).job.prepare()
    (track,) = source.compositor.plan.tracks
    assert track.fraction[0] == 0
    assert float(track.fraction[-1]) == pytest.approx(0.6)
    assert track.fraction.diff().numpy() == pytest.approx(0.6 / 23)
