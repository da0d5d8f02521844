"""Dreams as films: all kinds of them, gone on with, of networks that die, upon anything."""

import re
import resource
import sys

import numpy as np
import pytest
import torch
from conftest import randomised
from PIL import Image
from safetensors.torch import save_file
from test_encoder import decode
from test_experiment import config
from test_run import files
from typer.testing import CliRunner

from forgetting.analysis import comparison
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery import site
from forgetting.cli.main import app
from forgetting.dreams import motion
from forgetting.dreams.checkpoints import FrameCheckpoints
from forgetting.dreams.modes import Dive
from forgetting.dreams.objectives import LayerSequence
from forgetting.dreams.optical_flow import warp_detail
from forgetting.dreams.sources import StaticNoise, VideoSource
from forgetting.engines.engine import from_bytes, to_bytes
from forgetting.errors import RequestError
from forgetting.film import contact_sheet, images
from forgetting.film.encoder import encode
from forgetting.film.settings import FilmSettings
from forgetting.jobs import configs, run
from forgetting.jobs import dream as dreams
from forgetting.jobs.config_groups import DREAMS, group_options
from forgetting.models.classifier_zoo import CLASSIFIERS


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """SqueezeNet that has learned nothing, of three classes: nothing has to be fetched for it."""
    path = tmp_path_factory.mktemp("weights") / "nobody.safetensors"
    network = randomised(CLASSIFIERS["squeezenet-imagenet"].build(3), 5)
    save_file({name: 0.3 * tensor for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture
def dream(weights):
    """The config of a small dream."""

    def made(*settings):
        small = [
            "film.size=48",
            "film.fps=6",
            "film.duration=3",
            "film.preset=ultrafast",
            "film.segment=6",
            "film.stations=3",
        ]
        light = [
            "ascent.iterations=1",
            "ascent.octaves=2",
            "ascent.jitter=3",
            "engine.precision=float32",
        ]
        return config(f"classifier.weights='{weights}'", *small, *light, *settings, root="dream")

    return made


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photograph.png"
    drawn = Image.fromarray(np.random.RandomState(4).randint(0, 255, (12, 16, 3), np.uint8))
    drawn.resize((96, 72), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def footage(tmp_path):
    """A film of a pattern that goes to the right, 8 frames at 4 a second."""
    pattern = np.asarray(
        Image.fromarray(np.random.RandomState(5).randint(0, 255, (9, 16, 3), np.uint8)).resize(
            (128, 72)
        )
    )
    path = tmp_path / "footage.mp4"
    encode(
        FilmSettings(fps=4, crf=1, encoder="x264"),
        (pattern[:, 40 - 4 * k : 104 - 4 * k] for k in range(8)),
        path,
        (72, 64),
        "",
    )
    return path


def stage(settings):
    return dreams.prepare(dreams.timed(settings)).stage


def made(settings, indices=None):
    ready = stage(settings)
    return np.stack(
        [
            frame
            for frame, _ in ready.shots(
                list(ready.layout.film.indices) if indices is None else indices
            )
        ]
    )


KIND = {
    "dive": ["dream=dive", "dream.rotation=40", "dream.drift=[0.1,0]", "dream.feed=0.1"],
    "loop": ["dream=dive", "dream.loop=0.6"],
    "journey": ["dream=journey", "film.duration=3", "objective.captions=true"],
    "still": ["dream=still"],
    "breathe": ["dream=breathe", "schedule=linear"],
    "over": ["dream=over", "source=film", "film.fps=6", "film.duration=3"],
    "dying": ["dream=dive", "schedule=linear", "film.layout=diptych", "film.ending=black"],
}


@pytest.mark.parametrize("kind", KIND)
def test_two_pieces_are_one_film(tmp_path, dream, kind, monkeypatch, footage):
    """A film that breaks off in its third segment and is gone on with is, byte for byte, the one that nothing disturbed."""
    settings = dream(*KIND[kind], *([f"source.path='{footage}'"] if kind == "over" else []))
    run.render(settings, tmp_path / "undisturbed")
    write, begun = run.Reel.write, []

    def breaks(store, segment, *rest):
        begun.append(segment)
        if len(begun) == 3:
            raise OSError("pulled out")
        write(store, segment, *rest)

    monkeypatch.setattr(run.Reel, "write", breaks)
    with pytest.raises(Exception, match="pulled out"):
        run.render(settings, tmp_path / "broken")
    monkeypatch.undo()
    dreamt = []
    monkeypatch.setattr(
        Dive,
        "_next",
        lambda self, *args, _next=Dive._next: dreamt.append(args[2]) or _next(self, *args),
    )
    run.resume(tmp_path / "broken")
    assert files(tmp_path / "broken") == files(tmp_path / "undisturbed")
    if kind in ("dive", "journey", "dying"):
        assert dreamt == list(range(12, 18)), "what was kept is not dreamed again"


def test_what_was_damaged_is_dreamed_again(tmp_path, dream):
    kept = FrameCheckpoints(tmp_path, 2)
    for index in range(9):
        kept.keep(index, (torch.full((1, 3, 4, 4), index / 10),))
    names = sorted(path.name[:13] for path in tmp_path.iterdir())
    assert names == ["state-0000003", "state-0000005", "state-0000007"]
    index, (tensor,) = kept.before(8)
    assert index == 7
    assert torch.equal(tensor, torch.full((1, 3, 4, 4), 0.7))
    assert kept.before(6)[0] == 5
    assert kept.before(2) is None
    last = next(tmp_path.glob("state-0000007*"))
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    assert kept.before(8)[0] == 5
    assert FrameCheckpoints(None, 1).before(3) is None


def test_frames_of_a_dive_are_the_same_however_they_are_asked_for(dream):
    settings = dream("dream=dive")
    everything = made(settings)
    assert np.array_equal(made(settings, [5, 9, 17]), everything[[5, 9, 17]])
    assert not np.array_equal(everything[5], everything[6])
    assert np.array_equal(everything[0], to_bytes(StaticNoise().open(48).picture(0))[0].numpy()), (
        "it begins with the source"
    )
    other = made(dream("dream=dive", "source.seed=1"))
    assert not np.array_equal(other[5], everything[5])


def test_a_frame_that_is_handed_out_leaves_gradients_to_others(dream):
    shots = stage(dream("dream=dive")).shots(range(4))
    next(shots)
    assert torch.is_grad_enabled()
    next(shots)


def test_a_loop_comes_back_to_its_first_frame(dream):
    ready = stage(dream("dream=dive", "dream.loop=0.5", "schedule=never"))
    *_, last = ready.kind.pictures(ready.dreamer, list(range(18)), FrameCheckpoints(None, 1))
    (first,) = ready.kind.pictures(ready.dreamer, [0], FrameCheckpoints(None, 1))
    before = ready.dreamer.scenery.picture(-3)
    for index in (-2, -1):
        before = ready.kind._next(ready.dreamer, before, index)
    assert torch.equal(ready.kind._next(ready.dreamer, before, 0), first), (
        "what comes before the beginning leads to it"
    )
    assert float((last - before).abs().mean()) < 0.75 * float((last - first).abs().mean())


def test_the_memory_of_a_long_dive_is_flat(dream):
    """Three hundred frames; with what it takes to make fifty, all of them can be made."""
    settings = dream(
        "dream=dive", "film.fps=30", "film.duration=10", "film.size=64", "schedule=linear"
    )
    ready = stage(settings)
    used = []
    for index, _ in enumerate(ready.shots(range(300))):
        if index in (50, 299):
            used.append(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                / (1024 if sys.platform == "linux" else 2**20)
            )
    print(used)
    assert used[1] - used[0] < 16, "megabytes"


def test_stills_grow_from_the_picture_on(dream, photograph):
    settings = dream("dream=still", "source=photograph", f"source.path='{photograph}'")
    found = made(settings).astype(int)
    source = images.read_image(photograph)
    assert found.shape[1:] == (48, 64, 3)
    assert np.abs(found[0] - to_bytes(motion.resized(source, (48, 64)))[0].numpy()).max() == 0
    away = np.abs(found - found[0]).mean((1, 2, 3))
    assert (np.diff(away) > 0).all(), "it only grows"
    assert np.abs(np.diff(found, axis=0)).mean((1, 2, 3)).max() < 2 * away[-1] / 17 + 1, "evenly"


def test_breathing_closes(dream, photograph):
    settings = dream(
        "dream=breathe",
        "dream.amount.periods=2",
        "source=photograph",
        f"source.path='{photograph}'",
    )
    found = made(settings).astype(int)
    away = np.abs(found - found[0]).mean((1, 2, 3))
    assert away[9] == 0
    assert np.array_equal(found[1], found[17])
    assert away[4] > 1


def test_stills_stand_for_themselves_and_dives_do_not(tmp_path, dream):
    settings = dream("dream=still", "source.contrast=0.5")
    run.render(settings, tmp_path / "whole")
    for k in (1, 2):
        run.render(settings | {"render": {"shard": f"{k}/2"}}, tmp_path / f"part{k}")
    run.join([tmp_path / "part1", tmp_path / "part2"], tmp_path / "joined")
    assert (tmp_path / "joined/film.mp4").read_bytes() == (tmp_path / "whole/film.mp4").read_bytes()
    with pytest.raises(RequestError, match="frames of this dream follow from each other"):
        run.render(dream("dream=dive") | {"render": {"shard": "1/2"}}, tmp_path / "dive")


def test_over_a_film_the_dream_goes_along(tmp_path, dream, footage):
    settings = dream(
        "dream=over",
        "source=film",
        f"source.path='{footage}'",
        "film.fps=null",
        "film.duration=null",
        "film.size=null",
    )
    path = run.render(settings, tmp_path / "over")
    film = decode(path, 64, 72).astype(int)
    assert film.shape == (8, 72, 64, 3)
    assert run.read_run(tmp_path / "over").store.film.fps == 4
    plain = decode(footage, 64, 72).astype(int)
    assert 2 < np.abs(film - plain).mean() < 60
    with pytest.raises(RequestError, match="dream=over needs a film to dream over, not static"):
        stage(dream("dream=over", "film.fps=6", "film.duration=1"))
    with pytest.raises(RequestError, match="say how fast and how long"):
        stage(dream("dream=over", "film.fps=null"))


def test_a_detail_is_carried_where_things_go():
    drawn = np.random.RandomState(5).randint(0, 255, (18, 24, 3), np.uint8)
    pattern = from_bytes(
        np.asarray(Image.fromarray(drawn).resize((192, 144), Image.Resampling.BICUBIC))
    )
    before, now = pattern[:, :, 8:136, 16:176], pattern[:, :, 8:136, 10:170]  # six to the right
    detail = torch.zeros(1, 3, 128, 160)
    detail[:, :, 60:70, 70:80] = 1
    found = warp_detail(detail, before, now)
    assert float(found[:, :, 62:68, 78:84].mean()) > 0.9
    assert float(found[:, :, 62:68, 70:74].mean()) < 0.1
    cut = warp_detail(torch.ones_like(detail), before, pattern.flip(2, 3)[:, :, 8:136, 10:170])
    assert float(cut.mean()) < 0.6, "after a cut little is carried"


def test_footage_is_played_at_any_rate(footage, tmp_path):
    played = VideoSource(str(footage)).played(None, 8)
    assert played.size == (72, 64)
    twice = [played.picture(index) for index in range(20)]
    assert torch.equal(twice[0], twice[1])
    assert torch.equal(twice[14], twice[19]), "at the end the last one stays"
    assert not torch.equal(twice[1], twice[2])
    assert torch.equal(played.picture(5), twice[5]), "also where it is asked backwards"
    assert torch.equal(VideoSource(str(footage)).open(None).picture(3), twice[14]), "its last frame"
    assert torch.equal(VideoSource(str(footage), at=0).open(None).picture(3), twice[0])


def test_films_of_faces_are_dreamed_upon(tmp_path, dream):
    """The folder of a decayed face is a source, and so is its last frame."""
    face = config(
        "generator=toy",
        "engine=torch",
        "pacing=units",
        "film.size=48",
        "film.fps=6",
        "film.duration=1",
    )
    run.render(face, tmp_path / "face")
    found = made(
        dream(
            "dream=dive", "source=film", f"source.path='{tmp_path / 'face'}'", "film.duration=0.5"
        )
    )
    assert np.abs(found[0].astype(int) - decode(tmp_path / "face/film.mp4", 48)[-1]).max() <= 1
    settings = dream(
        "dream=still", "source=face", "generator@source.generator=toy", "film.duration=0.5"
    )
    assert made(settings).shape == (3, 48, 48, 3)


def test_everything_that_can_die_can_die_while_it_dreams(tmp_path, dream):
    """Every operator, at a size that is not the network's own; and synapses."""
    for option in group_options("operator"):
        found = made(
            dream(
                "dream=dive",
                "schedule=linear",
                f"operator={option.name}",
                "film.duration=1",
                "film.size=64",
            )
        )
        assert found.shape == (6, 64, 64, 3), option.name
    found = [
        made(dream("dream=dive", f"schedule={when}", "units=weights", "film.duration=1"))
        for when in ("never", "linear")
    ]
    assert np.array_equal(found[0][0], found[1][0])
    assert not np.array_equal(found[0][3], found[1][3])


def test_a_dreamer_that_is_gone_leaves_what_it_is_fed(dream):
    settings = dream(
        "dream=dive",
        "schedule=linear",
        "schedule.hold=[0,0.3]",
        "dream.feed=1",
        "source.contrast=0.8",
    )
    found, source = made(settings), StaticNoise(contrast=0.8).open(48)
    assert np.abs(found[-1].astype(int) - to_bytes(source.picture(17))[0].numpy()).max() <= 1
    assert np.abs(found[3].astype(int) - to_bytes(source.picture(3))[0].numpy()).max() > 3


def test_the_map_shows_who_hears_what(dream):
    ready = stage(dream("dream=dive", "schedule=linear", "film.layout=diptych"))
    heard = [levels for _, levels in ready.shots(range(18))]
    assert all(levels.shape == ready.layout.reference.shape for levels in heard)
    assert np.abs(heard[0] - heard[8]).max() > 0
    assert heard[-1].max() == 0


def test_a_dream_comes_again_from_its_plan(tmp_path, dream):
    path = run.render(dream("dream=dive", "schedule=linear", "ordering.seed=4"), tmp_path / "one")
    recipe = run.read_run(tmp_path / "one").config
    again = run.render(
        {**recipe, "render": None, "plan": str(tmp_path / "one/plan.npz")}, tmp_path / "two"
    )
    assert again.read_bytes() == path.read_bytes()


def test_another_picture_is_another_film(tmp_path, dream, photograph):
    """Of a path alone nobody knows what lies there."""
    settings = dream(
        "dream=still", "source=photograph", f"source.path='{photograph}'", "film.duration=1"
    )
    keys = []
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 48), colour).save(photograph)
        keys.append(run.recipes.key(dreams.prepare(settings).plan))
    assert keys[0] != keys[1]
    assert str(photograph) not in run.segment_store(dreams.prepare(settings).plan, tmp_path).comment


def test_sums_of_objectives_and_masks(dream, tmp_path, photograph):
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), 32, 1).repeat(8, 0)).save(tmp_path / "mask.png")
    more = [
        "+objective@objectives.second=class",
        "objectives.second.name=2",
        "objectives.second.weight=-0.5",
    ]
    settings = (
        "dream=still",
        "source=photograph",
        f"source.path='{photograph}'",
        "film.duration=1",
    )
    alone, both = made(dream(*settings)), made(dream(*settings, *more))
    assert not np.array_equal(alone[-1], both[-1])
    masked = made(dream(*settings, f"ascent.mask='{tmp_path / 'mask.png'}'")).astype(int)
    changed = np.abs(masked[-1] - masked[0]).mean((0, 2))
    assert changed[:24].max() < 1
    assert changed[40:].mean() > 1
    half = dreams.prepare(dream(*settings, *more)).stage.dreamer
    sizes = [float(half.way(0).balanced(half.scenery.picture(0)).parts[k][0]) for k in (0, 1)]
    assert sizes[0] > 0 > sizes[1]


