"""StyleGAN2 as the widespread PyTorch port by Kim Seonghyeon ("rosinality") stores it.

It is the dictionary ``g_ema`` of a ``.pt`` file. Some files have the centre of truncation in
``latent_avg``. The encoders pSp and e4e keep the same network under ``decoder.``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting.models.architectures.style import MappingNetwork
from forgetting.models.checkpoints import stylegan
from forgetting.models.checkpoints.stylegan import Converted
from forgetting.models.checkpoints.weights import NotReadError, Weights, read_completely

FACES = 4096
"""The number of faces whose mean is the centre of truncation, if the file has none.

The port itself takes as many.
"""

WIDEST = 8192
"""The largest width of a mapping network; beyond it, so many faces would take too much memory."""

RATE = 0.01
"""The learning-rate multiplier of the mapping network, which such files do not hold."""

_WAVELETS = re.compile(r"(.*\.)?[id]wt\..*")
"""Names of the wavelets of a SWAGAN."""


def convert(state: Mapping[str, Tensor], centre: Tensor | None) -> Converted:
    """Convert a state dict of the port into one of our networks.

    Args:
        state: the state dict.
        centre: ``latent_avg``, if the file has it.

    Raises:
        KeyError: a weight is missing.
        NotReadError: we do not read such networks.
        ValueError: the weights do not fit together.
    """
    if any(_WAVELETS.fullmatch(name) for name in state):
        raise NotReadError(
            "it is a SWAGAN, which adds up the wavelets of its picture; we read StyleGAN2, which "
            "adds up pictures"
        )
    with read_completely(state) as weights:
        return _convert(weights, centre)


def _convert(state: Weights, centre: Tensor | None) -> Converted:
    blocks = 1 + sum(key.startswith("to_rgbs.") and key.endswith(".conv.weight") for key in state)
    ours = {"const": state["input.input"]}
    # conv1, convs.0, convs.1, ...: one at the first size, two at every other size.
    for k in range(2 * blocks - 1):
        theirs, size = ("conv1" if k == 0 else f"convs.{k - 1}"), (k + 1) // 2
        name = f"convs.b{4 * 2**size}_conv{(k + 1) % 2}"
        ours |= _conv(state, theirs, name)
        ours[f"{name}.bias"] = state[f"{theirs}.activate.bias"]
        # Early versions of the port drew new noise for every picture and stored none. Its mean is
        # zero.
        strength, stored = state[f"{theirs}.noise.weight"], state.get(f"noises.noise_{k}")
        noise = stylegan.zero_noise(ours["const"], size)[None, None]
        ours[f"{name}.noise"] = noise if stored is None else stored * strength
    for k in range(blocks):
        theirs, name = ("to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"), f"to_image.b{4 * 2**k}"
        ours |= _conv(state, theirs, name)
        ours[f"{name}.bias"] = state[f"{theirs}.bias"].flatten()
    # The port has one low-pass for its maps, which can be chosen, and another one for its picture.
    lengths, filters = stylegan.low_passes(
        [state[f"convs.{2 * k}.conv.blur.kernel"] for k in range(blocks - 1)],
        [state[f"to_rgbs.{k}.upsample.kernel"] for k in range(blocks - 1)],
    )
    channels = len(ours["to_image.b4.bias"])
    if channels > 4:
        raise NotReadError(f"its picture has {channels} channels; the port's has three")
    mapping, weights = _mapping(state, centre)
    hyperparameters: dict[str, Any] = {
        "channels": [len(ours[f"convs.b{4 * 2**k}_conv1.weight"]) for k in range(blocks)],
        "size": list(ours["const"].shape[2:]),
        "image_channels": channels,
    }
    return "stylegan2", hyperparameters | mapping | lengths, ours | filters | weights


def _conv(state: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """Return weight and style of a modulated convolution."""
    weight = state[f"{theirs}.conv.weight"]
    if weight.ndim != 5 or len(weight) != 1:
        raise ValueError(f"{theirs}.conv.weight is {list(weight.shape)}, not [1, out, in, k, k]")
    return {
        **stylegan.linear(state, f"{theirs}.conv.modulation", f"{ours}.affine"),
        f"{ours}.weight": weight[0] / weight[0, 0].numel() ** 0.5,
    }


def _mapping(state: Weights, centre: Tensor | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    layers = [f"style.{k}" for k in range(1, len(state)) if f"style.{k}.weight" in state]
    widths = [len(state[f"{layer}.weight"]) for layer in layers]
    z_dim = state[f"{layers[0]}.weight"].shape[1]
    if max(z_dim, *widths) > WIDEST:
        raise ValueError(f"its mapping is wider than {WIDEST}")
    mapping: dict[str, Tensor] = {}
    for k, layer in enumerate(layers):
        mapping |= stylegan.linear(state, layer, f"dense.{k}", RATE)
    if centre is None:
        network = MappingNetwork(z_dim, widths, centre=False)
        network.load_state_dict(mapping)
        z = torch.from_numpy(np.random.RandomState(0).randn(FACES, z_dim)).float()
        with torch.no_grad():
            mapping["w_avg"] = network(z, 1.0, None).mean(dim=0)
    else:
        mapping["w_avg"] = _centre(centre.float(), widths[-1])
    ours = {f"style.{name}": tensor for name, tensor in mapping.items()}
    return {"z_dim": z_dim, "mapping": widths}, ours


def _centre(centre: Tensor, width: int) -> Tensor:
    """Return the centre of truncation [width]; pSp and e4e repeat it for every layer."""
    rows = centre.reshape(-1, width)
    if not len(rows) or not torch.equal(rows, rows[:1].expand_as(rows)):
        raise NotReadError("its latent_avg differs from layer to layer; we read one for all")
    return rows[0].clone()
