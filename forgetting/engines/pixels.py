"""Pictures as bytes: RGB, and the planes that films of 4:2:0 store.

Four-to-two-to-zero stores a luma for every pixel, and two chroma values for every 2 x 2 pixels.
Both ways are linear in RGB, so one convolution of the picture with a stride of two makes them: its
channels are the lumas of four pixels, their mean chroma, and their RGB. As bytes, channels last,
they are then only sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]

Frame = Bytes
"""[H, W, 3], RGB; finished frames of a film with an alpha channel are [H, W, 4]."""

KR, KB = 0.2126, 0.0722
"""The weights of red and blue in the luma of BT.709 (ITU-R BT.709-6, item 3.2)."""


class Planes(NamedTuple):
    """A frame as 4:2:0 stores it: BT.709 in the range of television (ITU-R BT.709-6, item 5.2).

    Args:
        luma: [H, W] in [16, 235].
        chroma: [2, H / 2, W / 2] in [16, 240]: blue and red difference, the means of 2 x 2 pixels,
            which lie in their middle.
    """

    luma: Bytes
    chroma: Bytes


def yuv_matrix() -> tuple[Tensor, Tensor]:
    """Return matrix [3, 3] and offset [3] from RGB in [-1, 1] to the bytes of BT.709."""
    kg = 1 - KR - KB
    luma = torch.tensor([KR, kg, KB], dtype=torch.float64)
    blue = (torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64) - luma) / (2 * (1 - KB))
    red = (torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64) - luma) / (2 * (1 - KR))
    matrix = torch.stack((219 * luma, 224 * blue, 224 * red)) / 2
    return matrix, torch.tensor([16 + 219 / 2, 128, 128], dtype=torch.float64)


def pixel_kernel(planes: bool, rgb: bool) -> tuple[Tensor, Tensor]:
    """Return the kernel [N, 3, 2, 2] and the bias [N] from pictures in [-1, 1] to bytes.

    The outputs of a 2 x 2 block are, with ``planes``, four lumas, row by row, and two chroma
    values, and then, with ``rgb``, the RGB of the four pixels.
    """
    matrix, offset = yuv_matrix()
    kernels, biases = [], []
    if planes:
        luma = torch.zeros(2, 2, 3, 2, 2, dtype=torch.float64)
        for y in (0, 1):
            for x in (0, 1):
                luma[y, x, :, y, x] = matrix[0]
        chroma = (matrix[1:] / 4)[:, :, None, None].expand(2, 3, 2, 2)
        kernels += [luma.reshape(4, 3, 2, 2), chroma]
        biases += [offset[0].expand(4), offset[1:]]
    if rgb:
        pixels = torch.zeros(2, 2, 3, 3, 2, 2, dtype=torch.float64)
        for y in (0, 1):
            for x in (0, 1):
                pixels[y, x, :, :, y, x] = torch.eye(3) * 127.5
        kernels.append(pixels.reshape(12, 3, 2, 2))
        biases.append(torch.full((12,), 127.5, dtype=torch.float64))
    return torch.cat(kernels).float(), torch.cat(biases).float()


def sort_pixels(pixels: Bytes, planes: bool, rgb: bool) -> tuple[Frame | None, Planes | None]:
    """Return frame and planes of the bytes [H / 2, W / 2, N] of all blocks.

    Their channels are the outputs of :func:`pixel_kernel`. What is returned is copied.
    """
    height, width, _ = pixels.shape
    # Two bytes are moved at once: the two pixels of a row of a block are neighbours in the frame.
    pairs = pixels.view(np.uint16)
    sorted_planes = None
    if planes:
        luma = np.empty((height, 2, width), np.uint16)
        luma[:, 0], luma[:, 1] = pairs[..., 0], pairs[..., 1]
        chroma = np.ascontiguousarray(pixels[..., 4:6].transpose(2, 0, 1))
        sorted_planes = Planes(luma.view(np.uint8).reshape(2 * height, 2 * width), chroma)
    frame = None
    if rgb:
        rows = np.empty((height, 2, width, 3), np.uint16)
        first = 3 if planes else 0
        for row in (0, 1):
            for k in range(3):
                rows[:, row, :, k] = pairs[..., first + 3 * row + k]
        frame = rows.view(np.uint8).reshape(2 * height, 2 * width, 3)
    return frame, sorted_planes


def to_bytes(image: Tensor) -> Tensor:
    """Convert [B, C, H, W], nominally in [-1, 1], to [B, H, W, 3] uint8."""
    # Rounded to bytes first: the transposed copy is then a quarter of the size.
    image = ((rgb_channels(image).float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return image.permute(0, 2, 3, 1)


def rgb_channels(image: Tensor) -> Tensor:
    """Return pictures [B, C, H, W] with three channels.

    Pictures of fewer than three channels become grey; channels beyond the third are ignored.
    """
    image = image[:, :3] if image.shape[1] >= 3 else image[:, :1]
    return image.expand(-1, 3, -1, -1)


def from_bytes(frame: Frame) -> Tensor:
    """Convert [H, W, 3] uint8 to [1, 3, H, W] in [-1, 1].

    This is the inverse of :func:`to_bytes` up to rounding.
    """
    image = torch.from_numpy(np.require(frame, requirements="W")).permute(2, 0, 1)[None]
    return image.float() / 127.5 - 1


def psnr(frames: Iterable[Frame], reference: Sequence[Frame]) -> float:
    """Return the peak signal-to-noise ratio in dB of the worst frame.

    It is infinite where all frames are equal.
    """
    errors = [
        float(np.square(a.astype(np.float32) - b).mean())
        for a, b in zip(frames, reference, strict=True)
    ]
    return float("inf") if max(errors) == 0 else float(10 * np.log10(255**2 / max(errors)))
