"""What is filmed: a face of a network, and what is done to its units.

A *target* is an operator and the units it is turned for. A row of a plan says how far every target is turned for each of its
units; targets stand one behind the other, and a unit that several of them turn goes through them in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetting.ablation.operators.removal import Operator
from forgetting.errors import RequestError
from forgetting.models.activity import cell_activity, map_layers
from forgetting.models.generator import Edit, Generator
from forgetting.models.units import Layer, Units

BoundOperator = tuple[Units, Edit]
"""The units of a target, and what they say where it is turned all the way."""


@dataclass(frozen=True)
class Target:
    """An operator, and the layers whose units it is turned for."""

    operator: Operator
    units: Units


@dataclass(frozen=True)
class AblationTask:
    """The face ``ws`` [1, L, W] of a network, and the targets; a face that ``moves`` is given anew for every frame.

    A scene that ``listens`` also tells how loud the cells of its memory map are.
    """

    generator: Generator
    ws: Tensor
    targets: tuple[Target, ...]
    moves: bool = False
    listens: bool = False

    @staticmethod
    def of(generator: Generator, ws: Tensor, operator: Operator) -> AblationTask:
        """One target for all channels."""
        return AblationTask(generator, ws, (Target(operator, Units(generator.layers)),))

    def __len__(self) -> int:
        """Numbers in a row."""
        return sum(len(target.units) for target in self.targets)

    @property
    def mapped(self) -> tuple[Layer, ...]:
        """The layers that are listened to: all that any target turns, and none of a scene that does not listen."""
        return map_layers(target.units.layers for target in self.targets) if self.listens else ()

    @property
    def rebinds(self) -> bool:
        """Whether every frame binds the face anew: it moves, or something dies that is folded into it."""
        return self.moves or any(
            layer.kind not in ("channels", "picture")
            for target in self.targets
            for layer in target.units.layers
        )

    def turned(
        self, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> list[BoundOperator]:
        """All targets, for states on that device in that precision; what is constant is brought there once."""
        found = []
        for target in self.targets:
            dead = target.operator.bind(self.generator, self.ws)
            # Asked once for every layer: what an operator has to look up is looked up now, and not while a graph is traced.
            if target.operator.constant:
                silent = (
                    (layer, torch.zeros(1, layer.channels, *layer.size))
                    for layer in target.units.layers
                )
                dead = _looked_up(
                    {layer.name: dead(x, layer).to(device, dtype) for layer, x in silent}
                )
            else:
                for layer in target.units.layers:
                    dead(
                        torch.zeros(1, layer.channels, *layer.size, device=device, dtype=dtype),
                        layer,
                    )
            found.append((target.units, dead))
        return found


def recording_edit(
    edit: Edit, layers: Sequence[Layer]
) -> tuple[Edit, Callable[[], tuple[Tensor, ...]]]:
    """The same edit with an ear, and what it will have heard: the levels [B, M] of the cells of ``layers``, or nothing."""
    wanted, found = {layer.name for layer in layers}, dict[str, Tensor]()

    def listening(x: Tensor, layer: Layer) -> Tensor:
        x = edit(x, layer)
        if layer.name in wanted:
            found[layer.name] = cell_activity(x, layer)
        return x

    def levels() -> tuple[Tensor, ...]:
        return (torch.cat([found[layer.name] for layer in layers], dim=1),) if layers else ()

    return (listening if layers else edit), levels


def _looked_up(constants: dict[str, Tensor]) -> Edit:
    return lambda x, layer: constants[layer.name]


def eager_edit(targets: Sequence[BoundOperator], rows: Tensor) -> Edit:
    """The edit that turns the targets for a batch of faces by ``rows`` [B, R] in [0, 1], one row a face."""
    split = _parted(targets, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, dead in split:
            row = parts.get(layer.name)
            if row is None or not row.any():
                continue  # an untouched layer stays as it is, bit for bit
            if len(row) != len(x):
                raise RequestError(
                    f"there are {len(row)} rows of ablation for {len(x)} faces; give one row a face"
                )
            x = x.lerp_(dead(x, layer), row[:, :, None, None])  # [B, C, H, W]
        return x

    return edit


def traceable_edit(targets: Sequence[BoundOperator], rows: Tensor) -> Edit:
    """The same for graphs: no branches, nothing written in place."""
    split = _parted(targets, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, dead in split:
            if layer.name in parts:
                a = parts[layer.name][:, :, None, None]
                x = x * (1 - a) + dead(x, layer) * a
        return x

    return edit


def _parted(targets: Sequence[BoundOperator], rows: Tensor) -> list[tuple[dict[str, Tensor], Edit]]:
    """Of every target, its part of the rows by layer, and what it makes of them."""
    parts = torch.split(rows, [len(units) for units, _ in targets], dim=-1)
    return [(units.split(part), dead) for (units, dead), part in zip(targets, parts, strict=True)]
