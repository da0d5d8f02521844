"""What several networks share, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forgetting.errors import RequestError


def pixel_norm(x: Tensor) -> Tensor:
    """[B, C] -> [B, C] of unit mean square (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def inverse_haar(x: Tensor) -> Tensor:
    """Inverse Haar wavelet transform: [B, 4C, H, W] -> [B, C, 2H, 2W].

    Channels are ordered LL[0..C), then for every k the three details 4C/3k: vertical, horizontal, diagonal, as
    MobileStyleGAN has them (Belousov 2021, section 3.1). Written as sums and differences: each of the four output
    phases is half the signed sum of the four bands.
    """
    batch, channels, height, width = x.shape
    c = channels // 4
    low = x[:, :c]
    vertical, horizontal, diagonal = x[:, c:].view(batch, c, 3, height, width).unbind(2)  # [B, C, H, W] each
    out = x.new_empty(batch, c, height, 2, width, 2)
    column, detail = low + vertical, horizontal + diagonal
    out[:, :, :, 0, :, 0] = column + detail
    out[:, :, :, 0, :, 1] = column - detail
    column, detail = low - vertical, horizontal - diagonal
    out[:, :, :, 1, :, 0] = column + detail
    out[:, :, :, 1, :, 1] = column - detail
    return out.view(batch, c, 2 * height, 2 * width).mul_(0.5)


def check_ws(ws: Tensor, count: int, width: int) -> None:
    """Refuse a ``ws`` that is not [B, count, width]."""
    if ws.ndim != 3 or ws.shape[1:] != (count, width) or ws.shape[0] < 1:
        raise RequestError(f"ws must be [B, {count}, {width}] for this generator, got {list(ws.shape)}")


def check_z(z: Tensor, width: int) -> None:
    """Refuse a ``z`` that is not [B, width]."""
    if z.ndim != 2 or z.shape[1] != width or z.shape[0] < 1:
        raise RequestError(f"z must be [B, {width}] for this generator, got {list(z.shape)}")


def parameter_count(module: nn.Module) -> int:
    """Number of stored values, noise constants included."""
    return sum(t.numel() for t in (*module.parameters(), *module.buffers()))
