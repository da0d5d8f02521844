"""How different two pictures look, as far as their structure goes.

A relative of the normalised Laplacian pyramid distance (Laparra et al. 2016, "Perceptual image quality assessment
using a normalized Laplacian pyramid"): pictures are split into bands of detail, each divided by the local amplitude
around it, and compared band by band. The colour of large areas counts too, but little: beyond the point where nothing
is left to see, a dying network flashes from one plain colour to another, and half of all change of pixels lies there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 256
"""Pictures are compared at this many pixels; finer texture than that is not what one sequential in a film."""

BANDS = 5
SATURATION = 0.17
"""Local amplitude at which a band begins to be compressed (Laparra et al. 2016, section 2.3), pictures in [0, 1]."""

PLAIN = 0.25
"""Weight of the root mean square difference of colour between large areas, against the mean over the bands: with 0
the end of a film jumps in colour, with 1 it lingers on colours alone (measured on the default film)."""

Bands = tuple[Tensor, ...]


def detail_bands(image: Tensor) -> Bands:
    """[B, 3, H, W] in [-1, 1] -> the normalised bands of its luma and two colour differences, finest first, and what
    is left below them: RGB in areas of 32 pixels."""
    x = (image.clamp(-1, 1) + 1) / 2
    if max(x.shape[-2:]) > SIZE:
        scale = SIZE / max(x.shape[-2:])
        x = _pool(x, *(max(1, round(n * scale)) for n in x.shape[-2:]))
    plain = _pool(x, *(-(-n // 2**BANDS) for n in x.shape[-2:]))
    red, _, blue = x.unbind(1)
    y = luma(x)
    x = torch.stack((y, (blue - y) / 2, (red - y) / 2), dim=1)
    found = []
    for _ in range(BANDS):
        if min(x.shape[-2:]) < 3:
            break
        low = _blur(x)
        band = x - low
        found.append(band / (SATURATION + _blur(band.abs())))
        x = low[:, :, ::2, ::2]
    return (*found, plain)


def distance(a: Bands, b: Bands) -> Tensor:
    """[B]: root mean square difference, averaged over the bands, plus that of the plain colours times ``PLAIN``."""
    *detail, plain = (
        (p - q).square().mean(dim=(1, 2, 3)).sqrt() for p, q in zip(a, b, strict=True)
    )
    return torch.stack(detail).mean(0) + PLAIN * plain if detail else PLAIN * plain


def steps(pictures: Iterable[Tensor]) -> list[float]:
    """How far each picture [1, 3, H, W] looks from the one before: a film that changes evenly has equal steps."""
    return [
        float(distance(a, b)) for a, b in pairwise(detail_bands(picture) for picture in pictures)
    ]


def luma(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, H, W]: the luma of BT.709, in the units of ``x``."""
    red, green, blue = x.unbind(1)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _pool(x: Tensor, height: int, width: int) -> Tensor:
    return F.adaptive_avg_pool2d(x, (height, width))


def _blur(x: Tensor) -> Tensor:
    """The binomial filter of Burt and Adelson 1983, five taps (three where the picture is small)."""
    taps = (1.0, 4.0, 6.0, 4.0, 1.0) if min(x.shape[-2:]) > 4 else (1.0, 2.0, 1.0)
    kernel = x.new_tensor(taps) / sum(taps)
    channels, pad = x.shape[1], len(taps) // 2
    x = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
