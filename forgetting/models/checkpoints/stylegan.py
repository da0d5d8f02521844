"""What the files of all StyleGANs share: layers that the original scales in every pass.

Here, the weights are scaled once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.models.checkpoints.weights import NotReadError

Converted = tuple[str, dict[str, Any], dict[str, Tensor]]
"""Architecture, hyperparameters and state dict of one of our networks."""

_TAPS = 32
"""The largest number of taps of a filter; the longest in use have twelve."""


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


def low_passes(
    maps: Sequence[Tensor], picture: Sequence[Tensor]
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Return the hyperparameters and tensors of the low-passes of a StyleGAN2.

    Args:
        maps: the filters of all layers that double the maps, as the file holds them.
        picture: the filters of all layers that double the picture.
    """
    taps = _common_taps(maps or [torch.tensor([1.0, 3.0, 3.0, 1.0])])
    image_taps = _common_taps(picture) if picture else taps
    if torch.equal(taps, image_taps):
        return {"taps": len(taps)}, {"taps": taps}
    lengths = {"taps": len(taps), "image_taps": len(image_taps)}
    return lengths, {"taps": taps, "image_taps": image_taps}


def _common_taps(kernels: Sequence[Tensor]) -> Tensor:
    """Return the taps of the low-pass that all layers have."""
    first = kernels[0]
    if not all(kernel.shape == first.shape and torch.equal(kernel, first) for kernel in kernels):
        raise NotReadError("its layers have different low-passes; we read one for all of them")
    return taps(first)


def taps(kernel: Tensor) -> Tensor:
    """Return the taps [N] of a separable low-pass ``kernel`` [n] or [n, n]; they sum to one.

    N is even. An odd number of taps gets a zero in front, which does not move their output.

    Raises:
        NotReadError: it is another kind of filter.
    """
    kernel = kernel / kernel.sum()
    row = kernel.sum(dim=0) if kernel.ndim == 2 else kernel
    separable = kernel.ndim == 1 or (
        kernel.ndim == 2
        and kernel.shape[0] == kernel.shape[1]
        and torch.allclose(torch.outer(row, row), kernel, rtol=1e-4, atol=1e-6)
    )
    if not separable or not 0 < len(row) <= _TAPS or not torch.isfinite(row).all():
        raise NotReadError(
            f"its low-pass is {list(kernel.shape)}; we read at most {_TAPS} taps, the same in both "
            "directions"
        )
    return F.pad(row, (len(row) % 2, 0))
