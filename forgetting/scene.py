"""What is filmed: a face of a network, and what is done to its units.

A *knob* is an operator and the units it is turned for. A row of a plan says how far every knob is turned for each of its
units; knobs stand one behind the other, and a unit that several of them turn goes through them in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetting.errors import RequestError
from forgetting.generators import Edit, Generator
from forgetting.memory import mapped, said
from forgetting.operators import Operator
from forgetting.units import Layer, Units

Turned = tuple[Units, Edit]
"""The units of a knob, and what they say where it is turned all the way."""


@dataclass(frozen=True)
class Knob:
    """An operator, and the layers whose units it is turned for."""

    operator: Operator
    units: Units


@dataclass(frozen=True)
class Scene:
    """The face ``ws`` [1, L, W] of a network, and the knobs; a face that ``moves`` is given anew for every frame.

    A scene that ``listens`` also tells how loud the cells of its memory map are.
    """

    generator: Generator
    ws: Tensor
    knobs: tuple[Knob, ...]
    moves: bool = False
    listens: bool = False

    @staticmethod
    def of(generator: Generator, ws: Tensor, operator: Operator) -> Scene:
        """One knob for all channels."""
        return Scene(generator, ws, (Knob(operator, Units(generator.layers)),))

    def __len__(self) -> int:
        """Numbers in a row."""
        return sum(len(knob.units) for knob in self.knobs)

    @property
    def mapped(self) -> tuple[Layer, ...]:
        """The layers that are listened to: all that any knob turns, and none of a scene that does not listen."""
        return mapped(knob.units.layers for knob in self.knobs) if self.listens else ()

    @property
    def bound_anew(self) -> bool:
        """Whether every frame binds the face anew: it moves, or something dies that is folded into it."""
        return self.moves or any(layer.kind not in ("channels", "picture") for knob in self.knobs for layer in knob.units.layers)

    def turned(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> list[Turned]:
        """All knobs, for states on that device in that precision; what is constant is brought there once."""
        found = []
        for knob in self.knobs:
            dead = knob.operator.bind(self.generator, self.ws)
            # Asked once for every layer: what an operator has to look up is looked up now, and not while a graph is traced.
            if knob.operator.constant:
                silent = ((layer, torch.zeros(1, layer.channels, *layer.size)) for layer in knob.units.layers)
                dead = _looked_up({layer.name: dead(x, layer).to(device, dtype) for layer, x in silent})
            else:
                for layer in knob.units.layers:
                    dead(torch.zeros(1, layer.channels, *layer.size, device=device, dtype=dtype), layer)
            found.append((knob.units, dead))
        return found


def heard(edit: Edit, layers: Sequence[Layer]) -> tuple[Edit, Callable[[], tuple[Tensor, ...]]]:
    """The same edit with an ear, and what it will have heard: the levels [B, M] of the cells of ``layers``, or nothing."""
    wanted, found = {layer.name for layer in layers}, dict[str, Tensor]()

    def listening(x: Tensor, layer: Layer) -> Tensor:
        x = edit(x, layer)
        if layer.name in wanted:
            found[layer.name] = said(x, layer)
        return x

    def levels() -> tuple[Tensor, ...]:
        return (torch.cat([found[layer.name] for layer in layers], dim=1),) if layers else ()

    return (listening if layers else edit), levels


def _looked_up(constants: dict[str, Tensor]) -> Edit:
    return lambda x, layer: constants[layer.name]


def damage(knobs: Sequence[Turned], rows: Tensor) -> Edit:
    """The edit that turns the knobs for a batch of faces by ``rows`` [B, R] in [0, 1], one row a face."""
    split = _parted(knobs, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, dead in split:
            row = parts.get(layer.name)
            if row is None or not row.any():
                continue  # an untouched layer stays as it is, bit for bit
            if len(row) != len(x):
                raise RequestError(f"there are {len(row)} rows of ablation for {len(x)} faces; give one row a face")
            x = x.lerp_(dead(x, layer), row[:, :, None, None])  # [B, C, H, W]
        return x

    return edit


def traced(knobs: Sequence[Turned], rows: Tensor) -> Edit:
    """The same for graphs: no branches, nothing written in place."""
    split = _parted(knobs, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, dead in split:
            if layer.name in parts:
                a = parts[layer.name][:, :, None, None]
                x = x * (1 - a) + dead(x, layer) * a
        return x

    return edit


def _parted(knobs: Sequence[Turned], rows: Tensor) -> list[tuple[dict[str, Tensor], Edit]]:
    """Of every knob, its part of the rows by layer, and what it makes of them."""
    parts = torch.split(rows, [len(units) for units, _ in knobs], dim=-1)
    return [(units.split(part), dead) for (units, dead), part in zip(knobs, parts, strict=True)]
