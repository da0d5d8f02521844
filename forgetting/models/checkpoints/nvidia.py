"""Networks of NVIDIA's PyTorch code: StyleGAN2-ADA, StyleGAN3, and StyleGAN2 in its format.

Such a file holds the names and shapes of weights, and the arguments of the network's constructor.
The original scales by fan-in, by learning-rate multipliers and by the strength of noise in every
pass. Here the weights are scaled once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from forgetting.models.architectures.activations import ACTIVATIONS
from forgetting.models.checkpoints.nvidia_arguments import MadeWith
from forgetting.models.checkpoints.stylegan import Converted, linear, low_passes, zero_noise
from forgetting.models.checkpoints.weights import NotReadError, Weights, read_completely

PASSIVE = {
    r"synthesis\.b\d+\.(conv1\.)?resample_filter": (
        "only layers that double something apply it, and what they apply is read"
    ),
}
"""Tensors that no picture depends on, and why."""

_STYLEGAN3_ARGUMENTS = {
    "critical": "num_critical",
    "first_cutoff": "first_cutoff",
    "first_stop": "first_stopband",
    "last_stop": "last_stopband_rel",
    "margin": "margin_size",
    "taps": "filter_size",
    "oversampling": "lrelu_upsampling",
    "scale": "output_scale",
}
"""Our hyperparameters, and NVIDIA's names for them."""


def convert(state: Mapping[str, Tensor], made_with: MadeWith) -> Converted:
    """Convert a generator of NVIDIA's into one of our networks.

    Args:
        state: its state dict.
        made_with: how it was made.

    Raises:
        KeyError: a weight is missing.
        NotReadError: we do not read such networks.
        ValueError: the weights do not fit together.
        TypeError: an argument has a wrong type.
    """
    with read_completely(state, PASSIVE) as weights:
        if "synthesis.input.freqs" in weights:
            return _stylegan3(weights, made_with)
        return _stylegan2(weights, made_with)


def _stylegan2(state: Weights, made_with: MadeWith) -> Converted:
    settings = made_with.synthesis(stylegan3=False)
    sizes = sorted(
        {int(match[1]) for key in state if (match := re.match(r"synthesis\.b(\d+)\.", key))}
    )
    if sizes != [4 * 2**k for k in range(len(sizes))]:
        raise NotReadError(f"its resolutions are {sizes}; we read 4 and its doubles")
    architecture = _architecture(state, sizes, made_with, settings)
    convs = r"synthesis\.b\d+\.conv[01]"
    activation = made_with.common(convs, "activation", settings.get("activation", "lrelu"))
    if activation not in ACTIVATIONS:
        raise NotReadError(
            f"the activation of its synthesis is {ascii(activation)[:40]}; "
            f"we read {', '.join(ACTIVATIONS)}"
        )
    gain = made_with.common(convs, "act_gain", ACTIVATIONS[activation].gain)
    if abs(gain - ACTIVATIONS[activation].gain) > 1e-6:
        raise NotReadError(f"the gain of its {activation} is {gain!r}")
    noisy = made_with.common(convs, "use_noise", settings.get("use_noise", True))
    ours = {"const": state["synthesis.b4.const"][None]}
    for index, size in enumerate(sizes):
        block, name = f"synthesis.b{size}", f"b{4 * 2**index}"
        for conv in ("conv0", "conv1") if index else ("conv1",):
            ours |= _conv(state, f"{block}.{conv}", f"convs.{name}_{conv}")
            noise = zero_noise(ours["const"], index)
            if f"{block}.{conv}.noise_const" in state:
                strength = state[f"{block}.{conv}.noise_strength"]
                stored = state[f"{block}.{conv}.noise_const"] * strength
                noise = stored if noisy else noise
            ours[f"convs.{name}_{conv}.noise"] = noise[None, None]
        if architecture == "skip" or size == sizes[-1]:
            ours |= linear(state, f"{block}.torgb.affine", f"to_image.{name}.affine")
            ours[f"to_image.{name}.weight"] = _by_fan_in(state[f"{block}.torgb.weight"])
            ours[f"to_image.{name}.bias"] = state[f"{block}.torgb.bias"]
        if architecture == "resnet" and index:
            # The sum of both ways is divided by the square root of two.
            weight = _by_fan_in(state[f"{block}.skip.weight"]) * 0.5**0.5
            ours[f"shortcuts.{name}.weight"] = weight
    doubling = [f"synthesis.b{size}" for size in sizes[1:]]
    of_maps = [f"{block}.conv0" for block in doubling]
    of_maps += [f"{block}.skip" for block in doubling if architecture == "resnet"]
    of_picture = doubling if architecture == "skip" else []
    lengths, filters = low_passes(
        [state[f"{name}.resample_filter"] for name in of_maps],
        [state[f"{name}.resample_filter"] for name in of_picture],
    )
    mapping, weights = _mapping(state, made_with)
    hyperparameters = (
        mapping
        | lengths
        | {
            "channels": [len(state[f"synthesis.b{size}.conv1.weight"]) for size in sizes],
            "size": list(ours["const"].shape[2:]),
            "image_channels": len(state[f"synthesis.b{sizes[-1]}.torgb.weight"]),
            "skip": architecture == "skip",
            "residual": architecture == "resnet",
            "activation": activation,
            "clamp": made_with.common(
                r"synthesis\.b\d+(\.conv[01]|\.torgb)?", "conv_clamp", settings.get("conv_clamp")
            ),
        }
    )
    return "stylegan2", hyperparameters, ours | filters | weights


