"""Objectives: one number, computed from the activations of a network, that a dream increases.

An objective names the layers whose activations it needs, and computes a number from them. The
picture changes along the gradient of that number, and only the gradient's direction counts. The
numbers are sums over positions, each weighted by the pixels that it stands for. So the parts of a
picture add up to the whole, and layers of different sizes can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import RequestError, check_range, unknown_name
from forgetting.files import user_path
from forgetting.film.images import read_image
from forgetting.models.classifier import Classifier
from forgetting.models.units import Units
from forgetting.parts import part

Activations = Mapping[str, Tensor]
"""The activations [1, C, H, W] of layers, by the layer's name."""


@dataclass(frozen=True)
class BoundObjective:
    """An objective for one network.

    Args:
        layers: names of the layers whose activations it needs.
        value: computes the number [] from these activations.
        positional: whether it depends on a position in the picture. Such a picture is neither
            shifted nor cut into tiles.
    """

    layers: tuple[str, ...]
    value: Callable[[Activations], Tensor]
    positional: bool = False


class Objective(Protocol):
    """Something that a dream can increase."""

    @property
    def weight(self) -> float:
        """How much it counts beside other objectives; a negative weight decreases its number."""
        ...

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network.

        Raises:
            RequestError: the network has no such layer, unit or class.
        """
        ...


def check_weight(weight: float) -> None:
    """Raise unless an objective can have this weight."""
    check_range("objective.weight", weight, -1e3, 1e3)


@part("objective/energy")
@dataclass(frozen=True)
class Energy:
    """The mean square of the positive activations of some layers.

    This is the objective of Mordvintsev et al. 2015, "Inceptionism".

    Args:
        layers: addresses; they can name single units too, such as ``features.12.expand3x3:13``.
            None is the middle of the network's own sequence of layers.
        weight: see :attr:`Objective.weight`.
    """

    layers: str | Sequence[str] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network."""
        selected = _select_units(classifier, self.layers or _middle(classifier))
        return BoundObjective(
            tuple(selected),
            lambda activations: _sum(
                _sum_positions(activations[name][:, units].relu().square(), classifier, name)
                for name, units in selected.items()
            ),
        )


@part("objective/channel")
@dataclass(frozen=True)
class ChannelMean:
    """The mean activation of some units over the picture: their patterns appear everywhere.

    Args:
        units: addresses; None is the first unit of the network's middle layer.
        weight: see :attr:`Objective.weight`.
    """

    units: str | Sequence[str] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network."""
        selected = _select_units(classifier, self.units or f"{_middle(classifier)}:0")
        return BoundObjective(
            tuple(selected),
            lambda activations: _sum(
                _sum_positions(activations[name][:, units], classifier, name)
                for name, units in selected.items()
            ),
        )


@part("objective/unit")
@dataclass(frozen=True)
class SingleUnit:
    """The activation of some units at a single position.

    Args:
        units: addresses; None is the first unit of the network's middle layer.
        at: the position, across and down, as shares of the picture.
        weight: see :attr:`Objective.weight`.
    """

    units: str | Sequence[str] | None = None
    at: Sequence[float] = (0.5, 0.5)
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if len(self.at) != 2:
            raise RequestError(
                f"objective.at must be two numbers, across and down, got {[*self.at]}"
            )
        for share in self.at:
            check_range("objective.at", share, 0.0, 1.0)

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network."""
        selected = _select_units(classifier, self.units or f"{_middle(classifier)}:0")

        def at_position(x: Tensor) -> Tensor:
            height, width = x.shape[2:]
            row = min(height - 1, int(self.at[1] * height))
            column = min(width - 1, int(self.at[0] * width))
            return x[:, :, row, column]

        return BoundObjective(
            tuple(selected),
            lambda activations: _sum(
                at_position(activations[name][:, units]).mean() for name, units in selected.items()
            ),
            positional=True,
        )


