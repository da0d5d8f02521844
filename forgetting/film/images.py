"""Pictures of strangers: opened by Pillow, as large as is wanted, and no larger than is believed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from forgetting.engines.engine import Frame
from forgetting.errors import RequestError, one_line

LARGEST = 100_000_000
"""Pixels of a picture that is still opened."""


def read_image(path: Path, longest: int | None = None) -> Tensor:
    """[1, 3, H, W] in [-1, 1], upright, its longer side at most ``longest``; what is transparent is black.

    Raises:
        RequestError: it is no picture, or too large to be believed.
    """
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path) as picture,
        ):
            if picture.width * picture.height > LARGEST:
                raise RequestError(
                    f"{path} claims to be {picture.width} x {picture.height}; pictures up to {LARGEST:,} pixels are opened"
                )
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (
        OSError,
        UnidentifiedImageError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} is no picture that can be opened ({one_line(error)})") from None
    if longest and max(upright.size) > longest:
        scale = longest / max(upright.size)
        upright = upright.resize(
            (max(1, round(upright.width * scale)), max(1, round(upright.height * scale))),
            Image.Resampling.LANCZOS,
        )
    solid = Image.new("RGBA", upright.size, (0, 0, 0, 255))
    solid.alpha_composite(upright)
    return (
        torch.from_numpy(np.array(solid.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
    )


def cropped(shape: tuple[int, int], ratio: Sequence[int]) -> tuple[int, int]:
    """The largest even (height, width) within ``shape`` that is as wide to high as ``ratio``."""
    (height, width), (across, down) = shape, ratio
    high, wide = (
        (round(width * down / across), width)
        if width * down <= height * across
        else (height, round(height * across / down))
    )
    return high - high % 2, wide - wide % 2


def fit(frame: Frame, shape: tuple[int, int]) -> Frame:
    """[H, W, 3 or 4] scaled to ``shape`` (height, width) with a Lanczos filter."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(Image.fromarray(frame).resize(shape[::-1], Image.Resampling.LANCZOS))


def save_png(frame: Frame, path: Path, comment: str) -> None:
    """Write a still with ``comment`` in its metadata."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", comment)
    Image.fromarray(frame).save(path, format="png", pnginfo=info, compress_level=3)
