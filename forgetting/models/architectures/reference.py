"""StyleGAN2 and StyleGAN3 as their papers describe them: slow, but easy to check.

The networks beside this module use fewer operations; they are tested and timed against these
functions.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.models.architectures.style import ToImage
from forgetting.models.architectures.stylegan2 import Shortcut, StyleConv, StyleGAN2
from forgetting.models.architectures.stylegan3 import FilteredConv, StyleGAN3
from forgetting.models.units import GAIN, SLOPE


def stylegan2(network: StyleGAN2, ws: Tensor) -> Tensor:
    """Return the picture [B, C, H, W] of ``ws`` [B, L, W]."""
    x, image, residual = network.const.expand(len(ws), -1, -1, -1), None, None
    taps = cast(Tensor, network.taps)
    image_taps = taps if network.image_taps is None else cast(Tensor, network.image_taps)
    for k, (name, module) in enumerate(network.convs.items()):
        conv, size = cast(StyleConv, module), name.partition("_")[0]
        if conv.up and size in network.shortcuts:
            weight = cast(Shortcut, network.shortcuts[size]).weight
            residual = _doubled(F.conv2d(x, weight), taps)
        if conv.up:
            # A transposed convolution: the flipped kernel over the input with zeros between its
            # pixels.
            x = _modulated(
                F.pad(_zeros_between(x, 2), (2, 1, 2, 1)),
                conv.weight.flip(2, 3),
                conv.affine(ws[:, k]),
                demodulate=True,
            )
            margin = len(taps) // 2 - 1
            x = F.pad(x, (margin, margin, margin, margin))
            x = _low_pass(x, torch.outer(taps, taps) * 4)
        else:
            x = _modulated(
                F.pad(x, (1, 1, 1, 1)), conv.weight, conv.affine(ws[:, k]), demodulate=True
            )
        gain = conv.activation.gain
        x = conv.activation.function(x + conv.noise + conv.bias[:, None, None]) * gain
        x = _limited(x, None if network.clamp is None else network.clamp * conv.scale)
        if name.endswith("conv1") and residual is not None:
            x, residual = x + residual, None
        if name.endswith("conv1") and size in network.to_image:
            to_image = cast(ToImage, network.to_image[size])
            part = (
                _modulated(x, to_image.weight, to_image.affine(ws[:, k + 1]), demodulate=False)
                + to_image.bias[:, None, None]
            )
            part = _limited(part, network.clamp)
            image = part if image is None else part + _doubled(image, image_taps)
    assert image is not None
    return image


def stylegan3(network: StyleGAN3, ws: Tensor) -> Tensor:
    """Return the picture [B, C, H, W] of ``ws`` [B, L, W]."""
    x = network.source(ws[:, 0])
    for k, module in enumerate(network.convs.values()):
        conv = cast(FilteredConv, module)
        up_taps, down_taps = cast(Tensor, conv.up_taps), cast(Tensor, conv.down_taps)
        up, down, before = conv.sampling.up, conv.sampling.down, conv.sampling.before
        margin = conv.weight.shape[2] - 1
        x = F.pad(x, (margin, margin, margin, margin)) * cast(Tensor, conv.loudness)
        x = (
            _modulated(x, conv.weight, conv.affine(ws[:, k + 1]), demodulate=True)
            + conv.bias[:, None, None]
        )
        after = (
            (conv.sampling.outputs - 1) * down
            + len(down_taps)
            + len(up_taps)
            - 1
            - up * x.shape[2]
            - before
        )
        x = F.pad(_zeros_between(x, up), (before, after, before, after))
        x = _low_pass(_low_pass(x, up_taps[None] * up), up_taps[:, None] * up)
        x = _limited(F.leaky_relu(x, SLOPE) * GAIN, network.clamp)
        rows = down_taps.sum(dim=0, keepdim=True)
        separable = torch.allclose(rows.T @ rows, down_taps)  # configuration T
        x = _low_pass(_low_pass(x, rows), rows.T) if separable else _low_pass(x, down_taps)
        x = x[:, :, ::down, ::down]
    x = _modulated(x, network.to_image.weight, network.to_image.affine(ws[:, -1]), demodulate=False)
    return _limited(x + network.to_image.bias[:, None, None], network.clamp) * network.scale


def _modulated(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool) -> Tensor:
    """A convolution without padding whose weights are scaled for every face (section 2.2)."""
    batch, channels, height, width = x.shape
    scaled = weight * style[:, None, :, None, None]
    if demodulate:
        scaled = scaled * (scaled.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = F.conv2d(x.reshape(1, batch * channels, height, width), scaled.flatten(0, 1), groups=batch)
    return x.view(batch, -1, *x.shape[2:])


def _doubled(x: Tensor, taps: Tensor) -> Tensor:
    margin = len(taps) // 2
    x = F.pad(_zeros_between(x, 2), (margin, margin - 1, margin, margin - 1))
    return _low_pass(x, torch.outer(taps, taps) * 4)


def _zeros_between(x: Tensor, up: int) -> Tensor:
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, height * up, width * up)
    spread[:, :, ::up, ::up] = x
    return spread


def _low_pass(x: Tensor, kernel: Tensor) -> Tensor:
    """The true convolution of every channel with ``kernel`` [k, l], without padding."""
    return F.conv2d(x, kernel.flip(0, 1).expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def _limited(x: Tensor, clamp: float | None) -> Tensor:
    return x if clamp is None else x.clamp(-clamp, clamp)
