"""Files of classifiers of other people: Places, the first Inception, and what is none of them."""

import pickle
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from classifier_layouts import (
    caffe_port,
    places365_checkpoint,
    python2_bytes,
    random_network,
    restructured,
    tensorflow_port,
)
from forgetting.dreams.objectives import ClassLogit
from forgetting.errors import CheckpointError, RequestError
from forgetting.models.classifier_file import (
    ClassifierFile,
    as_classifier,
    inspect_classifiers,
    read_labels,
    recognise_file,
)
from forgetting.models.classifier_networks import CLASSIFIERS
from forgetting.models.classifier_zoo import NamedClassifier

PICTURE = torch.from_numpy(np.random.RandomState(3).rand(1, 3, 96, 64)).float() * 2 - 1


def probabilities(network: nn.Module, mean, scale, bgr=False):
    """Return the probabilities of the picture, prepared by hand."""
    prepared = PICTURE * 127.5 + 127.5 - torch.tensor(mean).view(1, 3, 1, 1)
    if bgr:
        prepared = (PICTURE.flip(1) * 127.5 + 127.5) - torch.tensor(mean).view(1, 3, 1, 1)
    return network(prepared / torch.tensor(scale).view(1, 3, 1, 1)).softmax(1)


@pytest.mark.parametrize("written", ["zip", "legacy", "python2"])
def test_a_resnet_of_places_is_recognised_and_classifies(tmp_path, written):
    network = random_network("resnet18", 365)
    checkpoint = places365_checkpoint(network, "resnet18")
    path = tmp_path / "resnet18_places365.pth.tar"
    if written == "python2":
        path.write_bytes(python2_bytes(checkpoint))
    else:
        torch.save(checkpoint, path, _use_new_zipfile_serialization=written == "zip")
    found = recognise_file(path)
    assert (found.name, found.classes) == ("resnet18", 365)
    assert found.description() == "ResNet18 for 365 classes, as those trained on Places365 have"
    (line,) = inspect_classifiers(path)
    assert line == ("classifier", f"{found.description()}; dreams with classifier=file")
    classifier = ClassifierFile(str(path)).load()
    expected = probabilities(network, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert torch.allclose(classifier.probabilities(PICTURE), expected, atol=1e-5)
    assert expected.max() > 0.01


@pytest.mark.slow
def test_a_resnet50_of_places_is_recognised(tmp_path):
    path = tmp_path / "resnet50_places365.pth.tar"
    torch.save(places365_checkpoint(CLASSIFIERS["resnet50"].build(365), "resnet50"), path)
    assert recognise_file(path).name == "resnet50"


PLACES = ([105.49, 113.74, 116.06], [1.0, 1.0, 1.0], True)
IMAGENET = ([104.0, 117.0, 123.0], [1.0, 1.0, 1.0], True)
GREY = ([117.0] * 3, [1.0] * 3)


@pytest.mark.parametrize(
    ("name", "classes", "layout", "preparation"),
    [
        ("googlenet-caffe-4d", 365, caffe_port, PLACES),
        ("googlenet-caffe-4d", 205, caffe_port, PLACES),
        ("googlenet-caffe-4d", 365, restructured, PLACES),
        ("googlenet-caffe", 365, caffe_port, PLACES),
        ("googlenet-caffe", 1000, caffe_port, IMAGENET),
        ("inception5h", 1008, tensorflow_port, GREY),
        ("inception5h", 1008, restructured, GREY),
    ],
)
def test_ports_of_the_first_inception_are_recognised(tmp_path, name, classes, layout, preparation):
    network = random_network(name, classes)
    path = tmp_path / "network.pth"
    torch.save(layout(network.state_dict()), path)
    found = recognise_file(path)
    assert (found.name, found.classes) == (name, classes)
    classifier = ClassifierFile(str(path)).load()
    expected = probabilities(network, *preparation)
    assert torch.allclose(classifier.probabilities(PICTURE), expected, atol=1e-5)
    assert len(classifier.classes) == classes
    assert classifier.layers[-1].name == ("aux2.loss_classifier" if "4d" in name else "fc")


def test_the_first_inception_is_that_of_the_paper():
    """Its table 1 counts 6.8 million weights and maps of 28, 14 and 7; biases are not counted."""
    network = random_network("googlenet-caffe", 1000)
    assert sum(weight.numel() for weight in network.parameters()) == 6_998_552
    classifier = as_classifier("googlenet-caffe", network)
    sizes = {layer.name: layer.size[0] for layer in classifier.layers}
    assert [sizes[f"mixed{name}.conv_3x3"] for name in ("3a", "4a", "5a")] == [28, 14, 7]
    assert classifier.classes[483] == "castle"


def test_a_dream_can_increase_the_classes_of_a_file(tmp_path):
    path, labels = tmp_path / "net.safetensors", tmp_path / "categories.txt"
    save_file(random_network("inception5h", 1008).state_dict(), path)
    labels.write_text("\n".join(["dummy", "kit_fox", *(f"class {n}" for n in range(2, 1001))]))
    classifier = ClassifierFile(str(path), labels=str(labels)).load()
    assert classifier.classes[:2] == ("dummy", "kit fox")
    assert classifier.classes[1007] == "1007"
    objective = ClassLogit("Kit fox").bind(classifier)
    picture = PICTURE.clone().requires_grad_()
    activations = classifier.activations(picture, objective.layers)
    (gradient,) = torch.autograd.grad(objective.value(activations), picture)
    assert gradient.abs().max() > 0
    without = ClassifierFile(str(path)).load()
    with pytest.raises(RequestError, match=r"no class 'castle'.*1008 classes have no names"):
        ClassLogit("castle").bind(without)


def test_lists_of_places_are_read(tmp_path):
    path = tmp_path / "categories_places365.txt"
    path.write_text("/a/airfield 0\n/a/apartment_building/outdoor 2\n/a/airplane_cabin 1\n\n")
    assert read_labels(path) == ["airfield", "airplane cabin", "apartment building/outdoor"]
    path.write_text("kit fox\nEnglish setter\n")
    assert read_labels(path) == ["kit fox", "English setter"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no list of names"),
        (b"a\nb\x1b[31m\n", "is no list of names"),
        (b"\xff\xfe", "cannot be read"),
        (b"/a/airfield 0\n/a/alley 2\n", "does not number its 2 classes from 0 on"),
        (b"a\n" * (1 << 20), "is no list of names"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path, content, message):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        read_labels(path)


def test_labels_that_do_not_fit_or_are_no_file_are_refused(tmp_path, classifier_weights):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(RequestError, match="names 2 classes, and the network has 3"):
        ClassifierFile(str(classifier_weights), str(tmp_path / "labels.txt")).load()
    with pytest.raises(RequestError, match=r"cannot be read|not a regular file"):
        read_labels(tmp_path)


def test_what_is_not_recognised_gets_a_sentence(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(RequestError, match=r"set classifier.path=resnet18_places365.pth.tar"):
        ClassifierFile()
    torch.save({f"layer.{n}": torch.zeros(2) for n in range(4)}, path)
    with pytest.raises(CheckpointError, match=r"no network whose weights.*ResNet18"):
        ClassifierFile(str(path)).load()
    state = random_network("squeezenet-imagenet", 3).state_dict()
    torch.save({**state, "attention.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no network whose weights"):
        ClassifierFile(str(path)).load()
    torch.save({"a": state, "b": state}, path)
    with pytest.raises(CheckpointError, match=r"several networks; set classifier.network=NAME"):
        ClassifierFile(str(path)).load()
    assert ClassifierFile(str(path), network="b").load().classes == ("0", "1", "2")
    torch.save({"arch": "wideresnet18", "state_dict": state}, path)
    with pytest.raises(CheckpointError, match="wide ResNet"):
        ClassifierFile(str(path)).load()
    state["classifier.1.bias"] = torch.tensor([0.0, float("nan"), 0.0])
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="infinite or no number"):
        ClassifierFile(str(path)).load()


@pytest.mark.parametrize(("networks", "tensors"), [(20_000, 3), (1, 60_000), (1000, 60)])
def test_files_of_very_many_networks_or_tensors_are_refused_soon(tmp_path, networks, tensors):
    path, value = tmp_path / "many.pth", torch.zeros(1)
    state = {f"conv1_7x7_s2.{n}": value for n in range(tensors)}
    torch.save({f"net{n}": {**state} for n in range(networks)}, path)
    started = time.process_time()
    with pytest.raises(CheckpointError) as refusal:
        recognise_file(path)
    assert time.process_time() - started < 5
    assert len(str(refusal.value)) < len(str(path)) + 500


def test_a_network_without_classes_is_not_recognised(tmp_path):
    state = dict(random_network("squeezenet-imagenet", 3).state_dict())
    for name in ("classifier.1.weight", "classifier.1.bias"):
        state[name] = state[name][:0]
    torch.save(state, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="no network whose weights"):
        recognise_file(tmp_path / "none.pth")


def test_nothing_in_a_file_is_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path / "harm").touch, ()

    path = tmp_path / "resnet18_places365.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": Harm()}))
    with pytest.raises(CheckpointError, match="asks for"):
        ClassifierFile(str(path)).load()
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\n>\n\x05input\x12\x0bPlaceholder*\x0b", "a TensorFlow graph.*inception5h.pth"),
        (b"\n\xf1\x93\x02\n\x08conv2d0_w\x12\x05Const", "a TensorFlow graph.*inception5h.pth"),
        (b"\x08\x01\x12\xc2\x8e\x03\n\x91", "a TensorFlow graph"),
        (b"\n\x09GoogleNet\x12\x7f\x0a", "a Caffe network.*googlenet_places365.pth"),
        (b"\n\x13GoogleNet-Places365\xa2\x06\x55", "a Caffe network.*googlenet_places365.pth"),
        (b"\x08\x08\x12\x07pytorch", "an ONNX graph"),
    ],
)
def test_graphs_of_other_programs_get_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "tensorflow_inception_graph.pb"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        ClassifierFile(str(path)).load()


def test_a_network_without_published_weights_names_the_setting():
    with pytest.raises(RequestError, match="set classifier=file classifier.path=FILE"):
        NamedClassifier("inception5h")


def test_the_googlenet_of_torchvision_gets_pictures_as_torchvision_prepares_them():
    """Its weights expect colours in [-1, 1]; those that users train expect torchvision's mean."""
    from torchvision.models import GoogLeNet_Weights, get_model

    spec, picture = CLASSIFIERS["googlenet"], PICTURE
    assert GoogLeNet_Weights.IMAGENET1K_V1.transforms().mean == [0.485, 0.456, 0.406]
    reference = get_model("googlenet", weights=None, transform_input=True, init_weights=False)
    expected = reference._transform_input(spec.preparation.normalise(picture))
    assert torch.allclose(spec.preparations[1000].normalise(picture), expected, atol=1e-5)
