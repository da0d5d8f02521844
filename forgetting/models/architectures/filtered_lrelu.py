"""A leaky ReLU between two low-pass filters, in phases.

The original puts zeros between the samples, filters, activates, and then discards samples again.
Here the signal stays in its phases: the samples of equal position modulo the upsampling factor
are a map of their own, at the resolution of the input. Each phase is the output of a small
depthwise convolution, is activated, and is the input of another one. So nothing is computed that
is zero or discarded, and nothing is read or written with a stride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.errors import RequestError
from forgetting.models.architectures.style import BoundLayer
from forgetting.models.units import SLOPE


@dataclass(frozen=True)
class Sampling:
    """How a layer samples.

    Args:
        inputs: the size of its input, with margins.
        outputs: the size of its output, with margins.
        up: the factor of the upsampling before its activation.
        down: the factor of the downsampling after it.
        before: how many samples are padded before the first one, at the upsampled rate.
    """

    inputs: int
    outputs: int
    up: int
    down: int
    before: int


def sampled(inputs: int, outputs: int, up: int, down: int, kernel: int, taps: int) -> Sampling:
    """Return the sampling whose outputs are centred on the inputs (appendix C).

    Raises:
        RequestError: the sampling rate falls.
    """
    if up % down:
        raise RequestError(
            f"a StyleGAN3 whose sampling rate falls cannot be read (up {up}, down {down}); "
            "take a network whose rates rise from layer to layer"
        )
    lengths = sum(taps * factor if factor > 1 else 1 for factor in (up, down))
    padding = (outputs - 1) * down + 1 - (inputs + kernel - 1) * up + lengths - 2
    return Sampling(inputs, outputs, up, down, (padding + up) // 2)


def filtered(
    up_taps: Tensor, down_taps: Tensor, sampling: Sampling, channels: int, clamp: float | None
) -> BoundLayer:
    """Return the function from [B, channels, n, n] to [B, channels, outputs, outputs].

    It upsamples, applies the leaky ReLU, and downsamples.

    Args:
        up_taps: the low-pass of the upsampling, [n].
        down_taps: the low-pass of the downsampling, [n, n].
        sampling: of the layer.
        channels: number of channels.
        clamp: largest absolute value after the activation, or None.
    """
    up, down, outputs = sampling.up, sampling.down, sampling.outputs
    narrow, offset = _up_phases(up_taps, up, sampling.before)
    wide = torch.einsum("ay,bx->abyx", narrow, narrow).flatten(0, 1)  # [up * up, K, K]
    back = _down_phases(down_taps, up, down)  # [n * n, up * up, M, M]; n output phases
    phases = up // down
    # The size of the input that the output depends on.
    size = math.ceil(outputs / phases) + back.shape[2] - 1 + wide.shape[1] - 1
    ups = [_depthwise(wide[k], channels) for k in range(len(wide))]
    downs = [
        [_depthwise(back[k, n], channels) for n in range(back.shape[1])] for k in range(len(back))
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
            summands = [F.conv2d(plane, kernels[number], groups=channels) for kernels in downs]
            if parts:
                summands = [part.add_(x) for part, x in zip(parts, summands, strict=True)]
            parts = summands
        return _interleaved(parts, phases)[:, :, :outputs, :outputs]

    return run


def _up_phases(taps: Tensor, up: int, before: int) -> tuple[Tensor, int]:
    """Return the kernels of the phases of the upsampled signal, [up, K], and the padding in front.

    Sample t of the upsampled signal reads sample i of the input through tap k of ``taps`` [n] where
    t + k - before = up * i.
    """
    samples = [
        [(phase + k - before) // up for k in range(len(taps)) if (phase + k - before) % up == 0]
        for phase in range(up)
    ]
    first, last = min(read[0] for read in samples), max(read[-1] for read in samples)
    flipped = taps.flip(0) * up
    rows = [
        F.pad(flipped[(before - phase) % up :: up], (read[0] - first, last - read[-1]))
        for phase, read in enumerate(samples)
    ]
    return torch.stack(rows), -first


def _depthwise(kernel: Tensor, channels: int) -> Tensor:
    """Return a kernel [k, l] for every channel, [channels, 1, k, l]."""
    return kernel.expand(channels, 1, -1, -1).contiguous()


def _down_phases(taps: Tensor, up: int, down: int) -> Tensor:
    """Return the kernels from each phase before downsampling to each phase after it.

    Their shape is [(up / down)^2, up^2, M, M]; ``taps`` [n, n] are the low-pass.
    """
    after, count = up // down, taps.shape[0]
    width = (down * (after - 1) + count - 1) // up + 1
    space = width * up - count
    kernels = []
    for top in range(0, down * after, down):
        for left in range(0, down * after, down):
            shifted = F.pad(taps.flip(0, 1), (left, space - left, top, space - top))
            kernels.append(shifted.reshape(width, up, width, up).permute(1, 3, 0, 2).flatten(0, 1))
    return torch.stack(kernels)


def _interleaved(parts: list[Tensor], phases: int) -> Tensor:
    """``phases``^2 maps [B, C, H, W] -> [B, C, phases * H, phases * W]."""
    if phases == 1:
        return parts[0]
    batch, channels, height, width = parts[0].shape
    x = torch.stack(parts, dim=2).view(batch, channels, phases, phases, height, width)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels, phases * height, phases * width)
