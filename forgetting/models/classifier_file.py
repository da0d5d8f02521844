"""Classifiers in files of other people: recognised by names and shapes of their weights.

A file is read as data. Which network it holds, and how many classes it knows, follows from its
weights alone. The names of the classes are in no such file; they come from a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from forgetting.errors import CheckpointError, RequestError, one_line
from forgetting.files import open_regular, user_path
from forgetting.models.checkpoints import pickle_reader, pickle_records
from forgetting.models.checkpoints.network_search import find_networks
from forgetting.models.classifier import Classifier
from forgetting.models.classifier_networks import (
    CLASSIFIERS,
    IMAGENET,
    as_named,
    build_network,
    logits_weight,
    shapes,
)
from forgetting.parts import part
from forgetting.printable import listed

DATA_SETS = {205: "Places205", 365: "Places365", 401: "Places401", IMAGENET: "ImageNet"}
"""What networks of that many classes were most likely trained on."""

_LABELS = 1 << 20
"""The largest size of a list of labels in bytes."""

_NETWORKS, _TENSORS = 64, 4096
"""How many networks of a file are compared, and of how many tensors; the largest has 500."""


@dataclass(frozen=True)
class Recognised:
    """A network in a file.

    Args:
        name: of the network among :data:`CLASSIFIERS`.
        classes: their number.
        state: its weights, still in the file.
    """

    name: str
    classes: int
    state: Mapping[str, Any]

    def description(self) -> str:
        """Return what it is, for people."""
        data = DATA_SETS.get(self.classes)
        trained = f", as those trained on {data} have" if data else ""
        return f"{CLASSIFIERS[self.name].title} for {self.classes} classes{trained}"


@part("classifier/file")
@dataclass(frozen=True)
class ClassifierFile:
    """The classifier in a file, such as ``resnet18_places365.pth.tar``. Nothing is executed.

    Args:
        path: of the file.
        labels: a file with the names of the classes, see :func:`read_labels`.
        network: its name, if the file holds several.
    """

    path: str = ""
    labels: str | None = None
    network: str | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise RequestError(
                "classifier=file needs a file: set classifier.path=resnet18_places365.pth.tar"
            )

    def load(self) -> Classifier:
        """Return the classifier.

        Raises:
            CheckpointError: the file cannot be read, or it holds no network that is recognised.
        """
        path = user_path(self.path)
        recognised = recognise_file(path, self.network)
        state = recognised.state
        if not all(isinstance(tensor, Tensor) for tensor in state.values()):
            state = pickle_records.tensors(dict(state), str(path))
        return as_classifier(
            recognised.name, build_network(recognised.name, state, str(path)), self.labels
        )


def recognise_file(path: Path, network: str | None = None) -> Recognised:
    """Return the network in a file.

    Args:
        path: of the file.
        network: its name, if the file holds several.

    Raises:
        CheckpointError: the file cannot be read, holds no network that is recognised, or several.
    """
    architecture: Any = None
    if pickle_reader.file_kind(path) == "safetensors":
        networks: dict[str, Any] = {"": _safetensors(path)}
    else:
        tree = pickle_reader.read_tree(path)
        networks = dict(find_networks(tree))
        architecture = tree.root.get("arch") if isinstance(tree.root, dict) else None
    if isinstance(architecture, str) and architecture.lower().startswith("wideresnet"):
        # Its weights have the names and shapes of a ResNet, but its strides are others.
        raise CheckpointError(
            f"{path} holds a wide ResNet of the Places project, which is not read; take "
            "resnet18_places365.pth.tar or resnet50_places365.pth.tar"
        )
    if network is not None:
        networks = {name: value for name, value in networks.items() if name == network}
    recognised = recognise_all(networks)
    if len(recognised) == 1:
        return next(iter(recognised.values()))
    if recognised:
        raise CheckpointError(
            f"{path} holds several networks; set classifier.network=NAME, one of "
            f"{listed(recognised)}"
        )
    titles = ", ".join(spec.title for spec in CLASSIFIERS.values())
    raise CheckpointError(
        f"{path} holds no network whose weights have the names and shapes of one that dreams; "
        f"these are recognised: {titles}"
    )


def inspect_classifiers(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a title and a description of every network in a file that can dream.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if pickle_reader.file_kind(path) == "safetensors":
        networks: Mapping[str, Any] = {"": _safetensors(path)}
    else:
        networks = find_networks(pickle_reader.read_tree(path, refuse=False))
    for recognised in recognise_all(networks).values():
        yield "classifier", f"{recognised.description()}; dreams with classifier=file"


def recognise_all(networks: Mapping[str, Any]) -> dict[str, Recognised]:
    """Return those of the networks of a file that are recognised, by their names in the file.

    Of a file with very many networks, only the first are looked at.
    """
    recognised = {
        name: recognise(_without_module(value))
        for name, value in islice(networks.items(), _NETWORKS)
        if isinstance(value, dict) and len(value) <= _TENSORS
    }
    return {name: network for name, network in recognised.items() if network is not None}


def recognise(state: Mapping[str, Any]) -> Recognised | None:
    """Return the network with these weights, by their names and shapes; None if there is none.

    Args:
        state: name -> what has a ``shape``.
    """
    for name in CLASSIFIERS:
        given = {
            key: tuple(value.shape)
            for key, value in as_named(name, state).items()
            if not key.endswith("num_batches_tracked")
        }
        expected, logits = shapes(name), logits_weight(name)
        classes = (*given.get(logits, ()), 0)[0]
        if given.keys() != expected.keys() or classes < 1:
            continue
        last = (logits, logits.removesuffix("weight") + "bias")
        if all(
            shape == ((classes, *expected[key][1:]) if key in last else expected[key])
            for key, shape in given.items()
        ):
            return Recognised(name, classes, state)
    return None


def as_classifier(name: str, network: nn.Module, labels: str | None = None) -> Classifier:
    """Return a network as a classifier.

    Args:
        name: of the network.
        network: with its weights.
        labels: a file with the names of its classes; None takes those of ImageNet if there are as
            many classes, else numbers.

    Raises:
        RequestError: the file of labels cannot be read, or does not fit.
    """
    spec = CLASSIFIERS[name]
    count = len(network.state_dict()[logits_weight(name)])
    network.to(memory_format=torch.channels_last)  # a fifth faster with gradients on a CPU
    return Classifier(
        network,
        spec.size,
        spec.preparations.get(count, spec.preparation),
        _class_names(count) if labels is None else _labelled(Path(labels), count, spec.spare),
        spec.layer_sequence,
        spec.min_size,
    )


def read_labels(path: Path) -> list[str]:
    """Return the names of classes in a text file: one a line, in order.

    A line may end with the number of the class, as in ``/a/airfield 0`` of the Places project,
    whose folders are not part of the name.

    Raises:
        RequestError: the file cannot be read, or it is no list of names.
    """
    path = user_path(path)
    try:
        with open_regular(path) as file:
            content = file.read(_LABELS + 1)
        lines = [line.strip() for line in content.decode().splitlines()]
    except (OSError, ValueError) as error:
        raise RequestError(
            f"classifier.labels={path} cannot be read ({one_line(error)}); name a text file with "
            "the name of a class in every line"
        ) from None
    lines = [line for line in lines if line]
    if len(content) > _LABELS or not lines or not all(line.isprintable() for line in lines):
        raise RequestError(
            f"classifier.labels={path} is no list of names; name a text file with the name of a "
            "class in every line"
        )
    numbered = [re.fullmatch(r"(.*\S)[\s,]+(\d{1,6})", line) for line in lines]
    if all(numbered):
        by_number = {int(match[2]): match[1] for match in numbered if match}
        if sorted(by_number) != list(range(len(lines))):
            raise RequestError(
                f"classifier.labels={path} does not number its {len(lines)} classes from 0 on; "
                "leave the numbers out, or correct them"
            )
        lines = [by_number[number] for number in range(len(lines))]
    return [re.sub(r"^/\w/", "", line).replace("_", " ")[:80] for line in lines]


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the only state dict in a file, without the prefixes of parallel training.

    Raises:
        CheckpointError: we do not read such files, or the file does not hold exactly one state
        dict.
    """
    if pickle_reader.file_kind(path) == "safetensors":
        return _safetensors(path)
    networks = find_networks(pickle_reader.read_tree(path))
    states = [value for value in networks.values() if isinstance(value, dict)]
    if len(states) != 1:
        raise CheckpointError(
            f"{path} holds {len(states)} state dicts of networks; take a file that holds one"
        )
    return _without_module(pickle_records.tensors(states[0], str(path)))


def _without_module(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict without the names that ``DataParallel`` adds."""
    return {re.sub(r"(^|\.)module\.", r"\1", str(name)): value for name, value in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch it again") from None


def _class_names(count: int) -> Sequence[str]:
    """Return the names of ImageNet's classes if there are as many, else numbers."""
    from torchvision.models import SqueezeNet1_1_Weights

    imagenet = [str(name) for name in SqueezeNet1_1_Weights.DEFAULT.meta["categories"]]
    return imagenet if count == len(imagenet) else [str(number) for number in range(count)]


def _labelled(path: Path, count: int, spare: int) -> Sequence[str]:
    """Return the names of ``count`` classes, of which the last ``spare`` may have none."""
    labels = read_labels(path)
    if not count - spare <= len(labels) <= count:
        raise RequestError(
            f"classifier.labels={path} names {len(labels)} classes, and the network has {count}; "
            "take the list that belongs to its data set"
        )
    return [*labels, *(str(number) for number in range(len(labels), count))]
