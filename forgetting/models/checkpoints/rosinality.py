"""StyleGAN2 as the widespread PyTorch port by Kim Seonghyeon ("rosinality") stores it.

It is the dictionary ``g_ema`` of a ``.pt`` file. Some files have the centre of truncation in
``latent_avg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting.models.architectures.style import MappingNetwork
from forgetting.models.checkpoints import stylegan
from forgetting.models.checkpoints.stylegan import Converted

FACES = 4096
"""The number of faces whose mean is the centre of truncation, if the file has none.

The port itself takes as many.
"""

WIDEST = 8192
"""The largest width of a mapping network; beyond it, so many faces would take too much memory."""

RATE = 0.01
"""The learning-rate multiplier of the mapping network, which such files do not hold."""


def convert(state: Mapping[str, Tensor], centre: Tensor | None) -> Converted:
    """Convert a state dict of the port into one of our networks.

    Args:
        state: the state dict.
        centre: ``latent_avg``, if the file has it.

    Raises:
        KeyError: a weight is missing.
        ValueError: the weights do not fit together.
    """
    blocks = 1 + sum(key.startswith("to_rgbs.") and key.endswith(".conv.weight") for key in state)
    ours = {"const": state["input.input"], "taps": stylegan.taps(state["convs.0.conv.blur.kernel"])}
    # conv1, convs.0, convs.1, ...: one at the first size, two at every other size.
    for k in range(2 * blocks - 1):
        theirs, size = ("conv1" if k == 0 else f"convs.{k - 1}"), (k + 1) // 2
        name = f"convs.b{4 * 2**size}_conv{(k + 1) % 2}"
        weight = state[f"{theirs}.conv.weight"][0]
        ours |= stylegan.linear(state, f"{theirs}.conv.modulation", f"{name}.affine")
        ours[f"{name}.weight"], ours[f"{name}.bias"] = (
            weight / weight[0].numel() ** 0.5,
            state[f"{theirs}.activate.bias"],
        )
        # Early versions of the port drew new noise for every picture and stored none. Its mean is
        # zero.
        noise = state.get(f"noises.noise_{k}")
        ours[f"{name}.noise"] = (
            stylegan.zero_noise(ours["const"], size)[None, None]
            if noise is None
            else noise * state[f"{theirs}.noise.weight"]
        )
    for k in range(blocks):
        theirs, name = ("to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"), f"to_image.b{4 * 2**k}"
        weight = state[f"{theirs}.conv.weight"][0]
        ours |= stylegan.linear(state, f"{theirs}.conv.modulation", f"{name}.affine")
        ours[f"{name}.weight"], ours[f"{name}.bias"] = (
            weight / weight[0].numel() ** 0.5,
            state[f"{theirs}.bias"].flatten(),
        )
    layers = [f"style.{k}" for k in range(1, len(state)) if f"style.{k}.weight" in state]
    widths, z_dim = (
        [len(state[f"{layer}.weight"]) for layer in layers],
        state[f"{layers[0]}.weight"].shape[1],
    )
    if max(z_dim, *widths) > WIDEST:
        raise ValueError(f"its mapping is wider than {WIDEST}")
    mapping: dict[str, Tensor] = {}
    for k, layer in enumerate(layers):
        mapping |= stylegan.linear(state, layer, f"dense.{k}", RATE)
    mapping["w_avg"] = torch.zeros(widths[-1]) if centre is None else centre.flatten()
    if centre is None:
        network = MappingNetwork(z_dim, widths)
        network.load_state_dict(mapping)
        z = torch.from_numpy(np.random.RandomState(0).randn(FACES, z_dim)).float()
        with torch.no_grad():
            mapping["w_avg"] = network(z, 1.0, None).mean(dim=0)
    hyperparameters: dict[str, Any] = {
        "channels": [len(ours[f"convs.b{4 * 2**k}_conv1.weight"]) for k in range(blocks)],
        "size": list(ours["const"].shape[2:]),
        "z_dim": z_dim,
        "mapping": widths,
        "image_channels": len(ours["to_image.b4.bias"]),
    }
    return (
        "stylegan2",
        hyperparameters,
        ours | {f"style.{name}": tensor for name, tensor in mapping.items()},
    )
