"""DCGANs of any make: a state dict of transposed convolutions, each with or without a batch normalisation behind it.

Names say nothing here; order and shapes do. Strides and paddings are no part of a state dict and are what they are in
the paper and its many descendants: the first convolution unfolds ``z``, every other one doubles the resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from forgetting.models.checkpoints.stylegan import Converted

EPS = 1e-5
"""What batch normalisation adds to the variance."""


def convert(state: Mapping[str, Tensor], labels: int = 0) -> Converted:
    """A state dict, and how many of the first convolution's inputs are classes -> a network of ours.

    Raises:
        KeyError, ValueError: it is no chain of transposed convolutions.
    """
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        where, _, field = name.rpartition(".")
        modules.setdefault(where, {})[field] = tensor
    convs: list[dict[str, Tensor]] = []
    norms: list[dict[str, Tensor] | None] = []
    for name, module in modules.items():
        if module["weight"].ndim == 4:
            convs.append(module)
            norms.append(None)
        elif "running_mean" in module and convs and norms[-1] is None:
            norms[-1] = module
        else:
            raise ValueError(
                f"{name} is neither a convolution nor the batch normalisation behind one"
            )
    for before, after in pairwise(convs):
        if before["weight"].shape[1] != after["weight"].shape[0]:
            raise ValueError(
                f"a convolution to {before['weight'].shape[1]} channels is followed by one of {after['weight'].shape[0]}"
            )
    if len(convs) < 2 or norms[-1] is not None:
        raise ValueError(
            "there must be a convolution, and one to the picture without normalisation"
        )
    *blocks, last = convs
    ours = {f"to_image.{field}": tensor for field, tensor in last.items()}
    for k, (conv, norm) in enumerate(zip(blocks, norms, strict=False)):
        ours[f"blocks.{k}.conv.weight"] = conv["weight"]
        ours |= {
            f"blocks.{k}.norm.{field}": tensor for field, tensor in _normalised(conv, norm).items()
        }
    return "dcgan", {
        "channels": [conv["weight"].shape[1] for conv in blocks],
        "z_dim": blocks[0]["weight"].shape[0] - labels,
        "labels": labels,
        "kernels": [conv["weight"].shape[2] for conv in convs],
        "image_channels": last["weight"].shape[1],
        "image_bias": "bias" in last,
    }, ours  # fmt: skip


def _normalised(conv: Mapping[str, Tensor], norm: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """A batch normalisation that also does what the convolution's bias did; one that changes nothing where there is none."""
    zeros = torch.zeros(conv["weight"].shape[1])
    bias = conv.get("bias", zeros)
    if norm is None:
        norm = {
            "weight": zeros + 1,
            "bias": bias,
            "running_mean": zeros,
            "running_var": zeros + (1 - EPS),
        }
    elif "bias" in conv:
        norm = {**norm, "running_mean": norm["running_mean"] - bias}
    return {"num_batches_tracked": torch.tensor(0), **norm}
