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

from forgetting.errors import RequestError, unknown, whole, within
from forgetting.pictures import read
from forgetting.seeing import Seer
from forgetting.units import Units

Heard = Mapping[str, Tensor]
"""Layer name -> what it says, [1, C, H, W]."""


@dataclass(frozen=True)
class Bound:
    """An objective for one network: the layers it hears, and the number [] that is to grow. One that is ``placed`` means a place of
    the picture, which therefore is neither shifted nor taken apart."""

    layers: tuple[str, ...]
    value: Callable[[Heard], Tensor]
    placed: bool = False


class Objective(Protocol):
    @property
    def weight(self) -> float:
        """How much it counts beside others; less than nothing shrinks what it measures."""
        ...

    def bind(self, seer: Seer) -> Bound: ...


def _weighed(weight: float) -> None:
    within("objective.weight", weight, -1e3, 1e3)


@dataclass(frozen=True)
class Energy:
    """All that some layers say: the mean square of what is above zero (Mordvintsev et al. 2015, "Inceptionism").

    ``layers`` are addresses; of single units too, ``features.12.expand3x3:13``. None is the middle of the network's ladder.
    """

    layers: str | Sequence[str] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, seer: Seer) -> Bound:
        chosen = _chosen(seer, self.layers or seer.ladder[len(seer.ladder) // 2])
        return Bound(
            tuple(chosen), lambda heard: _sum(_over(heard[name][:, units].relu().square(), seer, name) for name, units in chosen.items())
        )


@dataclass(frozen=True)
class Channel:
    """What some units say, on average over the picture: strokes and stuff all over."""

    units: str | Sequence[str] = "features.9.expand3x3:0"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, seer: Seer) -> Bound:
        chosen = _chosen(seer, self.units)
        return Bound(tuple(chosen), lambda heard: _sum(_over(heard[name][:, units], seer, name) for name, units in chosen.items()))


@dataclass(frozen=True)
class Unit:
    """What some units say at one place alone; ``at`` is across and down, in shares of the picture."""

    units: str | Sequence[str] = "features.9.expand3x3:0"
    at: Sequence[float] = (0.5, 0.5)
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)
        if len(self.at) != 2:
            raise RequestError(f"objective.at must be two numbers, across and down, got {[*self.at]}")
        for share in self.at:
            within("objective.at", share, 0.0, 1.0)

    def bind(self, seer: Seer) -> Bound:
        chosen = _chosen(seer, self.units)

        def there(x: Tensor) -> Tensor:
            high, wide = x.shape[2:]
            return x[:, :, min(high - 1, int(self.at[1] * high)), min(wide - 1, int(self.at[0] * wide))]

        return Bound(tuple(chosen), lambda heard: _sum(there(heard[name][:, units]).mean() for name, units in chosen.items()), True)


@dataclass(frozen=True)
class Direction:
    """A direction among the units of a layer, drawn from ``seed``: how far everything points there."""

    layer: str = "features.12.expand3x3"
    seed: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, seer: Seer) -> Bound:
        layer = seer.layer(self.layer)
        drawn = torch.from_numpy(np.random.RandomState(self.seed).randn(layer.channels)).float()
        vector = (drawn / drawn.norm()).view(1, -1, 1, 1)

        def grow(heard: Heard) -> Tensor:
            x = heard[layer.name]
            along = (x * vector.to(x)).sum(1)
            # The cosine keeps it from growing louder in all directions (Olah et al. 2017, "Feature Visualization").
            cosine = along / x.square().sum(1).sqrt().clamp_min(1e-6)
            return _over((along * cosine.clamp_min(0.1))[:, None], seer, layer.name)

        return Bound((layer.name,), grow)


@dataclass(frozen=True)
class Class:
    """What the network takes the picture for, before it weighs one against another: by name, or by number."""

    name: str | int = "castle"
    weight: float = 1.0

    def __post_init__(self) -> None:
        _weighed(self.weight)

    def bind(self, seer: Seer) -> Bound:
        names = [one.lower() for one in seer.classes]
        number = (
            int(self.name) if str(self.name).isdecimal() else names.index(str(self.name).lower()) if str(self.name).lower() in names else -1
        )
        if not 0 <= number < len(names):
            raise unknown("class", str(self.name), seer.classes, "this network knows")
        last = seer.layers[-1].name
        return Bound((last,), lambda heard: _over(heard[last][:, [number]], seer, last))


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

    def bind(self, seer: Seer) -> Bound:
        layer = seer.layer(self.layer)
        with torch.no_grad():
            picture = read(Path(self.path).expanduser(), longest=2 * seer.shape[1]).to(next(seer.parameters()).device)
            guide = seer.heard(picture, [layer.name])[layer.name].flatten(2)[0]  # [C, N]

        def grow(heard: Heard) -> Tensor:
            x = heard[layer.name].flatten(2)[0]  # [C, M]
            with torch.no_grad():
                best = (x.T @ guide.to(x)).argmax(1)
            return _over((x * guide.to(x)[:, best]).sum(0)[None, None, None], seer, layer.name)

        return Bound((layer.name,), grow)


@dataclass(frozen=True)
class Ladder:
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
        within("objective.blend", self.blend, 0.0, 1.0)
        if self.frames is not None:
            whole("objective.frames", self.frames, 1, 1_000_000)

    def steps(self, seer: Seer) -> list[str]:
        return list(self.layers or seer.ladder)

    def turn(self, seer: Seer, frames: int) -> float:
        """How many frames each layer has its turn, in a film of so many."""
        return self.frames or max(1, frames) / len(self.steps(seer))

    def at(self, seer: Seer, index: int, frames: int) -> list[Energy]:
        """What grows in a frame of a film of so many: one layer, or one that gives way to the next."""
        steps, place = self.steps(seer), max(0, index) / self.turn(seer, frames)
        number = min(int(place), len(steps) - 1)
        share = 0.0 if number == len(steps) - 1 or not self.blend else max(0.0, (place - number - 1) / self.blend + 1)
        share = share * share * (3 - 2 * share)
        turns = [(steps[number], 1 - share)] + ([(steps[number + 1], share)] if share else [])
        return [Energy(step, self.weight * weight) for step, weight in turns]


def _chosen(seer: Seer, addresses: str | Sequence[str]) -> dict[str, Tensor]:
    """Name of every layer that is addressed -> the numbers of its units that are."""
    units = Units(seer.layers)
    parts = units.split(units.select(addresses))
    return {name: chosen.nonzero()[:, 0] for name, chosen in parts.items() if chosen.any()}


def _over(x: Tensor, seer: Seer, name: str) -> Tensor:
    """[1, C, H, W] -> []: the mean over channels, summed over places, each of which counts as many pixels as it stands for."""
    high, wide = seer.layer(name).size
    return x.mean(1).sum() * (seer.shape[1] * seer.shape[2] / (high * wide))


def _sum(values: Iterable[Tensor]) -> Tensor:
    total, *others = values
    for value in others:
        total = total + value
    return total
