import re

import numpy as np
import pytest
from PIL import Image

from forgetting.dreams.modes import Dive
from forgetting.errors import RequestError
from forgetting.film.recipe import segment_key
from forgetting.film.run_folder import RunFolder, read_run
from forgetting.film.segments import SegmentStore
from forgetting.jobs import configs, run
from forgetting.jobs.config_groups import DREAMS, group_options
from forgetting.jobs.join import join
from helpers import (
    compose_config,
    decode_film,
    dream_frames,
    dream_stage,
    file_hashes,
    prepare_config,
    render_config,
)

pytestmark = pytest.mark.slow

KIND = {
    "dive": ["dream=dive", "dream.rotation=40", "dream.drift=[0.1,0]", "dream.feed=0.1"],
    "loop": ["dream=dive", "dream.loop=0.6"],
    "journey": [
        "dream=journey",
        "film.duration=3",
        "objective.captions=true",
        "film.canvas=[400,120]",  # with room for the names of layers
    ],
    "still": ["dream=still"],
    "breathe": ["dream=breathe", "schedule=linear"],
    "over": ["dream=over", "source=film", "film.fps=6", "film.duration=3"],
    "ablated": ["dream=dive", "schedule=linear", "film.layout=diptych", "film.ending=black"],
}


@pytest.mark.parametrize("kind", KIND)
def test_an_interrupted_dream_resumes_to_the_same_film(
    tmp_path, dream_config, kind, monkeypatch, footage
):
    """Interrupted in its third segment; what is finished is not dreamed again."""
    settings = dream_config(*KIND[kind], *([f"source.path='{footage}'"] if kind == "over" else []))
    render_config(settings, tmp_path / "undisturbed")
    write, begun = SegmentStore.write, []

    def fail_third(store, segment, *rest):
        begun.append(segment)
        if len(begun) == 3:
            raise OSError("pulled out")
        write(store, segment, *rest)

    monkeypatch.setattr(SegmentStore, "write", fail_third)
    with pytest.raises(Exception, match="pulled out"):
        render_config(settings, tmp_path / "broken")
    monkeypatch.undo()
    dreamt = []
    monkeypatch.setattr(
        Dive,
        "_next",
        lambda self, *args, _next=Dive._next: dreamt.append(args[2]) or _next(self, *args),
    )
    run.resume(tmp_path / "broken")
    assert file_hashes(tmp_path / "broken") == file_hashes(tmp_path / "undisturbed")
    if kind in ("dive", "journey", "ablated"):
        assert dreamt == list(range(12, 18)), "frames of finished segments are not dreamed again"


def test_stills_can_be_rendered_in_parts_and_dives_cannot(tmp_path, dream_config):
    settings = dream_config("dream=still", "source.contrast=0.5")
    render_config(settings, tmp_path / "whole")
    for k in (1, 2):
        render_config(settings | {"render": {"shard": f"{k}/2"}}, tmp_path / f"part{k}")
    join([tmp_path / "part1", tmp_path / "part2"], tmp_path / "joined")
    assert (tmp_path / "joined/film.mp4").read_bytes() == (tmp_path / "whole/film.mp4").read_bytes()
    with pytest.raises(RequestError, match="frames of this dream depend on the frames before"):
        render_config(dream_config("dream=dive") | {"render": {"shard": "1/2"}}, tmp_path / "dive")


def test_a_dream_over_a_film_has_its_rate_length_and_size(tmp_path, dream_config, footage):
    settings = dream_config(
        "dream=over",
        "source=film",
        f"source.path='{footage}'",
        "film.fps=null",
        "film.duration=null",
        "film.size=null",
    )
    path = render_config(settings, tmp_path / "over")
    film = decode_film(path, 64, 72).astype(int)
    assert film.shape == (8, 72, 64, 3)
    assert read_run(tmp_path / "over").store.film.fps == 4
    plain = decode_film(footage, 64, 72).astype(int)
    assert 2 < np.abs(film - plain).mean() < 60
    with pytest.raises(RequestError, match="dream=over needs a film to dream over, not static"):
        dream_stage(dream_config("dream=over", "film.fps=6", "film.duration=1"))
    with pytest.raises(RequestError, match="set film.fps and film.duration"):
        dream_stage(dream_config("dream=over", "film.fps=null"))


