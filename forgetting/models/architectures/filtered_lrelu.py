"""A leaky ReLU between two low-pass filters, in phases.

Where the original puts zeros between the samples, filters, activates and throws samples away again, the signal here
stays in its phases: the samples of equal position modulo the upsampling are a map of their own, at the resolution that
came in. Each comes out of a small depthwise convolution, is activated, and goes into another; nothing is computed
that is zero or thrown away, and nothing is read or written with a stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.errors import RequestError
from forgetting.models.architectures.ops import SLOPE
from forgetting.models.architectures.style import BoundLayer


@dataclass(frozen=True)
class Sampling:
    """How a layer samples: ``inputs`` and ``outputs`` are the sizes of its maps, margins included; ``up`` and ``down`` the
    factors around its activation; ``before`` how many samples stand before the first at the upsampled rate."""

    inputs: int
    outputs: int
    up: int
    down: int
    before: int


def sampled(inputs: int, outputs: int, up: int, down: int, kernel: int, taps: int) -> Sampling:
    """Pad so that the output's samples stand in the middle of the input's (appendix C)."""
    if up % down:
        raise RequestError(
            f"a StyleGAN3 whose sampling rate falls is not read (up {up}, down {down})"
        )
    lengths = sum(taps * factor if factor > 1 else 1 for factor in (up, down))
    padding = (outputs - 1) * down + 1 - (inputs + kernel - 1) * up + lengths - 2
    return Sampling(inputs, outputs, up, down, (padding + up) // 2)


def filtered(
    up_taps: Tensor, down_taps: Tensor, sampling: Sampling, channels: int, clamp: float | None
) -> BoundLayer:
    """Up, leaky ReLU, down: [B, channels, n, n] -> [B, channels, outputs, outputs]."""
    up, down, outputs = sampling.up, sampling.down, sampling.outputs
    narrow, offset = _up_phases(up_taps, up, sampling.before)
    wide = torch.einsum("ay,bx->abyx", narrow, narrow).flatten(0, 1)  # [up * up, K, K]
    back = _down_phases(down_taps, up, down)  # [n * n, up * up, M, M]; n output phases
    phases = up // down
    size = (
        math.ceil(outputs / phases) + back.shape[2] - 1 + wide.shape[1] - 1
    )  # what the output depends on
    ups = [_of_each(wide[k], channels) for k in range(len(wide))]
    downs = [
        [_of_each(back[k, n], channels) for n in range(back.shape[1])] for k in range(len(back))
    ]

    def run(x: Tensor) -> Tensor:
        after = size - x.shape[2] - offset
        x = F.pad(x, (offset, after, offset, after))
        parts: list[Tensor] = []
        for number, kernel in enumerate(ups):
            plane = F.leaky_relu_(F.conv2d(x, kernel, groups=channels), SLOPE)
            if clamp is not None:
                plane = (
                    plane.clamp(-clamp, clamp)
                    if plane.requires_grad
                    else plane.clamp_(-clamp, clamp)
                )
            found = [F.conv2d(plane, kernels[number], groups=channels) for kernels in downs]
            parts = (
                found
                if not parts
                else [part.add_(more) for part, more in zip(parts, found, strict=True)]
            )
        return _interleaved(parts, phases)[:, :, :outputs, :outputs]

    return run


def _up_phases(taps: Tensor, up: int, before: int) -> tuple[Tensor, int]:
    """[n] low-pass -> [up, K]: the kernels that make each phase of the upsampled signal, and the padding in front.

    Sample t of the upsampled signal hears sample i of the input through tap k where t + k - before = up * i.
    """
    places = [
        [(phase + k - before) // up for k in range(len(taps)) if (phase + k - before) % up == 0]
        for phase in range(up)
    ]
    first, last = min(place[0] for place in places), max(place[-1] for place in places)
    turned = taps.flip(0) * up
    rows = [
        F.pad(turned[(before - phase) % up :: up], (place[0] - first, last - place[-1]))
        for phase, place in enumerate(places)
    ]
    return torch.stack(rows), -first


def _of_each(kernel: Tensor, channels: int) -> Tensor:
    """[k, l] -> [channels, 1, k, l]"""
    return kernel.expand(channels, 1, -1, -1).contiguous()


def _down_phases(taps: Tensor, up: int, down: int) -> Tensor:
    """[n, n] low-pass -> [(up / down)^2, up^2, M, M]: from each phase before downsampling to each phase after it."""
    after, count = up // down, taps.shape[0]
    reach = (down * (after - 1) + count - 1) // up + 1
    kernels = []
    for row in range(after):
        for column in range(after):
            moved = F.pad(
                taps.flip(0, 1),
                (
                    down * column,
                    reach * up - count - down * column,
                    down * row,
                    reach * up - count - down * row,
                ),
            )
            kernels.append(moved.reshape(reach, up, reach, up).permute(1, 3, 0, 2).flatten(0, 1))
    return torch.stack(kernels)


def _interleaved(parts: list[Tensor], phases: int) -> Tensor:
    """``phases``^2 maps [B, C, H, W] -> [B, C, phases * H, phases * W]."""
    if phases == 1:
        return parts[0]
    batch, channels, height, width = parts[0].shape
    x = torch.stack(parts, dim=2).view(batch, channels, phases, phases, height, width)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, phases * height, phases * width)