def test_ladders_give_every_layer_its_turn(dream):
    classifier = dreams.prepare(dream("film.duration=1")).stage.dreamer.classifier
    ladder = LayerSequence(["features.3.*", "features.6.*", "features.9.*"], blend=0.5)
    turns = [
        [(one.layers, round(one.weight, 3)) for one in ladder.at(classifier, index, 12)]
        for index in range(12)
    ]
    assert turns[0] == turns[2] == [("features.3.*", 1.0)]
    assert turns[3] == [("features.3.*", 0.5), ("features.6.*", 0.5)]
    assert turns[11] == [("features.9.*", 1.0)]
    assert len(LayerSequence(frames=2).at(classifier, 100, 200)) == 1
    assert [one.layers for one in LayerSequence().at(classifier, -5, 100)] == [classifier.ladder[0]]


def test_motions():
    picture = torch.zeros(1, 3, 40, 80)
    picture[:, :, 10:14, 50:54] = 1

    def where(moved):
        found = moved[0, 0].clamp(min=0) / moved[0, 0].clamp(min=0).sum()
        down, across = (torch.arange(size) for size in found.shape)
        return float((found.sum(1) * down).sum()), float((found.sum(0) * across).sum())

    assert where(picture) == pytest.approx((11.5, 51.5), abs=0.1)
    assert where(motion.Motion(drift=(0.25, 0.5))(picture, 0.5)) == pytest.approx(
        (21.5, 56.5), abs=0.3
    )
    assert where(motion.Motion(zoom=1.5)(picture, 1)) == pytest.approx(
        (19.5 - 12, 39.5 + 18), abs=0.3
    )
    turned = motion.Motion(rotation=90)(
        picture, 1
    )  # what was at its right is above, and once more in the mirror at its left
    assert where(turned[:, :, :, 20:60]) == pytest.approx((19.5 - 12, 19.5 - 8), abs=0.3)
    assert motion.Motion()(picture, 1) is picture
    half = motion.Motion(zoom=1.44, rotation=10)
    assert torch.allclose(half(half(picture, 0.5), 0.5), half(picture, 1), atol=0.25)