def _architecture(
    state: Weights, sizes: list[int], made_with: MadeWith, settings: Mapping[str, Any]
) -> str:
    """Return how the parts of a StyleGAN2 are added up: skip, resnet or orig.

    Raises:
        NotReadError: it says otherwise than its weights.
    """
    if any(key.endswith(".skip.weight") for key in state):
        shown = "resnet"
    else:
        shown = "skip" if "synthesis.b4.torgb.weight" in state else "orig"
    named = made_with.common(
        r"synthesis\.b\d+", "architecture", settings.get("architecture", shown)
    )
    if named != shown and len(sizes) > 1:
        raise NotReadError(
            f"its architecture is {ascii(named)[:40]}, and its weights are those of {shown}"
        )
    return shown


def _stylegan3(state: Weights, made_with: MadeWith) -> Converted:
    settings = made_with.synthesis(stylegan3=True)
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
    if settings.get("num_layers", len(convs)) != len(convs):
        raise ValueError(f"its num_layers is not the number of its layers, {len(convs)}")
    for theirs in convs:
        name = f"convs.{theirs.partition('.')[2]}"
        # A layer that does not change the sampling rate has no filter.
        up, down = (state.get(f"{theirs}.{way}_filter", torch.ones(1)) for way in ("up", "down"))
        ours |= _conv(state, theirs, name) | {
            f"{name}.loudness": state[f"{theirs}.magnitude_ema"].rsqrt(),
            f"{name}.up_taps": up,
            f"{name}.down_taps": down if down.ndim == 2 else torch.outer(down, down),
        }
    weight = state[f"{last}.weight"]
    ours |= linear(state, f"{last}.affine", "to_image.affine")
    ours["to_image.weight"] = _by_fan_in(weight * state[f"{last}.magnitude_ema"].rsqrt())
    ours["to_image.bias"] = state[f"{last}.bias"]
    mapping, weights = _mapping(state, made_with)
    hyperparameters = mapping | {
        "resolution": int(last.split("_")[1]),
        "channels": [len(state[f"{name}.weight"]) for name in convs],
        "image_channels": len(weight),
        "kernel": state[f"{convs[0]}.weight"].shape[2],
        **{
            name: settings[theirs]
            for name, theirs in _STYLEGAN3_ARGUMENTS.items()
            if theirs in settings
        },
    }
    clamp = made_with.common(r"synthesis\.L.*", "conv_clamp", settings.get("conv_clamp", 256))
    return "stylegan3", hyperparameters | {"clamp": clamp}, ours | weights


def _conv(state: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """Return weight, bias and style of a modulated convolution."""
    return {
        **linear(state, f"{theirs}.affine", f"{ours}.affine"),
        f"{ours}.weight": state[f"{theirs}.weight"],
        f"{ours}.bias": state[f"{theirs}.bias"],
    }


def _by_fan_in(weight: Tensor) -> Tensor:
    """Return the weight of a convolution, scaled by fan-in."""
    scaled: Tensor = weight / weight[0].numel() ** 0.5
    return scaled


def _mapping(state: Weights, made_with: MadeWith) -> tuple[dict[str, Any], dict[str, Tensor]]:
    settings = made_with.mapping
    activation = made_with.common(
        r"mapping\.fc\d+", "activation", settings.get("activation", "lrelu")
    )
    if activation != "lrelu":
        raise NotReadError(
            f"the activation of its mapping network is {ascii(activation)[:40]}; we read lrelu"
        )
    layers = sorted(
        int(match[1]) for key in state if (match := re.fullmatch(r"mapping\.fc(\d+)\.weight", key))
    )
    ours: dict[str, Tensor] = {}
    widths = []
    for layer in layers:
        ours |= linear(
            state, f"mapping.fc{layer}", f"style.dense.{layer}", settings.get("lr_multiplier", 0.01)
        )
        widths.append(len(state[f"mapping.fc{layer}.weight"]))
    labels = embed = 0
    if "mapping.embed.weight" in state:
        ours |= linear(state, "mapping.embed", "style.embed")
        embed, labels = state["mapping.embed.weight"].shape
    # Networks that were trained without it (w_avg_beta=None) cannot be truncated.
    centre = "mapping.w_avg" in state
    if centre:
        ours["style.w_avg"] = state["mapping.w_avg"]
    z_dim = state["mapping.fc0.weight"].shape[1] - embed
    arguments = {**made_with.arguments, "num_layers": settings.get("num_layers", len(widths))}
    for name, value in (
        ("z_dim", z_dim),
        ("c_dim", labels),
        ("w_dim", widths[-1]),
        ("num_layers", len(widths)),
    ):
        if arguments.get(name, value) != value:
            raise ValueError(f"its {name} is {arguments[name]!r}, but its weights are for {value}")
    hyperparameters = {"z_dim": z_dim, "mapping": widths, "labels": labels, "embed": embed}
    return hyperparameters | {"centre": centre}, ours
