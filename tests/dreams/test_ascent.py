"""Dreaming: objectives, and the way up."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from forgetting.ablation.edits import AblationTask, Target, traceable_edit
from forgetting.ablation.operators.removal import Zero
from forgetting.dreams.ascent import GradientAscent, ObjectiveGradient
from forgetting.dreams.objectives import (
    ChannelMean,
    ClassLogit,
    Direction,
    Energy,
    Guide,
    SingleUnit,
)
from forgetting.errors import RequestError
from forgetting.models.classifier import Classifier, Preparation
from forgetting.models.units import Units

QUICK = {"iterations": 3, "octaves": 2, "jitter": 4}


@pytest.fixture
def classifier():
    """Strokes, then what is made of them, at a quarter of the size; what a unit sees is 11 pixels wide."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return Classifier(
        network,
        32,
        Preparation((127.5,) * 3, (127.5,) * 3),
        ["cat", "dog", "fly", "eel", "ant"],
        least=8,
    )


@pytest.fixture
def picture():
    return torch.from_numpy(np.random.RandomState(3).rand(1, 3, 96, 80)).float() - 0.5


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "guide.png"
    Image.fromarray(np.random.RandomState(4).randint(0, 255, (40, 60, 3), np.uint8)).save(path)
    return str(path)


def objectives(photograph):
    return [
        Energy("3"), Energy(["0:1-2", "3"], -0.5), ChannelMean("3:4"), Direction("3", 7), ClassLogit("EEL"), ClassLogit(2),
        Guide(photograph, "3"),
    ]  # fmt: skip


def way(classifier, *objectives, **settings):
    return ObjectiveGradient(
        classifier, [(one.weight, one.bind(classifier)) for one in objectives], **settings
    )


def gradient(classifier, *objectives, **settings):
    return way(classifier, *objectives, **settings).gradient


def test_energy_climbs_as_autograd_says(classifier, picture):
    """Of a plain forward pass, written down once more: the mean over units, summed over places, each worth four pixels."""
    plain = picture.clone().requires_grad_()
    heard = classifier.network[:5](plain)
    (expected,) = torch.autograd.grad(heard.square().mean(1).sum() * 4, plain)
    assert torch.allclose(gradient(classifier, Energy("3"))(picture), expected, atol=1e-7)
    assert expected.abs().max() > 1e-4


def test_sums_are_signed_and_weighed(classifier, picture):
    up, down = (
        gradient(classifier, Energy("3"))(picture),
        gradient(classifier, Energy("3", -1.0))(picture),
    )
    assert torch.equal(up, -down)
    both = gradient(classifier, Energy("3", 2.0), ChannelMean("0:1", -0.5))(picture)
    assert torch.allclose(
        both, 2 * up - 0.5 * gradient(classifier, ChannelMean("0:1"))(picture), atol=1e-6
    )


def loudest(classifier, picture, at):
    """Who speaks most at a place: of who is silent there, nobody knows which way is up."""
    x = classifier.heard(picture, ["3"])["3"]
    return f"3:{int(x[0, :, int(at[1] * x.shape[2]), int(at[0] * x.shape[3])].argmax())}"


def test_every_objective_grows(classifier, picture, photograph):
    for one in [
        *objectives(photograph),
        SingleUnit(loudest(classifier, picture, (0.25, 0.5)), (0.25, 0.5)),
    ]:
        up = way(classifier, one, tile=64, overlap=32)
        with torch.no_grad():
            climbed = GradientAscent(**QUICK, evenness=0, bands=0, colour=0)(up, picture)
            assert up.value(climbed) > up.value(picture), one


def test_a_unit_at_one_place_is_heard_there_alone(classifier, picture):
    found = (
        gradient(classifier, SingleUnit(loudest(classifier, picture, (0.25, 0.5)), (0.25, 0.5)))(
            picture
        )
        .abs()
        .sum(1)[0]
    )
    rows, columns = found.nonzero().T
    assert 40 <= rows.min() <= rows.max() < 58
    assert 12 <= columns.min() <= columns.max() < 30


def test_tiles_are_invisible_away_from_borders(classifier, picture, photograph):
    """Where the overlap is as wide as what a unit sees, everywhere."""
    for one in (Energy("3"), ChannelMean("0:1"), Direction("3", 7), Guide(photograph, "3")):
        whole = gradient(classifier, one)(picture)
        tiled = gradient(classifier, one, tile=32, overlap=32)(picture)
        assert torch.allclose(tiled, whole, atol=1e-6 * float(whole.abs().max()) + 1e-9), one
    rough = gradient(classifier, Energy("3"), tile=32, overlap=0)(picture)
    whole = gradient(classifier, Energy("3"))(picture)
    assert not torch.allclose(rough, whole, atol=1e-4)
    assert torch.allclose(rough[:, :, 8:24, 8:24], whole[:, :, 8:24, 8:24], atol=1e-6)


def test_lower_precision_climbs_the_same_way(classifier, picture):
    """A step is a few levels of 255: what bfloat16 loses is far below that."""
    exact = gradient(classifier, Energy("3"))(picture).flatten()
    rough = gradient(classifier, Energy("3"), precision=torch.bfloat16)(picture).flatten()
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert float(F.cosine_similarity(exact, rough, dim=0)) > 0.99


