"""Fades of the picture itself, done to its bytes.

A film that ends in black fades its picture while the network stays as it is. Where the network's
part of the row stays, its picture is rendered once, and only the fade is done for every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.engines.engine import Rendered
from forgetting.engines.pixels import Bytes, Planes, yuv_matrix
from forgetting.models.units import PICTURE


@dataclass(frozen=True)
class PictureFade:
    """The targets of a task that fade the picture to a grey level.

    Args:
        columns: of the row that belong to them, in the order of the targets.
        levels: in [-1, 1], that each of them fades to.
        others: columns [N] of the row that belong to the network.
    """

    columns: tuple[int, ...]
    levels: tuple[float, ...]
    others: Tensor

    def network_row(self, row: Tensor) -> Tensor:
        """Return the part [N] of a row [R] that ablates units of the network."""
        return row[self.others] if self.columns else row

    def apply(self, rendered: Rendered, row: Tensor) -> Rendered:
        """Return the picture of the network faded as far as the row [R] says."""
        amounts = [float(row[column]) for column in self.columns]
        if not any(amounts):
            return rendered
        frame, planes = rendered.frame, rendered.planes
        if frame is not None:
            frame = self._faded(frame, amounts, lambda level: (level + 1) * 127.5)
        if planes is not None:
            matrix, offset = yuv_matrix()

            def luma_of(level: float) -> float:
                return float(matrix[0].sum() * level + offset[0])

            luma = self._faded(planes.luma, amounts, luma_of)
            planes = Planes(luma, self._faded(planes.chroma, amounts, lambda _: float(offset[1])))
        return rendered._replace(frame=frame, planes=planes)

    def _faded(
        self, values: Bytes, amounts: list[float], byte_of: Callable[[float], float]
    ) -> Bytes:
        """Return bytes after all fades, by a table of the 256 values that a byte can have."""
        table: NDArray[np.float64] = np.arange(256.0)
        for level, amount in zip(self.levels, amounts, strict=True):
            table += (byte_of(level) - table) * amount
        return table.round().astype(np.uint8).take(values)


def split_fade(task: AblationTask) -> tuple[AblationTask, PictureFade]:
    """Return the task without the targets that fade the picture to a grey, and those.

    They all stay in the task if there is nothing else in it.
    """
    columns, levels, others = list[int](), list[float](), list[int]()
    targets, start = [], 0
    for target in task.targets:
        level = None
        if target.units.layers == (PICTURE,) and target.operator.constant:
            ((_, replacement),) = replace(task, targets=(target,)).bind_operators()
            value = replacement(torch.zeros(1), PICTURE)
            level = float(value) if value.numel() == 1 and abs(float(value)) <= 1 else None
        width = len(target.units)
        if level is None:
            targets.append(target)
            others += range(start, start + width)
        else:
            columns.append(start)
            levels.append(level)
        start += width
    if not targets:
        return task, PictureFade((), (), torch.arange(start))
    network = replace(task, targets=tuple(targets))
    return network, PictureFade(tuple(columns), tuple(levels), torch.tensor(others))