def test_what_is_too_much_becomes_less():
    loud = torch.from_numpy(np.random.RandomState(0).rand(1, 3, 64, 64)).float() * 2 - 1
    blots = loud * 0.1 + torch.linspace(-0.9, 0.9, 64)
    assert torch.equal(motion.stabilise(loud, 0.3, 0.0), loud)
    for picture in (loud, blots, blots * torch.tensor([1.0, -1, 0]).view(1, 3, 1, 1)):
        found = picture
        for _ in range(200):
            found = motion.stabilise(found, 0.3, 0.1)
        assert float(found.std()) <= 0.31
    quiet = 0.1 * loud
    assert torch.allclose(motion.stabilise(quiet, 0.3, 0.5), quiet, atol=1e-6)


@pytest.mark.parametrize(
    "group",
    [
        group
        for group in DREAMS
        if group
        not in ("experiment", "classifier", "source", "ordering", "operator", "film", "cluster")
    ],
)
def test_every_option_of_every_group_dreams(tmp_path, dream, group, photograph, footage):
    for option in group_options(group, "dream"):
        more = {
            "over": ["source=film", f"source.path='{footage}'"],
            "guide": [f"objective.path='{photograph}'"],
            "class": ["objective.name=1"],
            "openvino": [],
        }.get(option.name, [])
        settings = dream(
            f"{group}={option.name}", *more, "film.fps=4", "film.duration=0.5", "film.size=48"
        )
        if option.name == "openvino":
            with pytest.raises(RequestError, match="config key 'engine' must be a"):
                stage(settings)
            continue
        assert made(settings).shape[0] == 2, option.name


