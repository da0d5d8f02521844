"""Operations and checks that several networks share, in plain torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError, check_range

FLOAT16_MAX = 65504.0
"""The largest float16."""

# MKL picks a kernel when a function is first called. If two threads make that first call at once,
# one of them may compute it with a coarser kernel (9e-5 off, in three of a hundred processes with
# torch 2.15). So the first call is made here, with a single value in a single thread.
torch.tanh(torch.zeros(1))


def init_normal(*shape: int, std: float = 1.0) -> nn.Parameter:
    """Return normally distributed weights; none are drawn on the meta device.

    Drawing there would import torch's compiler.
    """
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=std))


def pixel_norm(x: Tensor) -> Tensor:
    """Return ``x`` [B, C] scaled to a mean square of one (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def conv2d_per_face(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int, faces: int
) -> Tensor:
    """Return a convolution [B, O, H, W] of ``x`` [B, C, H, W], with other weights for every face.

    Args:
        x: as many maps as there are faces, or any number of states of a single face.
        weight: [faces * O, C / groups, k, k].
        bias: [faces * O], or None.
        padding: on every side.
        groups: of a single face.
        faces: number of faces.
    """
    if faces == 1:
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    batch, channels, height, width = x.shape
    # Every face becomes a group.
    x = F.conv2d(
        x.reshape(1, batch * channels, height, width),
        weight,
        bias,
        padding=padding,
        groups=batch * groups,
    )
    return x.view(batch, -1, *x.shape[2:])


def demodulate(weight: Tensor, style: Tensor, gain: Tensor | float) -> Tensor:
    """Return the modulated and demodulated weight [B, O, I, k, k].

    The outputs then have ``gain`` times the standard deviation of the inputs (Karras et al. 2020,
    "Analyzing and Improving the Image Quality of StyleGAN", section 2.2, equations 1 and 3). It is
    computed in float32, because the squares are beyond the range of 16 bits.

    Args:
        weight: [O, I, k, k].
        style: [B, I].
        gain: of the outputs.
    """
    scaled = weight.float() * style.float()[:, None, :, None, None]
    scaled = scaled * (gain * torch.rsqrt(scaled.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8))
    return scaled.to(weight.dtype)


def inverse_haar(x: Tensor) -> Tensor:
    """Return the inverse Haar wavelet transform [B, C, 2H, 2W] of ``x`` [B, 4C, H, W].

    The channels are four bands of C: low, vertical, horizontal and diagonal detail. Each of the
    four output phases is half a signed sum of the bands. It is written without strided reads or
    writes, which cost more than the arithmetic.
    """
    low, vertical, horizontal, diagonal = (x * 0.5).chunk(4, dim=1)  # [B, C, H, W] each
    left, right = low + vertical, low - vertical
    above, below = horizontal + diagonal, horizontal - diagonal
    return depth_to_space(
        torch.cat((left + above, left - above, right + below, right - below), dim=1)
    )


_WAVELETS_ARE_CONVOLUTIONS = ContextVar("wavelets are convolutions", default=False)


@contextmanager
def wavelets_as_convolutions(enabled: bool) -> Iterator[None]:
    """Choose how networks that are bound in this block compute wavelets of a single face.

    As a 1x1 convolution, with the style folded in, a wavelet has more arithmetic and fewer reads
    and writes than as sums.
    """
    token = _WAVELETS_ARE_CONVOLUTIONS.set(enabled)
    try:
        yield
    finally:
        _WAVELETS_ARE_CONVOLUTIONS.reset(token)


def wavelets_are_convolutions() -> bool:
    """Return whether networks that are bound now compute wavelets by convolutions."""
    return _WAVELETS_ARE_CONVOLUTIONS.get()


def haar_matrix(channels: int) -> Tensor:
    """Return the matrix [4C, 4C] from four bands to four phases, for ``channels`` = 4C.

    :func:`inverse_haar` is this 1x1 convolution and :func:`depth_to_space`.
    """
    signs = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    return torch.kron(signs * 0.5, torch.eye(channels // 4))


def depth_to_space(x: Tensor) -> Tensor:
    """Return four phases [B, 4C, H, W] interleaved, [B, C, 2H, 2W].

    The channels are four phases of C: top left, top right, bottom left, bottom right.
    """
    batch, channels, height, width = x.shape
    x = x.view(batch, 2, 2, channels // 4, height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // 4, 2 * height, 2 * width)


def prevent_constant_folding(x: Tensor) -> Tensor:
    """Return ``x``; in a traced graph, limited to the range of float16, which changes nothing.

    A bias [C] was added before and a noise [H, W] is added after. Both are small. A compiler that
    adds them up beforehand gets a constant as large as the maps.
    """
    return x.clamp(-FLOAT16_MAX, FLOAT16_MAX) if torch.jit.is_tracing() else x  # type: ignore[attr-defined, no-untyped-call]


def check_ws(ws: Tensor, count: int, width: int) -> None:
    """Raise unless ``ws`` is [B, count, width]."""
    if ws.ndim != 3 or ws.shape[1:] != (count, width) or ws.shape[0] < 1:
        raise RequestError(
            f"ws must be [B, {count}, {width}] for this generator, got {list(ws.shape)}"
        )


def check_z(z: Tensor, width: int) -> None:
    """Raise unless ``z`` is [B, width]."""
    if z.ndim != 2 or z.shape[1] != width or z.shape[0] < 1:
        raise RequestError(f"z must be [B, {width}] for this generator, got {list(z.shape)}")


def check_label(label: Tensor | None, labels: int, batch: int) -> Tensor | None:
    """Return the label [batch, labels], the first class for None.

    Without classes, the result is None.

    Raises:
        RequestError: the label does not fit the network.
    """
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


def check_clamp(what: str, clamp: float | None) -> None:
    """Raise unless ``clamp`` is None or can be the largest absolute value of a map."""
    if clamp is not None:
        check_range(what, clamp, 0.0, 1e9)


def hyperparameters(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network's constructor with lists for tuples, as JSON writes them.

    Args:
        arguments: the ``locals()`` at the beginning of its ``__init__``.
    """
    return {
        name: [*value] if isinstance(value, (list, tuple)) else value
        for name, value in arguments.items()
        if name not in ("self", "__class__")
    }


def parameter_count(*parts: nn.Module | Tensor) -> int:
    """Return the number of stored values of modules and tensors, noise included."""
    tensors = (
        tensor
        for part in parts
        for tensor in (
            (part,) if isinstance(part, Tensor) else (*part.parameters(), *part.buffers())
        )
    )
    return sum(tensor.numel() for tensor in tensors)
