"""Edits: the functions that replace activations while a network runs.

A *target* is an operator and the units it applies to. A row of a plan holds how far every unit of
every target is ablated; the targets' units stand one after another in it. A unit that belongs to
several targets is edited by each of them in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.operators.operator import Operator
from forgetting.errors import RequestError
from forgetting.models.activity import cell_activity, map_layers
from forgetting.models.generator import Edit, Generator
from forgetting.models.units import PICTURE, UNIT_KINDS, Layer, Units
from forgetting.result_cache import digest

BoundOperator = tuple[Units, Edit]
"""The units of a target, and the function that computes their replacement."""


@dataclass(frozen=True)
class Target:
    """An operator, and the units it applies to."""

    operator: Operator
    units: Units


@dataclass(frozen=True)
class AblationTask:
    """What an engine renders: a face of a network, and the targets that are ablated in it.

    Args:
        generator: the network.
        ws: the face, [1, L, W].
        targets: in the order in which they are applied.
        moving: whether every frame brings a face of its own.
        areas: side of the grid of areas of a map whose activity can be recorded.
        identity: hash of network, face, units and operators; None keeps no results between runs.
    """

    generator: Generator
    ws: Tensor
    targets: tuple[Target, ...]
    moving: bool = False
    areas: int = 1
    identity: str | None = None

    @staticmethod
    def of(generator: Generator, ws: Tensor, operator: Operator) -> AblationTask:
        """Return the task with one target: all channels."""
        return AblationTask(generator, ws, (Target(operator, Units(generator.layers)),))

    def __len__(self) -> int:
        """The width R of a row."""
        return sum(len(target.units) for target in self.targets)

    def key(self, *parts: object) -> str | None:
        """Return the hash under which a result about its frames is kept between runs.

        Args:
            parts: bytes, and values as JSON writes them, on which the result depends besides.

        Returns:
            The hash; None where nothing is to be kept.
        """
        if self.identity is None:
            return None
        return digest(self.identity, self.rebinds, self.areas, *parts)

    @property
    def recorded_layers(self) -> tuple[Layer, ...]:
        """The layers whose activity can be recorded: those that a memory map shows."""
        return map_layers(target.units.layers for target in self.targets)

    @property
    def rebinds(self) -> bool:
        """Whether every frame binds its face anew.

        It moves, or units are ablated that binding folds in.
        """
        return self.moving or any(
            UNIT_KINDS[layer.kind].bound for target in self.targets for layer in target.units.layers
        )

    def bind_operators(
        self, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> list[BoundOperator]:
        """Bind the operators of all targets, for activations on ``device`` in ``dtype``.

        Replacements that are constant are computed here, once.
        """
        bound: list[BoundOperator] = []
        for target in self.targets:
            replacement = target.operator.bind(self.generator, self.ws)
            # Every layer is asked for once, so that nothing is looked up while a graph is traced.
            if target.operator.constant:
                # From numpy, whose zeros take no memory until they are read: nobody reads them.
                zeros = (
                    (
                        layer,
                        torch.from_numpy(np.zeros((1, layer.channels, *layer.size), np.float32)),
                    )
                    for layer in target.units.layers
                )
                replacement = _constant(
                    {layer.name: replacement(x, layer).to(device, dtype) for layer, x in zeros}
                )
            else:
                for layer in target.units.layers:
                    x = torch.zeros(1, layer.channels, *layer.size, device=device, dtype=dtype)
                    replacement(x, layer)
            bound.append((target.units, replacement))
        return bound


def _constant(values: dict[str, Tensor]) -> Edit:
    return lambda x, layer: values[layer.name]


def recording_edit(
    edit: Edit, layers: Sequence[Layer], areas: int = 1
) -> tuple[Edit, Callable[[], Tensor]]:
    """Return an edit that also records, and a function that returns what it recorded.

    After a picture was made with the edit, the function returns the activity [B, M, areas, areas]
    of the cells of ``layers``.
    """
    names, activity = {layer.name for layer in layers}, dict[str, Tensor]()

    def recording(x: Tensor, layer: Layer) -> Tensor:
        x = edit(x, layer)
        if layer.name in names:
            activity[layer.name] = cell_activity(x, layer, areas)
        return x

    def recorded() -> Tensor:
        return torch.cat([activity[layer.name] for layer in layers], dim=1)

    return recording, recorded


def eager_edit(bound: Sequence[BoundOperator], rows: Tensor) -> Edit:
    """Return the edit that ablates by ``rows`` [B, R] in [0, 1], one row for every face.

    It works in place.
    """
    split = split_rows(bound, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, replacement in split:
            row = parts.get(layer.name)
            if row is None or not row.any():
                continue  # an untouched layer stays as it is, bit for bit
            if len(row) != len(x):
                raise RequestError(
                    f"there are {len(row)} rows of ablation for {len(x)} faces; "
                    "give one row for every face"
                )
            x = _as_shown(x, layer).lerp_(
                replacement(x, layer), row[:, :, None, None]
            )  # [B, C, H, W]
        return x

    return edit


def traceable_edit(bound: Sequence[BoundOperator], rows: Tensor) -> Edit:
    """Return the same edit for tracing and gradients: no branches on values, nothing in place."""
    split = split_rows(bound, rows)

    def edit(x: Tensor, layer: Layer) -> Tensor:
        for parts, replacement in split:
            if layer.name in parts:
                a = parts[layer.name][:, :, None, None]
                x = _as_shown(x, layer) * (1 - a) + replacement(x, layer) * a
        return x

    return edit


def _as_shown(x: Tensor, layer: Layer) -> Tensor:
    """Return maps as they are; the picture [B, C, H, W] within the range that is shown."""
    return x.clamp(-1, 1) if layer.kind == PICTURE.kind else x


def split_rows(
    bound: Sequence[BoundOperator], rows: Tensor
) -> list[tuple[dict[str, Tensor], Edit]]:
    """Return for every target its part of the rows by layer name, and its replacement."""
    parts = torch.split(rows, [len(units) for units, _ in bound], dim=-1)
    return [
        (units.split(part), replacement)
        for (units, replacement), part in zip(bound, parts, strict=True)
    ]