def test_the_last_dream(dream):
    found = made(dream("experiment=last_dream", "film.duration=2", "objective.layers=features.9.*"))
    assert len(found) == 12


def test_wrong_requests_get_one_sentence(tmp_path, dream):
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
        "source=photograph needs one: say source.path=PICTURE": ["source=photograph"],
        "a dream has none, got 2x2": ["film.wall=2x2"],
        "take pacing=units": ["pacing=perceptual", "schedule=linear"],
        "dream.drift must be two numbers": ["dream.drift=[1]"],
        "source.ratio must be two whole numbers": ["source.ratio=[1,0]"],
        "source.colour must be a colour": ["source=colour", "source.colour=mud"],
        "no such file|there is no file|no file": ["classifier.weights=nowhere.pth"],
    }
    for sentence, settings in wrong.items():
        with pytest.raises(Exception, match=re.compile(sentence, re.IGNORECASE)) as caught:
            stage(dream(*settings))
        assert len(str(caught.value).splitlines()) == 1
    nested = dream(
        "source=face",
        "generator@source.generator=module",
        "source.generator.factory=some.where:make",
    )
    with pytest.raises(RequestError, match="asks to run code, 'some.where:make'"):
        configs.require_code_consent(nested, ["generator.factory=some.where:make"])
    configs.require_code_consent(nested, ["source.generator.factory=some.where:make"])