def test_a_dream_is_a_function_of_its_seed_and_index(classifier, picture):
    ascent = GradientAscent(**QUICK)
    one = ascent(way(classifier, Energy("3")), picture, 5)
    assert torch.equal(one, ascent(way(classifier, Energy("3")), picture, 5))
    assert not torch.equal(one, ascent(way(classifier, Energy("3")), picture, 6))
    assert not torch.equal(
        one, GradientAscent(**QUICK, seed=1)(way(classifier, Energy("3")), picture, 5)
    )
    assert one.shape == picture.shape
    assert -1 <= one.min() <= one.max() <= 1


def test_a_step_goes_as_far_as_it_says(classifier, picture):
    for settings in (
        {"bands": 0, "evenness": 0.0, "colour": 0.0},
        {"bands": 3, "evenness": 1.0, "colour": 1.0},
    ):
        moved = (
            GradientAscent(iterations=1, octaves=1, jitter=0, step=2.0, **settings)(
                way(classifier, Energy("3")), picture
            )
            - picture
        )
        assert float(moved.abs().mean()) * 127.5 == pytest.approx(2.0, rel=0.05)
    still = GradientAscent(iterations=0, octaves=3)(way(classifier, Energy("3")), picture)
    assert torch.allclose(still, picture, atol=1e-6)


def test_bands_count_alike(classifier, picture):
    """What a stroke adds has more of the coarse where bands are evened."""

    def coarse(bands):
        moved = (
            GradientAscent(iterations=1, octaves=1, jitter=0, bands=bands, evenness=0, colour=0)(
                way(classifier, Energy("0")), picture
            )
            - picture
        )
        return float(F.avg_pool2d(moved, 8).square().mean() / moved.square().mean())

    assert coarse(4) > 2 * coarse(0)


def test_evenness_lets_every_place_grow(classifier):
    lopsided = torch.zeros(1, 3, 96, 96)
    lopsided[:, :, :, :32] = (
        torch.from_numpy(np.random.RandomState(1).rand(1, 3, 96, 32)).float() * 2 - 1
    )
    lopsided[:, :, :, 32:] += (
        torch.from_numpy(np.random.RandomState(2).rand(1, 3, 96, 64)).float() * 0.05
    )

    def right(evenness):
        settings = {"iterations": 1, "octaves": 1, "jitter": 0, "bands": 0, "colour": 0}
        moved = (
            GradientAscent(**settings, evenness=evenness)(way(classifier, Energy("3")), lopsided)
            - lopsided
        )
        return float(moved[:, :, :, 64:].abs().mean() / moved.abs().mean())

    assert right(1.0) > 1.15 * right(0.0)


def test_colours_go_together(classifier, picture):
    def grey(colour):
        settings = {"iterations": 1, "octaves": 1, "jitter": 0, "bands": 0, "evenness": 0}
        moved = (
            GradientAscent(**settings, colour=colour)(way(classifier, Energy("3")), picture)
            - picture
        )
        return float(moved.mean(1).square().mean() / moved.square().mean())

    assert grey(0.0) < grey(0.5) < grey(1.0)


def test_octaves_that_nobody_could_see_are_left_out(classifier):
    small = torch.zeros(1, 3, 10, 12)
    assert (
        GradientAscent(iterations=1, octaves=6, jitter=1)(way(classifier, Energy("0")), small).shape
        == small.shape
    )
    with pytest.raises(RequestError, match="a picture of 6 x 5 is too small"):
        GradientAscent(iterations=1)(way(classifier, Energy("0")), torch.zeros(1, 3, 5, 6))


def test_units_that_are_gone_are_not_dreamed_of(classifier, picture):
    units = Units(classifier.layers)
    targets = AblationTask(
        classifier, classifier.mapping(torch.zeros(1, classifier.z_dim)), (Target(Zero(), units),)
    ).turned()
    edit = traceable_edit(targets, units.select("3:4").float()[None])
    assert gradient(classifier, ChannelMean("3:4"), edit=edit)(picture).abs().max() == 0
    alive = gradient(classifier, ChannelMean("3:5"), edit=edit)(picture)
    assert torch.allclose(alive, gradient(classifier, ChannelMean("3:5"))(picture), atol=1e-7)


def test_wrong_requests_get_one_sentence(classifier, tmp_path, photograph):
    with pytest.raises(RequestError, match=r"no layer 'b64\.\*'"):
        Energy("b64.*").bind(classifier)
    with pytest.raises(RequestError, match="no class 'cow'.*cat, dog"):
        ClassLogit("cow").bind(classifier)
    with pytest.raises(RequestError, match="objective.at must be two numbers"):
        SingleUnit(at=(0.5,))
    with pytest.raises(RequestError, match="say objective.path=PICTURE"):
        Guide()
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(RequestError, match=r"no.png is no picture that can be opened"):
        Guide(str(tmp_path / "no.png"), "3").bind(classifier)
    with pytest.raises(RequestError, match="must be multiples of 32, got 100 and 64"):
        GradientAscent(tile=100)
    with pytest.raises(RequestError, match="ascent.evenness must lie between 0"):
        GradientAscent(evenness=2.0)
