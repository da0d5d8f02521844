"""Still pictures, read and written."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from forgetting.engines.pixels import to_bytes
from forgetting.errors import RequestError
from forgetting.film import images
from helpers import noise_frame

POSTSCRIPT = """%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
showpage
%%EOF
"""
"""Pillow would run Ghostscript on it."""


def test_pictures_are_upright_opaque_and_scaled_down(tmp_path):
    stripes = np.zeros((30, 60, 4), np.uint8)
    stripes[:, :30] = (255, 0, 0, 255)
    stripes[:, 30:] = (0, 255, 0, 0)
    turned = Image.fromarray(stripes)
    exif = turned.getexif()
    exif[Base.Orientation] = 6  # to be rotated by a quarter
    turned.save(tmp_path / "a.png", exif=exif)
    picture = images.read_image(tmp_path / "a.png", longest=40)
    assert picture.shape == (1, 3, 40, 20)
    assert picture[0, :, 5, 10].tolist() == [1, -1, -1]
    assert picture[0, :, 35, 10].tolist() == [-1, -1, -1]


READERS = [images.read_image, images.read_still]


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_no_pictures(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, Path("/dev/zero")):
        with pytest.raises(RequestError, match=f"{path} is not a regular file"):
            read(path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "page.png").write_text(POSTSCRIPT)
    Image.new("RGB", (8, 8)).save(tmp_path / "plane.png", "TGA")
    for name in ("text.png", "page.png", "plane.png"):
        with pytest.raises(RequestError, match=f"{name} is no picture that can be opened; take a"):
            read(tmp_path / name)
    with pytest.raises(RequestError, match=r"none.png is no picture that can be opened \("):
        read(tmp_path / "none.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(RequestError, match=r"half.png is no picture that can be opened \("):
        read(tmp_path / "half.png")


@pytest.mark.parametrize("read", READERS)
def test_pictures_that_are_too_large_are_not_decoded(read, tmp_path, monkeypatch):
    """The file has few bytes: its header alone decides."""
    Image.new("1", (15_000, 10_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 1_000_000
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    monkeypatch.setattr(images.iio, "imopen", None)
    with pytest.raises(RequestError, match="claims to be 15000 x 10000; pictures up to"):
        read(tmp_path / "bomb.png")
    with pytest.raises(RequestError, match="has 1,073,741,825 bytes; pictures up to"):
        read(tmp_path / "sparse.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_pictures_are_upright_whatever_their_orientation(tmp_path, orientation, mode):
    drawn = Image.fromarray(noise_frame(shape=(6, 9, 3))).convert(mode)
    exif = drawn.getexif()
    exif[Base.Orientation] = orientation
    drawn.save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(drawn).convert("RGB"))
    assert upright.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
    assert np.array_equal(images.read_still(tmp_path / "a.png"), upright)
    assert np.array_equal(to_bytes(images.read_image(tmp_path / "a.png"))[0].numpy(), upright)


@pytest.mark.parametrize("channels", [3, 4])
def test_stills_keep_their_pixels_and_their_comment(tmp_path, channels):
    frame = noise_frame(shape=(20, 30, channels))
    comment = '{"title": "l\'\u00e9t\u00e9 \u2026"}'
    images.save_png(frame, tmp_path / "still", comment)
    with Image.open(tmp_path / "still") as still:
        assert still.format == "PNG"
        assert still.text == {"Comment": comment}
        assert np.array_equal(np.asarray(still), frame)
    assert np.array_equal(images.read_still(tmp_path / "still"), frame[..., :3])
    assert [path.name for path in tmp_path.iterdir()] == ["still"]
