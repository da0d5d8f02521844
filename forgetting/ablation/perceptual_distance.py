"""How different two pictures look.

A relative of the normalised Laplacian pyramid distance (Laparra et al. 2016, "Perceptual image
quality assessment using a normalized Laplacian pyramid"): pictures are split into bands of detail,
every band is divided by the local amplitude around it, and bands are compared. The colour of large
areas has a small weight only. When most units are ablated, pictures without any structure flash
from one colour to another, and half of all change of pixels lies there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 256
"""The longer side in pixels at which pictures are compared; viewers do not follow finer texture."""

BANDS = 5
"""Number of bands of detail, an octave each."""

SATURATION = 0.17
"""Local amplitude at which a band begins to saturate (Laparra et al. 2016, section 2.3).

Pictures are in [0, 1].
"""

AREA_WEIGHT = 0.25
"""Weight of the difference of colour between large areas, relative to the mean of the bands.

With 0 the end of a film jumps in colour, with 1 it spends much time on colours alone (measured on
the default film).
"""

Bands = tuple[Tensor, ...]
"""The bands of detail of pictures, finest first, and the colours of their large areas."""


def detail_bands(image: Tensor) -> Bands:
    """Return the normalised bands of pictures [B, 3, H, W] in [-1, 1].

    Bands are of luma and two colour differences, [B, 3, H, W] with H and W halved from band to
    band. The last tensor holds what remains below them: RGB in areas of 32 pixels.
    """
    x = (image.clamp(-1, 1) + 1) / 2
    if max(x.shape[-2:]) > SIZE:
        scale = SIZE / max(x.shape[-2:])
        x = _pool(x, *(max(1, round(n * scale)) for n in x.shape[-2:]))
    areas = _pool(x, *(-(-n // 2**BANDS) for n in x.shape[-2:]))
    red, _, blue = x.unbind(1)
    y = luma(x)
    x = torch.stack((y, (blue - y) / 2, (red - y) / 2), dim=1)
    bands = []
    for _ in range(BANDS):
        if min(x.shape[-2:]) < 3:
            break
        low = _blur(x)
        band = x - low
        bands.append(band / (SATURATION + _blur(band.abs())))
        x = low[:, :, ::2, ::2]
    return (*bands, areas)


def distance(a: Bands, b: Bands) -> Tensor:
    """Return the distances [B] of pictures, given their bands.

    That is the root mean square difference, averaged over the bands of detail, plus ``AREA_WEIGHT``
    times that of large areas.
    """
    *detail, areas = (
        (p - q).square().mean(dim=(1, 2, 3)).sqrt() for p, q in zip(a, b, strict=True)
    )
    return torch.stack(detail).mean(0) + AREA_WEIGHT * areas if detail else AREA_WEIGHT * areas


def steps(pictures: Iterable[Tensor]) -> list[float]:
    """Return the distance of every picture [1, 3, H, W] from the picture before.

    In a film that changes evenly, all of them are equal.
    """
    return [
        float(distance(a, b)) for a, b in pairwise(detail_bands(picture) for picture in pictures)
    ]


def luma(x: Tensor) -> Tensor:
    """Return the BT.709 luma [B, H, W] of RGB pictures [B, 3, H, W], in the same range."""
    red, green, blue = x.unbind(1)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _pool(x: Tensor, height: int, width: int) -> Tensor:
    return F.adaptive_avg_pool2d(x, (height, width))


def _blur(x: Tensor) -> Tensor:
    """Return pictures after the binomial filter of Burt and Adelson 1983.

    It has five taps, or three where pictures are small.
    """
    taps = (1.0, 4.0, 6.0, 4.0, 1.0) if min(x.shape[-2:]) > 4 else (1.0, 2.0, 1.0)
    kernel = x.new_tensor(taps) / sum(taps)
    channels, pad = x.shape[1], len(taps) // 2
    x = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
