"""What the files of all StyleGANs share: layers that the original scales in every pass.

Here, the weights are scaled once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Converted = tuple[str, dict[str, Any], dict[str, Tensor]]
"""Architecture, hyperparameters and state dict of one of our networks."""


def linear(
    state: Mapping[str, Tensor], theirs: str, ours: str, rate: float = 1.0
) -> dict[str, Tensor]:
    """Return a linear layer with its learning-rate multiplier and its scaling by fan-in.

    See Karras et al. 2018, "Progressive Growing of GANs", section 4.1.

    Args:
        state: the state dict of the file.
        theirs: the name of the layer there.
        ours: the name in our network.
        rate: the learning-rate multiplier.
    """
    weight = state[f"{theirs}.weight"]
    return {
        f"{ours}.weight": weight * (rate / weight.shape[1] ** 0.5),
        f"{ours}.bias": state[f"{theirs}.bias"] * rate,
    }


def zero_noise(const: Tensor, doublings: int) -> Tensor:
    """Return the noise [H, W] of a layer that has none.

    It takes no memory: how often a size doubles is only a name in the file, which could be wrong.
    """
    return const.new_zeros(()).expand(*(n * 2**doublings for n in const.shape[2:]))


def taps(kernel: Tensor) -> Tensor:
    """Return the taps [4] of a separable low-pass ``kernel`` [4, 4] of any scale; they sum to one.

    Raises:
        ValueError: it is another kind of filter.
    """
    kernel = kernel / kernel.sum()
    row = kernel.sum(dim=0)
    if row.shape != (4,) or not torch.allclose(torch.outer(row, row), kernel, rtol=1e-4, atol=1e-6):
        raise ValueError(
            f"its resampling filter is {list(kernel.shape)}; "
            "we read four taps, the same in both directions"
        )
    return row
