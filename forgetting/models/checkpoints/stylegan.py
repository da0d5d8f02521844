"""What the files of all StyleGANs have in common: layers that are scaled in every pass, which we scale once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Converted = tuple[str, dict[str, Any], dict[str, Tensor]]
"""Architecture, hyperparameters, state dict of ours."""


def linear(
    state: Mapping[str, Tensor], theirs: str, ours: str, rate: float = 1.0
) -> dict[str, Tensor]:
    """A linear layer with its learning-rate multiplier and its scaling by fan-in (Karras et al. 2018, "Progressive
    Growing of GANs", section 4.1)."""
    weight = state[f"{theirs}.weight"]
    return {
        f"{ours}.weight": weight * (rate / weight.shape[1] ** 0.5),
        f"{ours}.bias": state[f"{theirs}.bias"] * rate,
    }


def zero_noise(const: Tensor, doublings: int) -> Tensor:
    """[H, W]: the noise of a layer that has none. It takes no memory, for how often a size doubles is only a name in the file."""
    return const.new_zeros(()).expand(*(n * 2**doublings for n in const.shape[2:]))


def taps(kernel: Tensor) -> Tensor:
    """[4, 4] low-pass, however loud -> [4]: the taps that sum to one and whose product with themselves it is.

    Raises:
        ValueError: it is another kind of filter.
    """
    kernel = kernel / kernel.sum()
    found = kernel.sum(dim=0)
    if found.shape != (4,) or not torch.allclose(
        torch.outer(found, found), kernel, rtol=1e-4, atol=1e-6
    ):
        raise ValueError(
            f"its resampling filter is {list(kernel.shape)}; four taps, the same in both directions, are read"
        )
    return found
