"""StyleGAN2 as the widespread PyTorch port by Kim Seonghyeon ("rosinality") stores it: the dictionary ``g_ema`` of a
``.pt`` file, with the centre of truncation in ``latent_avg`` where somebody put it there."""

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
"""Over how many the centre of truncation is a mean, where the file has none; as many as the port itself takes."""

WIDEST = 8192
"""Of a mapping; so many faces at once would take too much memory otherwise."""

RATE = 0.01
"""The mapping's learning-rate multiplier, which no such file tells and nobody changes."""


def convert(state: Mapping[str, Tensor], centre: Tensor | None) -> Converted:
    """The port's state dict, and ``latent_avg`` -> a network of ours.

    Raises:
        KeyError, ValueError: it lacks something, or does not fit together.
    """
    blocks = 1 + sum(key.startswith("to_rgbs.") and key.endswith(".conv.weight") for key in state)
    ours = {"const": state["input.input"], "taps": stylegan.taps(state["convs.0.conv.blur.kernel"])}
    for k in range(
        2 * blocks - 1
    ):  # conv1, convs.0, convs.1, ...: one at the first size, two at every other
        theirs, size = ("conv1" if k == 0 else f"convs.{k - 1}"), (k + 1) // 2
        name = f"convs.b{4 * 2**size}_conv{(k + 1) % 2}"
        weight = state[f"{theirs}.conv.weight"][0]
        ours |= stylegan.linear(state, f"{theirs}.conv.modulation", f"{name}.affine")
        ours[f"{name}.weight"], ours[f"{name}.bias"] = (
            weight / weight[0].numel() ** 0.5,
            state[f"{theirs}.activate.bias"],
        )
        # Files from before the noise was kept have none: theirs was drawn anew for every picture, and zero is its mean.
        quiet, noise = (
            stylegan.zero_noise(ours["const"], size)[None, None],
            state.get(f"noises.noise_{k}"),
        )
        ours[f"{name}.noise"] = quiet if noise is None else noise * state[f"{theirs}.noise.weight"]
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