def test_on_the_command_line(tmp_path, weights, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["forgetting"])
    monkeypatch.setattr("forgetting.cli.console.err._width", 1000)

    def said(*arguments):
        result = CliRunner().invoke(app, ["dream", *arguments])
        return result.exit_code, " ".join(result.output.split())

    code, told = said("--help")
    assert code == 0
    assert all(
        word in told
        for word in (
            "5 MB) (default)",
            "dream.zoom=1.8",
            "experiment=last_dream",
            "objective=class",
        )
    )
    assert "experiment=darkness" not in told
    assert said("experiment=quick") == (
        2,
        "forgetting: experiment=quick is none for forgetting dream; say: forgetting render experiment=quick",
    )
    listed = CliRunner().invoke(app, ["layers", f"classifier.weights={weights}"])
    assert listed.exit_code == 0
    assert re.search(r"features.12.expand3x3 +\d+ x \d+ +256", listed.output)
    code, told = said("dream.zom=2")
    assert code == 2
    assert "did you mean 'dream.zoom'?" in told
    small = [
        f"classifier.weights={weights}",
        "film.size=48",
        "film.fps=4",
        "film.duration=1",
        "film.preset=ultrafast",
        "measure.names=plain",
    ]
    code, told = said(
        "-m",
        *small,
        "source.seed=1,2",
        "ascent.iterations=1",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    assert code == 0, told
    runs = finished_runs(tmp_path / "sweep")
    assert [one.face for one in runs] == ["seed 1", "seed 2"]
    comparison.compare(tmp_path / "sweep", "half_life.structure")
    page = site.make_gallery(tmp_path / "sweep", None)
    assert "forgetting dream plan=plan.npz" in next(page.parent.glob("film/*.html")).read_text(
        encoding="utf-8"
    )
    assert "seed 2" in page.parent.joinpath("runs.js").read_text(encoding="utf-8")


def test_sheets_of_films_in_which_nobody_dies_tell_the_time(dream, monkeypatch):
    told = []
    monkeypatch.setattr(
        contact_sheet.ImageDraw.ImageDraw,
        "text",
        lambda self, place, text, *rest, **more: told.append(text),
    )
    plan = dreams.prepare(dream()).plan
    contact_sheet.draw_sheet({index: np.zeros((8, 8, 3), np.uint8) for index in (0, 9)}, plan, 6)
    assert told == ["0.0 s", "1.5 s"]
