"""Gradient ascent: the gradients of all objectives, and the steps along them."""

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
    """Two convolutions, the second at half the size; its units see about 11 pixels a side."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return Classifier(
        network,
        32,
        Preparation((127.5,) * 3, (127.5,) * 3),
        ["cat", "dog", "fly", "eel", "ant"],
        min_size=8,
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
        Energy("3"),
        Energy(["0:1-2", "3"], -0.5),
        ChannelMean("3:4"),
        Direction("3", 7),
        ClassLogit("EEL"),
        ClassLogit(2),
        Guide(photograph, "3"),
    ]


def objective_gradient(classifier, *objectives, **settings):
    weighted = [(objective.weight, objective.bind(classifier)) for objective in objectives]
    return ObjectiveGradient(classifier, weighted, **settings)


def gradient(classifier, *objectives, **settings):
    return objective_gradient(classifier, *objectives, **settings).gradient


def test_the_gradient_of_energy_is_that_of_autograd(classifier, picture):
    """Of a mean over units, summed over positions that stand for four pixels each."""
    plain = picture.clone().requires_grad_()
    activations = classifier.network[:5](plain)
    (expected,) = torch.autograd.grad(activations.square().mean(1).sum() * 4, plain)
    assert torch.allclose(gradient(classifier, Energy("3"))(picture), expected, atol=1e-7)
    assert expected.abs().max() > 1e-4


def test_weights_are_factors_and_have_signs(classifier, picture):
    up, down = (
        gradient(classifier, Energy("3"))(picture),
        gradient(classifier, Energy("3", -1.0))(picture),
    )
    assert torch.equal(up, -down)
    both = gradient(classifier, Energy("3", 2.0), ChannelMean("0:1", -0.5))(picture)
    assert torch.allclose(
        both, 2 * up - 0.5 * gradient(classifier, ChannelMean("0:1"))(picture), atol=1e-6
    )


def most_active(classifier, picture, at):
    """Return the most active unit at a position; an inactive one has no gradient there."""
    x = classifier.activations(picture, ["3"])["3"]
    return f"3:{int(x[0, :, int(at[1] * x.shape[2]), int(at[0] * x.shape[3])].argmax())}"


def test_the_ascent_increases_every_objective(classifier, picture, photograph):
    for objective in [
        *objectives(photograph),
        SingleUnit(most_active(classifier, picture, (0.25, 0.5)), (0.25, 0.5)),
    ]:
        gradient = objective_gradient(classifier, objective, tile=64, overlap=32)
        with torch.no_grad():
            ascent = GradientAscent(**QUICK, evenness=0, bands=0, colour=0)
            climbed = ascent.climb(gradient, picture)
            assert gradient.value(climbed) > gradient.value(picture), objective


def test_the_gradient_of_a_single_unit_is_local(classifier, picture):
    at = (0.25, 0.5)
    objective = SingleUnit(most_active(classifier, picture, at), at)
    strength = gradient(classifier, objective)(picture).abs().sum(1)[0]
    rows, columns = strength.nonzero().T
    assert 40 <= rows.min() <= rows.max() < 58
    assert 12 <= columns.min() <= columns.max() < 30


def test_tiles_are_invisible_away_from_borders(classifier, picture, photograph):
    """Where the overlap is as wide as the receptive field, they are so everywhere."""
    tested = Energy("3"), ChannelMean("0:1"), Direction("3", 7), Guide(photograph, "3")
    for objective in tested:
        whole = gradient(classifier, objective)(picture)
        tiled = gradient(classifier, objective, tile=32, overlap=32)(picture)
        tolerance = 1e-6 * float(whole.abs().max()) + 1e-9
        assert torch.allclose(tiled, whole, atol=tolerance), objective
    rough = gradient(classifier, Energy("3"), tile=32, overlap=0)(picture)
    whole = gradient(classifier, Energy("3"))(picture)
    assert not torch.allclose(rough, whole, atol=1e-4)
    assert torch.allclose(rough[:, :, 8:24, 8:24], whole[:, :, 8:24, 8:24], atol=1e-6)


def test_lower_precision_gives_nearly_the_same_direction(classifier, picture):
    """A step is a few levels of 255: the error of bfloat16 is far below that."""
    exact = gradient(classifier, Energy("3"))(picture).flatten()
    rough = gradient(classifier, Energy("3"), precision=torch.bfloat16)(picture).flatten()
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert float(F.cosine_similarity(exact, rough, dim=0)) > 0.99


def test_a_dream_depends_on_its_seed_and_index_alone(classifier, picture):
    energy = objective_gradient(classifier, Energy("3"))
    ascent, other = GradientAscent(**QUICK), GradientAscent(**QUICK, seed=1)
    dreamed = ascent.climb(energy, picture, 5)
    assert torch.equal(dreamed, ascent.climb(energy, picture, 5))
    assert not torch.equal(dreamed, ascent.climb(energy, picture, 6))
    assert not torch.equal(dreamed, other.climb(energy, picture, 5))
    assert dreamed.shape == picture.shape
    assert -1 <= dreamed.min() <= dreamed.max() <= 1


def test_the_mean_length_of_a_step(classifier, picture):
    for settings in (
        {"bands": 0, "evenness": 0.0, "colour": 0.0},
        {"bands": 3, "evenness": 1.0, "colour": 1.0},
    ):
        ascent = GradientAscent(iterations=1, octaves=1, jitter=0, step=2.0, **settings)
        moved = ascent.climb(objective_gradient(classifier, Energy("3")), picture) - picture
        assert float(moved.abs().mean()) * 127.5 == pytest.approx(2.0, rel=0.05)
    ascent = GradientAscent(iterations=0, octaves=3)
    unchanged = ascent.climb(objective_gradient(classifier, Energy("3")), picture)
    assert torch.allclose(unchanged, picture, atol=1e-6)


def test_equalised_bands_add_low_frequencies(classifier, picture):
    """The gradient of the first layer has few of them by itself."""

    def coarse(bands):
        settings = {"iterations": 1, "octaves": 1, "jitter": 0, "evenness": 0, "colour": 0}
        ascent = GradientAscent(**settings, bands=bands)
        moved = ascent.climb(objective_gradient(classifier, Energy("0")), picture) - picture
        return float(F.avg_pool2d(moved, 8).square().mean() / moved.square().mean())

    assert coarse(4) > 2 * coarse(0)


def test_evenness_changes_weak_regions_too(classifier):
    uneven = torch.zeros(1, 3, 96, 96)
    uneven[:, :, :, :32] = (
        torch.from_numpy(np.random.RandomState(1).rand(1, 3, 96, 32)).float() * 2 - 1
    )
    uneven[:, :, :, 32:] += (
        torch.from_numpy(np.random.RandomState(2).rand(1, 3, 96, 64)).float() * 0.05
    )

    def right(evenness):
        settings = {"iterations": 1, "octaves": 1, "jitter": 0, "bands": 0, "colour": 0}
        ascent = GradientAscent(**settings, evenness=evenness)
        moved = ascent.climb(objective_gradient(classifier, Energy("3")), uneven) - uneven
        return float(moved[:, :, :, 64:].abs().mean() / moved.abs().mean())

    assert right(1.0) > 1.15 * right(0.0)


def test_colours_change_together(classifier, picture):
    def grey(colour):
        settings = {"iterations": 1, "octaves": 1, "jitter": 0, "bands": 0, "evenness": 0}
        ascent = GradientAscent(**settings, colour=colour)
        moved = ascent.climb(objective_gradient(classifier, Energy("3")), picture) - picture
        return float(moved.mean(1).square().mean() / moved.square().mean())

    assert grey(0.0) < grey(0.5) < grey(1.0)


def test_octaves_that_are_too_small_are_left_out(classifier):
    small, energy = torch.zeros(1, 3, 10, 12), objective_gradient(classifier, Energy("0"))
    ascent = GradientAscent(iterations=1, octaves=6, jitter=1)
    assert ascent.climb(energy, small).shape == small.shape
    with pytest.raises(RequestError, match="a picture of 6 x 5 is too small"):
        GradientAscent(iterations=1).climb(energy, torch.zeros(1, 3, 5, 6))


def test_ablated_units_have_no_gradient(classifier, picture):
    units = Units(classifier.layers)
    ws = classifier.mapping(torch.zeros(1, classifier.z_dim))
    bound = AblationTask(classifier, ws, (Target(Zero(), units),)).bind_operators()
    edit = traceable_edit(bound, units.select("3:4").float()[None])
    assert gradient(classifier, ChannelMean("3:4"), edit=edit)(picture).abs().max() == 0
    intact = gradient(classifier, ChannelMean("3:5"), edit=edit)(picture)
    assert torch.allclose(intact, gradient(classifier, ChannelMean("3:5"))(picture), atol=1e-7)


def test_errors_of_requests(classifier, tmp_path, photograph):
    with pytest.raises(RequestError, match=r"no layer 'b64\.\*'"):
        Energy("b64.*").bind(classifier)
    with pytest.raises(RequestError, match="no class 'cow'.*cat, dog"):
        ClassLogit("cow").bind(classifier)
    with pytest.raises(RequestError, match="objective.at must be two numbers"):
        SingleUnit(at=(0.5,))
    with pytest.raises(RequestError, match="set objective.path=PICTURE"):
        Guide()
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(RequestError, match=r"no.png is no picture that can be opened"):
        Guide(str(tmp_path / "no.png"), "3").bind(classifier)
    with pytest.raises(RequestError, match="must be multiples of 32, got 100 and 64"):
        GradientAscent(tile=100)
    with pytest.raises(RequestError, match="ascent.evenness must lie between 0"):
        GradientAscent(evenness=2.0)
