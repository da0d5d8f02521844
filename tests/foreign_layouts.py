"""Networks of ours in the layouts that other people's files have.

This is the inverse of what ``forgetting.models.checkpoints.native`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3

STRENGTH = 0.5  # of noise


def _linear(
    state: Mapping[str, Tensor], ours: str, theirs: str, rate: float = 1.0
) -> dict[str, Tensor]:
    weight = state[f"{ours}.weight"]
    return {
        f"{theirs}.weight": weight * (weight.shape[1] ** 0.5 / rate),
        f"{theirs}.bias": state[f"{ours}.bias"] / rate,
    }


def _mapping(
    network: StyleGAN2 | StyleGAN3, rate: float
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state, found = network.state_dict(), {}
    if network.style.w_avg is not None:
        found["mapping.w_avg"] = network.style.w_avg
    for layer in range(len(network.style.dense)):
        found |= _linear(state, f"style.dense.{layer}", f"mapping.fc{layer}", rate)
    if network.labels:
        found |= _linear(state, "style.embed", "mapping.embed")
    kwargs = {
        "z_dim": network.z_dim,
        "c_dim": network.labels,
        "w_dim": network.w_dim,
        "img_resolution": network.size[0],
    }
    return found, kwargs | {
        "mapping_kwargs": {"num_layers": len(network.style.dense), "lr_multiplier": rate}
    }


def _torgb(
    state: Mapping[str, Tensor], ours: str, theirs: str, loudness: float = 1.0
) -> dict[str, Tensor]:
    weight = state[f"{ours}.weight"]
    found = {
        f"{theirs}.weight": weight * (weight[0].numel() ** 0.5 / loudness),
        f"{theirs}.bias": state[f"{ours}.bias"],
    }
    return found | _linear(state, f"{ours}.affine", f"{theirs}.affine")


def nvidia_stylegan2(
    network: StyleGAN2, rate: float = 0.01, nested: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and constructor arguments.

    ``nested``: as StyleGAN2-ADA has them, else as StyleGAN3's code base does.
    """
    state, made = network.state_dict(), network.hyperparameters
    found, kwargs = _mapping(network, rate)
    kernel, picture_kernel = (_nvidia_kernel(taps) for taps in _low_passes(network))
    for k, size in enumerate(4 * 2**k for k in range(len(network.hyperparameters["channels"]))):
        block = f"synthesis.b{size}"
        found[f"{block}.resample_filter"] = picture_kernel
        if f"shortcuts.b{size}.weight" in state:
            weight = state[f"shortcuts.b{size}.weight"] * 2**0.5
            found[f"{block}.skip.weight"] = weight * weight.shape[1] ** 0.5
            found[f"{block}.skip.resample_filter"] = kernel
        if k == 0:
            found[f"{block}.const"] = state["const"][0]
        for conv in ("conv0", "conv1")[k == 0 :]:
            ours, theirs = f"convs.b{size}_{conv}", f"{block}.{conv}"
            found |= {
                f"{theirs}.weight": state[f"{ours}.weight"],
                f"{theirs}.bias": state[f"{ours}.bias"],
            }
            found |= {
                f"{theirs}.noise_strength": torch.tensor(STRENGTH),
                f"{theirs}.noise_const": state[f"{ours}.noise"][0, 0] / STRENGTH,
            }
            found |= {
                f"{theirs}.resample_filter": kernel,
                **_linear(state, f"{ours}.affine", f"{theirs}.affine"),
            }
        if f"to_image.b{size}.weight" in state:
            found |= _torgb(state, f"to_image.b{size}", f"{block}.torgb")
    more = {"conv_clamp": network.clamp, "num_fp16_res": 4}
    if made["activation"] != "lrelu":
        more["activation"] = made["activation"]
    if made["residual"]:
        more["architecture"] = "resnet"
    return found, kwargs | ({"synthesis_kwargs": more} if nested else more)


