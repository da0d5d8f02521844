"""Networks of NVIDIA's PyTorch code: StyleGAN2-ADA, StyleGAN3, and StyleGAN2 in its format.

Such a file holds the names and shapes of weights, and the arguments of the network's constructor.
The original scales by fan-in, by learning-rate multipliers and by the strength of noise in every
pass. Here the weights are scaled once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from forgetting.models.checkpoints.stylegan import Converted, linear, taps, zero_noise

_ARGUMENTS = {
    "critical": "num_critical",
    "first_cutoff": "first_cutoff",
    "first_stop": "first_stopband",
    "last_stop": "last_stopband_rel",
    "margin": "margin_size",
    "taps": "filter_size",
    "oversampling": "lrelu_upsampling",
    "scale": "output_scale",
    "clamp": "conv_clamp",
}
"""Our hyperparameters, and NVIDIA's names for them."""

_NUMBERS = {*_ARGUMENTS.values(), "lr_multiplier"}


def convert(state: Mapping[str, Tensor], made_with: Mapping[str, Any]) -> Converted:
    """Convert a generator of NVIDIA's into one of our networks.

    Args:
        state: its state dict.
        made_with: the arguments of its constructor.

    Raises:
        KeyError: a weight is missing.
        ValueError: the weights do not fit together, or we do not read such networks.
        TypeError: an argument has a wrong type.
    """
    settings = {**made_with, **made_with.get("synthesis_kwargs", {})}
    for name, value in settings.items():
        if (
            name in _NUMBERS
            and not (type(value) in (int, float) and math.isfinite(value))
            and not (value is None and name == "conv_clamp")
        ):
            raise ValueError(f"its {name} is no number")
    return (
        _stylegan3(state, settings)
        if "synthesis.input.freqs" in state
        else _stylegan2(state, settings)
    )


def _stylegan2(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Converted:
    if any(key.endswith(".skip.weight") for key in state):
        raise ValueError("its architecture is resnet; we read skip and orig")
    blocks = sorted(
        {int(match[1]) for key in state if (match := re.match(r"synthesis\.b(\d+)\.", key))}
    )
    ours = {
        "const": state["synthesis.b4.const"][None],
        "taps": taps(state["synthesis.b4.resample_filter"]),
    }
    for index, size in enumerate(blocks):
        block = f"synthesis.b{size}"
        for conv in ("conv0", "conv1") if index else ("conv1",):
            theirs, name = f"{block}.{conv}", f"convs.b{4 * 2**index}_{conv}"
            ours |= linear(state, f"{theirs}.affine", f"{name}.affine")
            ours |= {
                f"{name}.weight": state[f"{theirs}.weight"],
                f"{name}.bias": state[f"{theirs}.bias"],
            }
            if f"{theirs}.noise_const" in state:
                noise = state[f"{theirs}.noise_const"] * state.get(f"{theirs}.noise_strength", 0.0)
            else:
                noise = zero_noise(ours["const"], index)
            ours[f"{name}.noise"] = noise[None, None]
        if f"{block}.torgb.weight" in state:
            weight, name = state[f"{block}.torgb.weight"], f"to_image.b{4 * 2**index}"
            ours |= linear(state, f"{block}.torgb.affine", f"{name}.affine")
            ours |= {
                f"{name}.weight": weight / weight[0].numel() ** 0.5,
                f"{name}.bias": state[f"{block}.torgb.bias"],
            }
    last = state[f"synthesis.b{blocks[-1]}.torgb.weight"]
    mapping, weights = _mapping(state, settings)
    hyperparameters = mapping | {
        "channels": [len(state[f"synthesis.b{size}.conv1.weight"]) for size in blocks],
        "size": list(ours["const"].shape[2:]),
        "image_channels": len(last),
        "skip": "synthesis.b4.torgb.weight" in state,
        "clamp": settings.get("conv_clamp"),
    }
    return "stylegan2", hyperparameters, ours | weights


def _stylegan3(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Converted:
    source = "synthesis.input"
    ours = {
        f"source.{name}": state[f"{source}.{name}"] for name in ("freqs", "phases", "transform")
    }
    ours |= linear(state, f"{source}.affine", "source.affine")
    ours["source.weight"] = state[f"{source}.weight"] / len(state[f"{source}.weight"]) ** 0.5
    names = {
        int(match[1]): match[0]
        for key in state
        if (match := re.match(r"synthesis\.L(\d+)_\d+_\d+", key))
    }
    *convs, last = (names[index] for index in range(len(names)))
    for theirs in convs:
        name = f"convs.{theirs.partition('.')[2]}"
        ours |= linear(state, f"{theirs}.affine", f"{name}.affine")
        ours |= {
            f"{name}.weight": state[f"{theirs}.weight"],
            f"{name}.bias": state[f"{theirs}.bias"],
        }
        down = state[f"{theirs}.down_filter"]
        ours |= {
            f"{name}.loudness": state[f"{theirs}.magnitude_ema"].rsqrt(),
            f"{name}.up_taps": state[f"{theirs}.up_filter"],
            f"{name}.down_taps": down if down.ndim == 2 else torch.outer(down, down),
        }
    weight = state[f"{last}.weight"]
    ours |= linear(state, f"{last}.affine", "to_image.affine")
    ours["to_image.weight"] = (
        weight * state[f"{last}.magnitude_ema"].rsqrt() / weight[0].numel() ** 0.5
    )
    ours["to_image.bias"] = state[f"{last}.bias"]
    mapping, weights = _mapping(state, settings)
    hyperparameters = mapping | {
        "resolution": int(last.split("_")[1]),
        "channels": [len(state[f"{name}.weight"]) for name in convs],
        "image_channels": len(weight),
        "kernel": state[f"{convs[0]}.weight"].shape[2],
        **{ours: settings[name] for ours, name in _ARGUMENTS.items() if name in settings},
    }
    return "stylegan3", hyperparameters, ours | weights


def _mapping(
    state: Mapping[str, Tensor], made_with: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    settings = made_with.get("mapping_kwargs", {})
    if settings.get("activation", "lrelu") != "lrelu":
        raise ValueError(
            f"the activation of its mapping network is {settings['activation']!r}; we read lrelu"
        )
    layers = sorted(
        int(match[1]) for key in state if (match := re.fullmatch(r"mapping\.fc(\d+)\.weight", key))
    )
    ours, widths = {"style.w_avg": state["mapping.w_avg"]}, []
    for layer in layers:
        ours |= linear(
            state, f"mapping.fc{layer}", f"style.dense.{layer}", settings.get("lr_multiplier", 0.01)
        )
        widths.append(len(state[f"mapping.fc{layer}.weight"]))
    labels = embed = 0
    if "mapping.embed.weight" in state:
        ours |= linear(state, "mapping.embed", "style.embed")
        embed, labels = state["mapping.embed.weight"].shape
    z_dim = state["mapping.fc0.weight"].shape[1] - embed
    arguments = {**made_with, **settings}
    for name, value in (
        ("z_dim", z_dim),
        ("c_dim", labels),
        ("w_dim", widths[-1]),
        ("num_layers", len(widths)),
    ):
        if arguments.get(name, value) != value:
            raise ValueError(f"its {name} is {arguments[name]!r}, but its weights are for {value}")
    return {"z_dim": z_dim, "mapping": widths, "labels": labels, "embed": embed}, ours
