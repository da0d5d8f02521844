"""State dicts of DCGANs: transposed convolutions, each with or without batch normalisation.

Implementations name their layers in many ways, so only the order and the shapes of the weights
count. Strides and paddings are no part of a state dict. We take those of the paper: the first
convolution turns ``z`` into a map, every other one doubles the resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from forgetting.models.checkpoints.stylegan import Converted

EPS = 1e-5
"""The value that batch normalisation adds to the variance."""


def convert(state: Mapping[str, Tensor], labels: int = 0) -> Converted:
    """Convert a state dict into one of our networks.

    Args:
        state: the state dict.
        labels: how many of the first convolution's inputs are classes.

    Raises:
        KeyError: a weight is missing.
        ValueError: it is no chain of transposed convolutions.
    """
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        path, _, field = name.rpartition(".")
        modules.setdefault(path, {})[field] = tensor
    convs: list[dict[str, Tensor]] = []
    norms: list[dict[str, Tensor] | None] = []
    for name, module in modules.items():
        if module["weight"].ndim == 4:
            convs.append(module)
            norms.append(None)
        elif "running_mean" in module and convs and norms[-1] is None:
            norms[-1] = module
        else:
            raise ValueError(f"{name} is neither a convolution nor a batch normalisation behind it")
    for before, after in pairwise(convs):
        if before["weight"].shape[1] != after["weight"].shape[0]:
            raise ValueError(
                f"a convolution to {before['weight'].shape[1]} channels "
                f"is followed by one of {after['weight'].shape[0]}"
            )
    if len(convs) < 2 or norms[-1] is not None:
        raise ValueError("it needs two or more convolutions, and the last one has no normalisation")
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
    """Return a batch normalisation that includes the bias of the convolution in front of it.

    Without a normalisation, it is one that only adds the bias.
    """
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
