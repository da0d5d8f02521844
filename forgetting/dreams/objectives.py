"""What a dream climbs: of what a network says of a picture, one number that is to grow.

An objective names the layers that it wants to hear, and makes a number of what they say. Its gradient with respect to the picture is the
direction in which the picture changes; only that direction counts. Numbers are sums over places, each worth the pixels that it stands for:
so the parts of a picture add up to the whole, and layers of different sizes can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import RequestError, check_int, check_range, unknown_name
from forgetting.film.images import read_image
from forgetting.models.classifier import Classifier
from forgetting.models.units import Units
from forgetting.parts import part

Activations = Mapping[str, Tensor]
"""Layer name -> what it says, [1, C, H, W]."""


@dataclass(frozen=True)
class BoundObjective:
    """An objective for one network: the layers it hears, and the number [] that is to grow. One that is ``placed`` means a place of
    the picture, which therefore is neither shifted nor taken apart."""

    layers: tuple[str, ...]
    value: Callable[[Activations], Tensor]
    placed: bool = False


class Objective(Protocol):
    @property
    def weight(self) -> float:
        """How much it counts beside others; less than nothing shrinks what it measures."""
        ...

    def bind(self, classifier: Classifier) -> BoundObjective: ...


def _weighed(weight: float) -> None:
    check_range("objective.weight", weight, -1e3, 1e3)


@part("objective/energy")
@dataclass(frozen=True)
class Energy:
    """All that some layers say: the mean square of what is above zero (Mordvintsev et al. 2015, "Inceptionism").

    ``layers`` are addresses; of single units too, ``features.12.expand3x3:13``. None is the middle of the network's ladder.
    """

    layers: str | Sequence[str] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        chosen = _chosen(classifier, self.layers or classifier.ladder[len(classifier.ladder) // 2])
        return BoundObjective(
            tuple(chosen),
            lambda heard: _sum(
                _over(heard[name][:, units].relu().square(), classifier, name)
                for name, units in chosen.items()
            ),
        )


@part("objective/channel")
@dataclass(frozen=True)
class ChannelMean:
    """What some units say, on average over the picture: strokes and stuff all over."""

    units: str | Sequence[str] = "features.9.expand3x3:0"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        chosen = _chosen(classifier, self.units)
        return BoundObjective(
            tuple(chosen),
            lambda heard: _sum(
                _over(heard[name][:, units], classifier, name) for name, units in chosen.items()
            ),
        )


@part("objective/unit")
@dataclass(frozen=True)
class SingleUnit:
    """What some units say at one place alone; ``at`` is across and down, in shares of the picture."""

    units: str | Sequence[str] = "features.9.expand3x3:0"
    at: Sequence[float] = (0.5, 0.5)
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)
        if len(self.at) != 2:
            raise RequestError(
                f"objective.at must be two numbers, across and down, got {[*self.at]}"
            )
        for share in self.at:
            check_range("objective.at", share, 0.0, 1.0)

    def bind(self, classifier: Classifier) -> BoundObjective:
        chosen = _chosen(classifier, self.units)

        def there(x: Tensor) -> Tensor:
            high, wide = x.shape[2:]
            return x[
                :, :, min(high - 1, int(self.at[1] * high)), min(wide - 1, int(self.at[0] * wide))
            ]

        return BoundObjective(
            tuple(chosen),
            lambda heard: _sum(
                there(heard[name][:, units]).mean() for name, units in chosen.items()
            ),
            True,
        )


@part("objective/direction")
@dataclass(frozen=True)
class Direction:
    """A direction among the units of a layer, drawn from ``seed``: how far everything points there."""

    layer: str = "features.12.expand3x3"
    seed: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        layer = classifier.layer(self.layer)
        drawn = torch.from_numpy(np.random.RandomState(self.seed).randn(layer.channels)).float()
        vector = (drawn / drawn.norm()).view(1, -1, 1, 1)

        def grow(heard: Activations) -> Tensor:
            x = heard[layer.name]
            along = (x * vector.to(x)).sum(1)
            # The cosine keeps it from growing louder in all directions (Olah et al. 2017, "Feature Visualization").
            cosine = along / x.square().sum(1).sqrt().clamp_min(1e-6)
            return _over((along * cosine.clamp_min(0.1))[:, None], classifier, layer.name)

        return BoundObjective((layer.name,), grow)


@part("objective/class")
@dataclass(frozen=True)
class ClassLogit:
    """What the network takes the picture for, before it weighs one against another: by name, or by number."""

    name: str | int = "castle"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, classifier: Classifier) -> BoundObjective:
        names = [one.lower() for one in classifier.classes]
        number = (
            int(self.name)
            if str(self.name).isdecimal()
            else names.index(str(self.name).lower())
            if str(self.name).lower() in names
            else -1
        )
        if not 0 <= number < len(names):
            raise unknown_name("class", str(self.name), classifier.classes, "this network knows")
        last = classifier.layers[-1].name
        return BoundObjective(
            (last,), lambda heard: _over(heard[last][:, [number]], classifier, last)
        )


@part("objective/guide")
@dataclass(frozen=True)
class Guide:
    """The features of another picture: every place grows towards what it is most like there (as in the notebook that came with
    "Inceptionism", 2015)."""

    path: str = ""
    layer: str = "features.9.expand3x3"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)
        if not self.path:
            raise RequestError("objective=guide needs a picture: say objective.path=PICTURE")

    def bind(self, classifier: Classifier) -> BoundObjective:
        layer = classifier.layer(self.layer)
        with torch.no_grad():
            picture = read_image(Path(self.path).expanduser(), longest=2 * classifier.shape[1]).to(
                next(classifier.parameters()).device
            )
            guide = classifier.heard(picture, [layer.name])[layer.name].flatten(2)[0]  # [C, N]

        def grow(heard: Activations) -> Tensor:
            x = heard[layer.name].flatten(2)[0]  # [C, M]
            with torch.no_grad():
                best = (x.T @ guide.to(x)).argmax(1)
            return _over(
                (x * guide.to(x)[:, best]).sum(0)[None, None, None], classifier, layer.name
            )

        return BoundObjective((layer.name,), grow)


@part("objective/ladder")
@dataclass(frozen=True)
class LayerSequence:
    """The energy of one layer after another, from low to high: a journey through the network.

    Args:
        layers: addresses in their order; None is the network's own ladder.
        frames: how long each has its turn; None shares the film out.
        blend: the share of its turn in which a layer gives way to the next.
        captions: write under the picture whose turn it is.
    """

    layers: Sequence[str] | None = None
    frames: int | None = None
    blend: float = 0.6
    captions: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)
        check_range("objective.blend", self.blend, 0.0, 1.0)
        if self.frames is not None:
            check_int("objective.frames", self.frames, 1, 1_000_000)

    def steps(self, classifier: Classifier) -> list[str]:
        return list(self.layers or classifier.ladder)

    def turn(self, classifier: Classifier, frames: int) -> float:
        """How many frames each layer has its turn, in a film of so many."""
        return self.frames or max(1, frames) / len(self.steps(classifier))

    def at(self, classifier: Classifier, index: int, frames: int) -> list[Energy]:
        """What grows in a frame of a film of so many: one layer, or one that gives way to the next."""
        steps, place = self.steps(classifier), max(0, index) / self.turn(classifier, frames)
        number = min(int(place), len(steps) - 1)
        share = (
            0.0
            if number == len(steps) - 1 or not self.blend
            else max(0.0, (place - number - 1) / self.blend + 1)
        )
        share = share * share * (3 - 2 * share)
        turns = [(steps[number], 1 - share)] + ([(steps[number + 1], share)] if share else [])
        return [Energy(step, self.weight * weight) for step, weight in turns]


def _chosen(classifier: Classifier, addresses: str | Sequence[str]) -> dict[str, Tensor]:
    """Name of every layer that is addressed -> the numbers of its units that are."""
    units = Units(classifier.layers)
    parts = units.split(units.select(addresses))
    return {name: chosen.nonzero()[:, 0] for name, chosen in parts.items() if chosen.any()}


def _over(x: Tensor, classifier: Classifier, name: str) -> Tensor:
    """[1, C, H, W] -> []: the mean over channels, summed over places, each of which counts as many pixels as it stands for."""
    high, wide = classifier.layer(name).size
    return x.mean(1).sum() * (classifier.shape[1] * classifier.shape[2] / (high * wide))


def _sum(values: Iterable[Tensor]) -> Tensor:
    total, *others = values
    for value in others:
        total = total + value
    return total