def test_a_dream_is_rendered_again_from_its_plan(tmp_path, dream_config):
    path = render_config(
        dream_config("dream=dive", "schedule=linear", "ordering.seed=4"), tmp_path / "one"
    )
    recipe = read_run(tmp_path / "one").config
    again = render_config(
        {**recipe, "render": None, "plan": str(tmp_path / "one/plan.npz")}, tmp_path / "two"
    )
    assert again.read_bytes() == path.read_bytes()


def test_another_picture_is_another_film(tmp_path, dream_config, photograph):
    """Under the same name; the path itself is in no film."""
    settings = dream_config(
        "dream=still", "source=photograph", f"source.path='{photograph}'", "film.duration=1"
    )
    keys = []
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 48), colour).save(photograph)
        plan = prepare_config(settings).compositor.plan
        keys.append(segment_key(plan))
    assert keys[0] != keys[1]
    assert str(photograph) not in RunFolder(tmp_path).store(plan).comment


@pytest.mark.parametrize(
    "group",
    [
        group
        for group in DREAMS
        if group
        not in ("experiment", "classifier", "source", "ordering", "operator", "film", "cluster")
    ],
)
def test_every_option_of_every_group_dreams(tmp_path, dream_config, group, photograph, footage):
    for option in group_options(group, "dream"):
        more = {
            "over": ["source=film", f"source.path='{footage}'"],
            "guide": [f"objective.path='{photograph}'"],
            "class": ["objective.name=1"],
            "places": ["objective.scenes=[0,2]"],
            "openvino": [],
        }.get(option.name, [])
        settings = dream_config(
            f"{group}={option.name}", *more, "film.fps=4", "film.duration=0.5", "film.size=48"
        )
        if option.name == "openvino":
            with pytest.raises(RequestError, match="dreams need gradients: take engine="):
                dream_stage(settings)
            continue
        assert dream_frames(settings).shape[0] == 2, option.name


def test_a_walk_through_places(dream_config):
    """Of an untrained network of three classes, which stand for the scenes."""
    settings = dream_config("experiment=places", "objective.scenes=[0,2]", "film.duration=1")
    assert settings["ascent"]["bands"] == 6
    frames = dream_frames(settings)
    assert not np.array_equal(frames[1], frames[-1])


def test_the_default_dream_takes_the_network_with_the_best_look():
    config = compose_config(root="dream")
    assert config["classifier"]["name"] == "efficientnet-lite2"
    assert "features." not in str(config), "nothing in it belongs to another network"


def test_the_last_dream(dream_config):
    frames = dream_frames(
        dream_config("experiment=last_dream", "film.duration=2", "objective.layers=features.9.*")
    )
    assert len(frames) == 12


def test_wrong_requests_get_one_sentence(tmp_path, dream_config):
    (tmp_path / "no.mp4").write_text("no film")
    (tmp_path / "no.png").write_text("no picture")
    wrong = {
        "no layer 'b99'.*features.3": ["dream=dive", "objective.layers=b99"],
        "too small for this network, which needs 32": ["film.size=24"],
        "no.png is no picture that can be opened": [
            "source=photograph",
            f"source.path='{tmp_path / 'no.png'}'",
        ],
        "no.mp4 is no film that ffmpeg can read": [
            "source=film",
            f"source.path='{tmp_path / 'no.mp4'}'",
        ],
        "there is no film at source.path=nowhere": ["source=film", "source.path=nowhere"],
        "source=photograph needs a path: set source.path=PICTURE": ["source=photograph"],
        "a dream has none, got 2x2": ["film.grid=2x2"],
        "take pacing=units": ["pacing=perceptual", "schedule=linear"],
        "dream.drift must be two numbers": ["dream.drift=[1]"],
        "source.ratio must be two whole numbers": ["source.ratio=[1,0]"],
        "source.colour must be a colour": ["source=colour", "source.colour=mud"],
        "no such file|there is no file|no file": ["classifier.weights=nowhere.pth"],
    }
    for sentence, settings in wrong.items():
        with pytest.raises(Exception, match=re.compile(sentence, re.IGNORECASE)) as caught:
            dream_stage(dream_config(*settings))
        assert len(str(caught.value).splitlines()) == 1
    nested = dream_config(
        "source=face",
        "generator@source.generator=module",
        "source.generator.factory=some.where:make",
    )
    with pytest.raises(RequestError, match="asks to run code, 'some.where:make'"):
        configs.require_code_consent(nested, ["generator.factory=some.where:make"], "dream")
    configs.require_code_consent(nested, ["source.generator.factory=some.where:make"], "dream")
