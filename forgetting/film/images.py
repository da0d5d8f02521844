"""Still pictures: read and written by imageio, cropped and scaled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from imageio.plugins.pillow import PillowPlugin
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from PIL.ExifTags import Base
from torch import Tensor

from forgetting.engines.pixels import Frame
from forgetting.errors import RequestError, one_line
from forgetting.files import open_own, open_regular

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""The formats that are opened, by their names in Pillow."""

MAX_PIXELS = 100_000_000
"""The most pixels of a picture that is opened."""

MAX_BYTES = 1 << 30
"""The largest file that is opened."""


def read_image(path: Path, longest: int | None = None) -> Tensor:
    """Return a picture as [1, 3, H, W] in [-1, 1], upright; transparent pixels are black.

    Args:
        path: a file that may come from a stranger.
        longest: its longer side is scaled down to so many pixels.

    Raises:
        RequestError: the file is no picture, or too large.
    """
    picture = _read(path, "RGBA")
    if longest and max(picture.size) > longest:
        scale = longest / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    opaque = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    opaque.alpha_composite(picture)
    pixels = torch.from_numpy(np.array(opaque.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def read_still(path: Path, links: bool = True, most: int = MAX_PIXELS) -> Frame:
    """Return a still of a film as [H, W, 3].

    Args:
        path: of the file.
        links: whether it may be a link; in folders that may be a stranger's, links are refused.
        most: pixels.

    Raises:
        RequestError: the file is no picture, or too large.
    """
    return np.asarray(_read(path, "RGB", links, most))


def _read(path: Path, mode: str, links: bool = True, most: int = MAX_PIXELS) -> Image.Image:
    """Return the first picture of a file, upright, in a mode of Pillow."""
    try:
        # Opened here: imageio would take some names for addresses or for paths in archives.
        with (
            (open_regular if links else open_own)(path) as file,
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
        ):
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise RequestError(
                    f"{path} has {size:,} bytes; pictures up to {MAX_BYTES:,} bytes are opened"
                )
            with Image.open(file, formats=FORMATS) as header:
                if header.width * header.height > most:
                    raise RequestError(
                        f"{path} claims to be {header.width} x {header.height}; "
                        f"pictures up to {most:,} pixels are opened"
                    )
            file.seek(0)
            with iio.imopen(file, "r", plugin="pillow") as source:
                assert isinstance(source, PillowPlugin)
                pixels = source.read(index=0, mode=mode)
                orientation = source.metadata(index=0, exclude_applied=False).get("Orientation")
    except UnidentifiedImageError:
        raise RequestError(
            f"{path} is no picture that can be opened; take a file in the format "
            f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} is no picture that can be opened ({one_line(error)})") from None
    picture = Image.fromarray(pixels)
    # Not by imageio, which flips the channels of grey pictures that are converted.
    picture.getexif()[Base.Orientation] = orientation
    return ImageOps.exif_transpose(picture)


def save_png(frame: Frame, path: Path, comment: str) -> None:
    """Write a still, [H, W, 3 or 4], with ``comment`` in its metadata."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", comment)
    with path.open("wb") as file:
        iio.imwrite(
            file,
            frame,
            plugin="pillow",
            extension=".png",
            is_batch=False,
            pnginfo=info,
            compress_level=3,
        )


def cropped(shape: tuple[int, int], ratio: Sequence[int]) -> tuple[int, int]:
    """Return the largest even (height, width) within ``shape``; ``ratio`` is width to height."""
    (height, width), (ratio_width, ratio_height) = shape, ratio
    if width * ratio_height <= height * ratio_width:
        height = round(width * ratio_height / ratio_width)
    else:
        width = round(height * ratio_width / ratio_height)
    return height - height % 2, width - width % 2


def fit(frame: Frame, shape: tuple[int, int]) -> Frame:
    """Return a frame [H, W, 3 or 4] scaled to ``shape`` (height, width) with a Lanczos filter."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(Image.fromarray(frame).resize(shape[::-1], Image.Resampling.LANCZOS))