def nvidia_stylegan3(
    network: StyleGAN3, rate: float = 0.01
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state, made = network.state_dict(), network.hyperparameters
    found, kwargs = _mapping(network, rate)
    found |= {
        f"synthesis.input.{name}": state[f"source.{name}"]
        for name in ("freqs", "phases", "transform")
    }
    found["synthesis.input.weight"] = state["source.weight"] * len(state["source.weight"]) ** 0.5
    found |= _linear(state, "source.affine", "synthesis.input.affine")
    for name in network.convs:
        ours, theirs = f"convs.{name}", f"synthesis.{name}"
        found |= {
            f"{theirs}.weight": state[f"{ours}.weight"],
            f"{theirs}.bias": state[f"{ours}.bias"],
        }
        found[f"{theirs}.magnitude_ema"] = state[f"{ours}.loudness"] ** -2
        found |= {
            f"{theirs}.{way}_filter": state[f"{ours}.{way}_taps"]
            for way in ("up", "down")
            if state[f"{ours}.{way}_taps"].numel() > 1  # a rate that stays needs no filter
        }
        found |= _linear(state, f"{ours}.affine", f"{theirs}.affine")
    last = f"synthesis.L{len(network.convs)}_{network.size[0]}_{len(state['to_image.bias'])}"
    found |= _torgb(state, "to_image", last, loudness=0.5) | {
        f"{last}.magnitude_ema": torch.tensor(4.0)
    }
    kwargs |= {
        "num_critical": made["critical"],
        "first_cutoff": made["first_cutoff"],
        "first_stopband": made["first_stop"],
    }
    kwargs |= {
        "last_stopband_rel": made["last_stop"],
        "margin_size": made["margin"],
        "filter_size": made["taps"],
    }
    kwargs |= {
        "lrelu_upsampling": made["oversampling"],
        "output_scale": made["scale"],
        "conv_clamp": made["clamp"],
    }
    return found, kwargs


def rosinality(network: StyleGAN2) -> dict[str, Tensor]:
    """The dictionary ``g_ema``; the centre of truncation stands beside it, as ``latent_avg``."""
    state, found = network.state_dict(), {"input.input": network.const}
    kernel, picture_kernel = (torch.outer(taps, taps) * 4 for taps in _low_passes(network))
    for layer in range(len(network.style.dense)):
        found |= _linear(state, f"style.dense.{layer}", f"style.{layer + 1}", 0.01)
    for k, name in enumerate(network.convs):
        ours, theirs = f"convs.{name}", "conv1" if k == 0 else f"convs.{k - 1}"
        weight = state[f"{ours}.weight"]
        found[f"{theirs}.conv.weight"] = (weight * weight[0].numel() ** 0.5)[None]
        found |= _linear(state, f"{ours}.affine", f"{theirs}.conv.modulation")
        found |= {
            f"{theirs}.noise.weight": torch.tensor([STRENGTH]),
            f"noises.noise_{k}": state[f"{ours}.noise"] / STRENGTH,
        }
        found[f"{theirs}.activate.bias"] = state[f"{ours}.bias"]
        if name.endswith("conv0"):
            found[f"{theirs}.conv.blur.kernel"] = kernel
    for k, name in enumerate(network.to_image):
        ours, theirs = f"to_image.{name}", "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        weight = state[f"{ours}.weight"]
        found[f"{theirs}.conv.weight"] = (weight * weight[0].numel() ** 0.5)[None]
        found[f"{theirs}.bias"] = state[f"{ours}.bias"][None, :, None, None]
        found |= _linear(state, f"{ours}.affine", f"{theirs}.conv.modulation")
        if k:
            found[f"{theirs}.upsample.kernel"] = picture_kernel
    return found


def encoder(network: StyleGAN2) -> dict[str, Any]:
    """A file of the encoders pSp and e4e: an encoder and the port's network in one state dict."""
    state = {f"encoder.body.{k}.weight": torch.ones(3, 2, 3, 3) for k in range(4)}
    state |= {f"decoder.{name}": tensor for name, tensor in rosinality(network).items()}
    centre = network.style.w_avg.repeat(network.num_ws, 1)
    return {"state_dict": state, "latent_avg": centre, "opts": {"stylegan_size": 16}}


def _low_passes(network: StyleGAN2) -> tuple[Tensor, Tensor]:
    """The taps of the maps and of the picture."""
    taps = cast(Tensor, network.taps)
    return taps, taps if network.image_taps is None else cast(Tensor, network.image_taps)


def _nvidia_kernel(taps: Tensor) -> Tensor:
    """As NVIDIA's code stores it: eight taps or more are kept as they are."""
    return taps if len(taps) >= 8 else torch.outer(taps, taps)


def dcgan(network: DCGAN, prefix: str = "main.") -> dict[str, Tensor]:
    """A state dict as a ``Sequential`` of convolutions, normalisations and activations has it."""
    state, found = network.state_dict(), {}
    for k in range(len(network.blocks)):
        found[f"{prefix}{3 * k}.weight"] = state[f"blocks.{k}.conv.weight"]
        found |= {
            f"{prefix}{3 * k + 1}.{field}": state[f"blocks.{k}.norm.{field}"]
            for field in ("weight", "bias")
        }
        found |= {
            f"{prefix}{3 * k + 1}.{field}": state[f"blocks.{k}.norm.{field}"]
            for field in ("running_mean", "running_var")
        }
    last = f"{prefix}{3 * len(network.blocks)}"
    return found | {
        f"{last}.{field}": state[f"to_image.{field}"]
        for field in ("weight", "bias")
        if f"to_image.{field}" in state
    }
