"""StyleGAN2, StyleGAN3 and the port, computed from foreign state dicts by the papers' formulas.

It is slow and uses nothing of the package, so a reader that reads wrongly makes another picture.
``test_original_images`` checks these functions against the original programs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]

ACTIVATIONS = {
    "linear": (lambda x: x, 1.0),
    "relu": (lambda x: torch.where(x > 0, x, 0 * x), 2**0.5),
    "lrelu": (lambda x: torch.where(x > 0, x, 0.2 * x), 2**0.5),
    "swish": (lambda x: x / (1 + torch.exp(-x)), 2**0.5),
    "tanh": (lambda x: 1 - 2 / (1 + torch.exp(2 * x)), 1.0),
    "sigmoid": (lambda x: 1 / (1 + torch.exp(-x)), 1.0),
    "elu": (lambda x: torch.where(x > 0, x, torch.exp(x) - 1), 1.0),
    "selu": (
        lambda x: (
            1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (torch.exp(x) - 1))
        ),
        1.0,
    ),
    "softplus": (lambda x: torch.log(1 + torch.exp(x)), 1.0),
}
"""Functions and gains."""


def dense(state: State, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return x @ weight.T * (rate / weight.shape[1] ** 0.5) + state[f"{name}.bias"] * rate


def normalised(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def leaky(x: Tensor) -> Tensor:
    function, gain = ACTIVATIONS["lrelu"]
    return function(x) * gain


def spread(x: Tensor, up: int) -> Tensor:
    """Zeros between the pixels and behind the last one."""
    return torch.kron(x, x.new_zeros(up, up).index_put((torch.tensor(0),) * 2, x.new_ones(())))


def convolved(x: Tensor, kernel: Tensor, before: int, after: int) -> Tensor:
    """The convolution of every channel with a kernel [n], which is separable, or [n, n]."""
    kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    x = F.pad(x, (before, after, before, after))
    kernel = kernel.flip(0, 1).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(x, kernel, groups=x.shape[1])


def doubled(x: Tensor, kernel: Tensor, gain: float) -> Tensor:
    n = kernel.shape[0]
    return convolved(spread(x, 2), kernel, (n + 1) // 2, (n - 2) // 2) * gain


def modulated(
    x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: bool = False, padding: int = 0
) -> Tensor:
    results = []
    for one, style in zip(x, styles, strict=True):
        scaled = weight * style[None, :, None, None]
        if demodulate:
            scaled = scaled / (scaled.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            results.append(F.conv_transpose2d(one[None], scaled.transpose(0, 1), stride=2))
        else:
            results.append(F.conv2d(one[None], scaled, padding=padding))
    return torch.cat(results)


def limited(x: Tensor, clamp: float | None) -> Tensor:
    return x if clamp is None else x.clamp(-clamp, clamp)


def nvidia_mapping(
    state: State, made_with: Mapping[str, Any], z: Tensor, label: Tensor | None = None
) -> Tensor:
    """``w`` [B, W] without truncation."""
    x = normalised(z)
    if label is not None:
        x = torch.cat((x, normalised(dense(state, "mapping.embed", label))), dim=1)
    rate = made_with.get("mapping_kwargs", {}).get("lr_multiplier", 0.01)
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)
    for k in range(layers):
        x = leaky(dense(state, f"mapping.fc{k}", x, rate))
    return x


def nvidia_stylegan2(state: State, made_with: Mapping[str, Any], ws: Tensor) -> Tensor:
    """The picture [B, C, H, W] of ``ws`` [B, L, W]."""
    settings = {**made_with, **made_with.get("synthesis_kwargs", {})}
    function, gain = ACTIVATIONS[settings.get("activation", "lrelu")]
    architecture = settings.get("architecture", "skip")
    clamp = settings.get("conv_clamp")
    sizes = sorted({int(name.split(".")[1][1:]) for name in state if name.startswith("synthesis.")})
    x, image = state["synthesis.b4.const"].expand(len(ws), -1, -1, -1), None

    def layer(x: Tensor, name: str, w: Tensor, up: bool, scale: float) -> Tensor:
        styles = dense(state, f"{name}.affine", w)
        x = modulated(x, state[f"{name}.weight"], styles, True, up, 0 if up else 1)
        if up:
            kernel = state[f"{name}.resample_filter"]
            n = kernel.shape[0]
            x = convolved(x, kernel, (n - 1) // 2, (n - 2) // 2) * 4
        if f"{name}.noise_const" in state:
            x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
        x = function(x + state[f"{name}.bias"][:, None, None]) * gain * scale
        return limited(x, None if clamp is None else clamp * scale)

    number = 0
    for size in sizes:
        block, way, scale = f"synthesis.b{size}", None, 1.0
        if size > 4:
            if architecture == "resnet":
                weight, scale = state[f"{block}.skip.weight"], 0.5**0.5
                way = F.conv2d(x, weight / weight.shape[1] ** 0.5)
                way = doubled(way, state[f"{block}.skip.resample_filter"], 4) * scale
            x = layer(x, f"{block}.conv0", ws[:, number], True, 1.0)
            number += 1
        x = layer(x, f"{block}.conv1", ws[:, number], False, scale)
        number += 1
        x = x if way is None else x + way
        if image is not None:
            image = doubled(image, state[f"{block}.resample_filter"], 4)
        if architecture == "skip" or size == sizes[-1]:
            weight = state[f"{block}.torgb.weight"]
            styles = dense(state, f"{block}.torgb.affine", ws[:, number]) / weight.shape[1] ** 0.5
            part = modulated(x, weight, styles, False)
            part = limited(part + state[f"{block}.torgb.bias"][:, None, None], clamp)
            image = part if image is None else image + part
    assert image is not None
    return image


def nvidia_stylegan3(state: State, made_with: Mapping[str, Any], ws: Tensor) -> Tensor:
    """The picture [B, C, H, W] of ``ws`` [B, L, W]."""
    settings = {**made_with, **made_with.get("synthesis_kwargs", {})}
    names = sorted(
        {name.split(".")[1] for name in state if name.startswith("synthesis.L")},
        key=lambda name: int(name[1:].split("_")[0]),
    )
    resolution, count = int(names[-1].split("_")[1]), len(names) - 1
    critical, margin = settings.get("num_critical", 2), settings.get("margin_size", 10)
    over, clamp = settings.get("lrelu_upsampling", 2), settings.get("conv_clamp", 256)
    first, stop = settings.get("first_cutoff", 2), settings.get("first_stopband", 2**2.1)
    last_stop = resolution / 2 * settings.get("last_stopband_rel", 2**0.3)
    rates, cutoffs = [], []
    for k in range(count + 1):
        share = min(k / (count - critical), 1)
        cutoffs.append(first * (resolution / 2 / first) ** share)
        band = min(2 * stop * (last_stop / stop) ** share, resolution)
        rates.append(2 ** math.ceil(math.log2(band)))
    sizes = [rate + 2 * margin for rate in rates]
    sizes[-2:] = [resolution, resolution]
    x = _waves(state, ws[:, 0], sizes[0], rates[0], cutoffs[0])
    for k, name in enumerate(names):
        theirs, previous = f"synthesis.{name}", max(k - 1, 0)
        weight = state[f"{theirs}.weight"]
        styles = dense(state, f"{theirs}.affine", ws[:, k + 1])
        loudness = state[f"{theirs}.magnitude_ema"] ** -0.5
        if k == count:
            x = modulated(x, weight, styles * loudness / weight[0].numel() ** 0.5, False)
            x = limited(x + state[f"{theirs}.bias"][:, None, None], clamp)
            return x * settings.get("output_scale", 0.25)
        kernel = weight.shape[2]
        x = modulated(x, weight, styles, True, padding=kernel - 1) * loudness
        x = x + state[f"{theirs}.bias"][:, None, None]
        high = max(rates[previous], rates[k]) * over
        up, down = high // rates[previous], high // rates[k]
        up_filter = state.get(f"{theirs}.up_filter", torch.ones(1))
        down_filter = state.get(f"{theirs}.down_filter", torch.ones(1))
        total = (sizes[k] - 1) * down + 1 - x.shape[2] * up
        total += len(up_filter) + len(down_filter) - 2
        before = (total + up) // 2
        x = convolved(spread(x, up), up_filter, before, total - before) * up**2
        x = limited(leaky(x), clamp)
        x = convolved(x, down_filter, 0, 0)[:, :, ::down, ::down]
    raise AssertionError("there is no last layer")


def _waves(state: State, w: Tensor, size: int, rate: int, cutoff: float) -> Tensor:
    moved = dense(state, "synthesis.input.affine", w)
    moved = moved / moved[:, :2].norm(dim=1, keepdim=True)
    results = []
    for cos, sin, right, down in moved:
        turn, move = torch.eye(3), torch.eye(3)
        turn[:2, :2] = torch.stack((torch.stack((cos, -sin)), torch.stack((sin, cos))))
        move[:2, 2] = -torch.stack((right, down))
        transform = turn @ move @ state["synthesis.input.transform"]
        freqs = state["synthesis.input.freqs"]
        phases = state["synthesis.input.phases"] + freqs @ transform[:2, 2]
        freqs = freqs @ transform[:2, :2]
        fade = (1 - (freqs.norm(dim=1) - cutoff) / (rate / 2 - cutoff)).clamp(0, 1)
        half = size / rate / 2
        places = (2 * (torch.arange(size) + 0.5) / size - 1) * half
        grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=2)  # [y, x, 2]
        waves = torch.sin(2 * torch.pi * (grid @ freqs.T + phases)) * fade  # [y, x, C]
        weight = state["synthesis.input.weight"]
        results.append((waves @ weight.T / weight.shape[1] ** 0.5).permute(2, 0, 1))
    return torch.stack(results)


def port_stylegan2(state: State, ws: Tensor) -> Tensor:
    """The picture of the PyTorch port's state dict."""
    x, image = state["input.input"].expand(len(ws), -1, -1, -1), None
    convs = [
        "conv1",
        *(f"convs.{k}" for k in range(len(state)) if f"convs.{k}.noise.weight" in state),
    ]
    for k, name in enumerate(convs):
        weight = state[f"{name}.conv.weight"][0]
        weight = weight / weight[0].numel() ** 0.5
        kernel = state.get(f"{name}.conv.blur.kernel")
        styles = dense(state, f"{name}.conv.modulation", ws[:, k])
        x = modulated(x, weight, styles, True, kernel is not None, 0 if kernel is not None else 1)
        if kernel is not None:
            n = kernel.shape[0]
            x = convolved(x, kernel, (n - 1) // 2, (n - 2) // 2)
        x = x + state[f"noises.noise_{k}"] * state[f"{name}.noise.weight"]
        x = leaky(x + state[f"{name}.activate.bias"][:, None, None])
        if k % 2 == 0:
            to_rgb = "to_rgb1" if k == 0 else f"to_rgbs.{k // 2 - 1}"
            weight = state[f"{to_rgb}.conv.weight"][0]
            styles = dense(state, f"{to_rgb}.conv.modulation", ws[:, k + 1])
            part = modulated(x, weight / weight.shape[1] ** 0.5, styles, False)
            part = part + state[f"{to_rgb}.bias"][0]
            if image is not None:
                part = part + doubled(image, state[f"{to_rgb}.upsample.kernel"], 1)
            image = part
    assert image is not None
    return image