@part("objective/direction")
@dataclass(frozen=True)
class Direction:
    """How far the activations of a layer point in a direction, which is drawn from ``seed``.

    Args:
        layer: its name; None is the middle layer of the network's own sequence.
        seed: draws the direction.
        weight: see :attr:`Objective.weight`.
    """

    layer: str | None = None
    seed: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network."""
        layer = classifier.layer(self.layer or _middle(classifier))
        drawn = torch.from_numpy(np.random.RandomState(self.seed).randn(layer.channels)).float()
        direction = (drawn / drawn.norm()).view(1, -1, 1, 1)

        def value(activations: Activations) -> Tensor:
            x = activations[layer.name]
            projection = (x * direction.to(x)).sum(1)
            # The cosine keeps activations from growing in all directions at once
            # (Olah et al. 2017, "Feature Visualization").
            cosine = projection / x.square().sum(1).sqrt().clamp_min(1e-6)
            product = (projection * cosine.clamp_min(0.1))[:, None]
            return _sum_positions(product, classifier, layer.name)

        return BoundObjective((layer.name,), value)


@part("objective/class")
@dataclass(frozen=True)
class ClassLogit:
    """The logit of a class, which is given by its name or its number."""

    name: str | int = "castle"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network."""
        number = class_number(self.name, classifier)
        last = classifier.layers[-1].name
        return BoundObjective(
            (last,),
            lambda activations: _sum_positions(activations[last][:, [number]], classifier, last),
        )


@part("objective/guide")
@dataclass(frozen=True)
class Guide:
    """The features of a guide picture: each position grows towards the most similar of them.

    This is the guided dream of the notebook that came with "Inceptionism" (2015).

    Args:
        path: of the guide picture.
        layer: the layer whose features are compared; None is the middle of the network's sequence.
        weight: see :attr:`Objective.weight`.
    """

    path: str = ""
    layer: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not self.path:
            raise RequestError("objective=guide needs a picture: set objective.path=PICTURE")

    def bind(self, classifier: Classifier) -> BoundObjective:
        """Return the objective for a network.

        Raises:
            RequestError: the picture cannot be read, or there is no such layer.
        """
        layer = classifier.layer(self.layer or _middle(classifier))
        with torch.no_grad():
            picture = read_image(user_path(self.path), longest=2 * classifier.shape[1])
            picture = picture.to(next(classifier.parameters()).device)
            features = classifier.activations(picture, [layer.name])[layer.name]
            guide = features.flatten(2)[0]  # [C, N]

        def value(activations: Activations) -> Tensor:
            x = activations[layer.name].flatten(2)[0]  # [C, M]
            with torch.no_grad():
                nearest = (x.T @ guide.to(x)).argmax(1)
            similarity = (x * guide.to(x)[:, nearest]).sum(0)[None, None, None]
            return _sum_positions(similarity, classifier, layer.name)

        return BoundObjective((layer.name,), value)


def class_number(name: str | int, classifier: Classifier) -> int:
    """Return the number of a class, which is given by its name or its number.

    Raises:
        RequestError: the network has no such class, or its classes have no names.
    """
    wanted, classes = str(name), classifier.classes
    if wanted.isdecimal() and int(wanted) < len(classes):
        return int(wanted)
    names = [_plain_name(name) for name in classes]
    if not wanted.isdecimal() and _plain_name(wanted) in names:
        return names.index(_plain_name(wanted))
    if all(name.isdecimal() for name in names):
        raise RequestError(
            f"this network has no class {wanted!r}: its {len(classes)} classes have no names; set "
            f"objective.name to a number up to {len(classes) - 1}, or classifier.labels=FILE to "
            "the file of their names"
        )
    raise unknown_name("class", wanted, classes, "this network knows")


def _plain_name(name: str) -> str:
    """Return the name of a class without differences of case and of word separators."""
    return name.lower().replace("_", " ").strip()


def _middle(classifier: Classifier) -> str:
    """Return the name of the middle layer of a network's own sequence."""
    return classifier.layer_sequence[len(classifier.layer_sequence) // 2]


def _select_units(classifier: Classifier, addresses: str | Sequence[str]) -> dict[str, Tensor]:
    """Return the numbers of the addressed units by the name of their layer."""
    units = Units(classifier.layers)
    by_layer = units.split(units.select(addresses))
    return {name: mask.nonzero()[:, 0] for name, mask in by_layer.items() if mask.any()}


def _sum_positions(x: Tensor, classifier: Classifier, name: str) -> Tensor:
    """Return the mean of [1, C, H, W] over channels, summed over positions: [].

    Each position is weighted by the number of pixels that it stands for.
    """
    height, width = classifier.layer(name).size
    return x.mean(1).sum() * (classifier.shape[1] * classifier.shape[2] / (height * width))


def _sum(values: Iterable[Tensor]) -> Tensor:
    total, *others = values
    for value in others:
        total = total + value
    return total
