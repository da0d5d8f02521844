"""What several networks share, in plain torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError

SLOPE = 0.2
"""Of the leaky ReLU."""

GAIN = 2**0.5
"""After the leaky ReLU; it is positively homogeneous, so what goes in may be scaled instead of what comes out."""

FLOAT16_MAX = 65504.0
"""The largest float16."""

# MKL picks its kernel when a function is first called; where that happens in two threads at once, one of them may compute
# that first call with a coarser one (9e-5 off, in three of a hundred processes with torch 2.15). One value, one thread.
torch.tanh(torch.zeros(1))


def init_normal(*shape: int, std: float = 1.0) -> nn.Parameter:
    """Normally distributed weights; where there is no data, none are drawn: that alone would import torch's compiler."""
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=std))


def pixel_norm(x: Tensor) -> Tensor:
    """[B, C] -> [B, C] of unit mean square (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def conv2d_per_face(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int, faces: int
) -> Tensor:
    """[B, C, H, W] -> [B, O, H, W], every face with weights of its own: ``weight`` [faces * O, C / groups, k, k].

    The batch is as many faces, or any number of states of the one face.
    """
    if faces == 1:
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    batch, channels, height, width = x.shape  # faces and channels become one long row of groups
    x = F.conv2d(
        x.reshape(1, batch * channels, height, width),
        weight,
        bias,
        padding=padding,
        groups=batch * groups,
    )
    return x.view(batch, -1, *x.shape[2:])


def demodulate(weight: Tensor, style: Tensor, gain: Tensor | float) -> Tensor:
    """[O, I, k, k] and [B, I] -> [B, O, I, k, k], scaled so that every output is as loud as ``gain`` times one input.

    Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2, equations 1 and 3. Computed in
    float32: the squares are beyond the range of 16 bits.
    """
    found = weight.float() * style.float()[:, None, :, None, None]
    found = found * (gain * torch.rsqrt(found.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8))
    return found.to(weight.dtype)


def inverse_haar(x: Tensor) -> Tensor:
    """Inverse Haar wavelet transform: [B, 4C, H, W] -> [B, C, 2H, 2W].

    The channels are four bands of C: low, vertical, horizontal and diagonal detail. Each of the four output phases is
    half a signed sum of the bands. Written without strided reads or writes, which cost more than the arithmetic.
    """
    low, vertical, horizontal, diagonal = (x * 0.5).chunk(4, dim=1)  # [B, C, H, W] each
    left, right = low + vertical, low - vertical
    above, below = horizontal + diagonal, horizontal - diagonal
    return depth_to_space(
        torch.cat((left + above, left - above, right + below, right - below), dim=1)
    )


def depth_to_space(x: Tensor) -> Tensor:
    """[B, 4C, H, W] -> [B, C, 2H, 2W]; the channels are four phases of C: top left, top right, bottom left, bottom right."""
    batch, channels, height, width = x.shape
    x = x.view(batch, 2, 2, channels // 4, height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // 4, 2 * height, 2 * width)


def prevent_constant_folding(x: Tensor) -> Tensor:
    """``x`` itself; for a compiler, something to keep the constant added before from the one added after.

    A bias [C] and a noise [H, W] are small; added up beforehand they are as large as the maps.
    """
    return x.clamp(-FLOAT16_MAX, FLOAT16_MAX) if torch.jit.is_tracing() else x  # type: ignore[attr-defined, no-untyped-call]


def check_ws(ws: Tensor, count: int, width: int) -> None:
    """Refuse a ``ws`` that is not [B, count, width]."""
    if ws.ndim != 3 or ws.shape[1:] != (count, width) or ws.shape[0] < 1:
        raise RequestError(
            f"ws must be [B, {count}, {width}] for this generator, got {list(ws.shape)}"
        )


def check_z(z: Tensor, width: int) -> None:
    """Refuse a ``z`` that is not [B, width]."""
    if z.ndim != 2 or z.shape[1] != width or z.shape[0] < 1:
        raise RequestError(f"z must be [B, {width}] for this generator, got {list(z.shape)}")


def check_label(label: Tensor | None, labels: int, batch: int) -> Tensor | None:
    """The label to use, [batch, labels]: the first class where none is given, None where the network has none."""
    if label is None:
        return F.one_hot(torch.zeros(batch, dtype=torch.int64), labels).float() if labels else None
    if not labels:
        raise RequestError(
            f"this generator has no classes; leave out the label, got {list(label.shape)}"
        )
    if label.shape != (batch, labels):
        raise RequestError(
            f"a label must be [{batch}, {labels}] for this generator, got {list(label.shape)}"
        )
    return label


def hyperparameters(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What a network was made with, as JSON has it; ``arguments`` are the ``locals()`` at the beginning of its ``__init__``."""
    made_with = {
        name: value for name, value in arguments.items() if name not in ("self", "__class__")
    }
    return {
        name: [*value] if isinstance(value, (list, tuple)) else value
        for name, value in made_with.items()
    }


def parameter_count(*parts: nn.Module | Tensor) -> int:
    """Number of stored values, noise constants included."""
    tensors = (
        tensor
        for part in parts
        for tensor in (
            (part,) if isinstance(part, Tensor) else (*part.parameters(), *part.buffers())
        )
    )
    return sum(tensor.numel() for tensor in tensors)
