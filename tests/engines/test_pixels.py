"""Planes are checked by what ffmpeg decodes, and against the formulas of BT.709."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from forgetting.engines.pixels import (
    Planes,
    from_bytes,
    pixel_kernel,
    psnr,
    rgb_channels,
    sort_pixels,
    to_bytes,
)
from forgetting.film.encoder import encode
from forgetting.film.settings import FilmSettings

SIDE = 32


def pictures() -> dict[str, torch.Tensor]:
    """Return pictures [1, 3, H, W] in and beyond [-1, 1]."""
    draws = torch.Generator().manual_seed(1)
    smooth = F.interpolate(torch.randn(1, 3, 4, 4, generator=draws), (SIDE, SIDE), mode="bicubic")
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3).T.reshape(1, 3, 2, 4)
    return {
        "smooth": smooth.clamp(-1, 1) * 0.77,
        "clipped": smooth * 4,
        "saturated": corners.repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 4, 3),
        "noise": torch.rand(1, 3, SIDE, SIDE, generator=draws) * 2 - 1,
        "black": torch.full((1, 3, SIDE, SIDE), -1.0),
        "white": torch.full((1, 3, SIDE, SIDE), 1.0),
    }


def as_bytes(picture: torch.Tensor, planes: bool, rgb: bool):
    """Return frame and planes of a picture, as an engine's graph makes them."""
    weight, bias = pixel_kernel(planes, rgb)
    blocks = F.conv2d(picture.clamp(-1, 1), weight, bias, stride=2).clamp(0, 255).round()
    return sort_pixels(blocks[0].permute(1, 2, 0).contiguous().byte().numpy(), planes, rgb)


def formula(picture: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return luma and chroma by ITU-R BT.709-6, items 3.2, 3.3 and 4.6, as floats."""
    red, green, blue = ((picture[0].clamp(-1, 1) + 1) / 2).double().numpy()
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def mean(x: np.ndarray) -> np.ndarray:
        return x.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))

    blue_difference = mean((blue - luma) / 1.8556) * 224 + 128
    return luma * 219 + 16, blue_difference, mean((red - luma) / 1.5748) * 224 + 128


@pytest.mark.parametrize("name", pictures())
def test_planes_are_those_of_the_standard(name):
    picture = pictures()[name]
    _, planes = as_bytes(picture, planes=True, rgb=False)
    luma, blue, red = formula(picture)
    assert np.abs(planes.luma - luma).max() <= 0.5 + 1e-4
    assert np.abs(planes.chroma - np.stack((blue, red))).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("name", pictures())
def test_rgb_of_blocks_is_rgb(name, planes):
    picture = pictures()[name]
    frame, _ = as_bytes(picture, planes, rgb=True)
    expected = to_bytes(picture)[0].numpy()
    assert np.abs(frame.astype(int) - expected).max() <= 1  # halves may round either way
    assert (frame != expected).mean() <= 0.01
    assert frame.flags.c_contiguous


def test_grey_pictures_have_three_channels_and_more_than_three_are_ignored():
    assert rgb_channels(torch.ones(1, 1, 4, 4)).shape == (1, 3, 4, 4)
    assert torch.equal(
        rgb_channels(torch.arange(5.0).view(1, 5, 1, 1)).flatten(), torch.arange(3.0)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", pictures())
def test_ffmpeg_decodes_the_planes_that_were_written(name, tmp_path):
    """Without loss; range, matrix and the place of chroma are declared in the file."""
    _, planes = as_bytes(pictures()[name], planes=True, rgb=False)
    film = FilmSettings(duration=1 / 24, crf=0, encoder="x264")
    encode(film, [planes], tmp_path / "film.mp4", (SIDE, SIDE), "")
    assert np.array_equal(decoded(tmp_path / "film.mp4", "yuv420p"), flat(planes))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "debug", "-i", tmp_path / "film.mp4"]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "yuv420p(tv, bt709, progressive, center)" in report


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smooth", "clipped", "saturated", "black", "white"])
def test_players_show_the_rgb_of_the_network(name, tmp_path):
    """What ffmpeg shows of our planes is as near to the frame as what it makes of RGB itself."""
    picture = pictures()[name]
    frame, planes = as_bytes(picture, planes=True, rgb=True)
    film = FilmSettings(duration=1 / 24, crf=0, encoder="x264")
    encode(film, [planes], tmp_path / "planes.mp4", (SIDE, SIDE), "")
    encode(film, [frame], tmp_path / "rgb.mp4", (SIDE, SIDE), "")
    shown = decoded(tmp_path / "planes.mp4", "rgb24").reshape(SIDE, SIDE, 3)
    by_ffmpeg = decoded(tmp_path / "rgb.mp4", "rgb24").reshape(SIDE, SIDE, 3)
    assert psnr([shown], [frame]) >= psnr([by_ffmpeg], [frame])
    assert name in ("smooth", "clipped") or psnr([shown], [frame]) >= 45  # else chroma is coarser


def test_bytes_and_pictures_are_inverse():
    frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(to_bytes(from_bytes(frame))[0].numpy(), frame)


def decoded(path, pixels: str) -> np.ndarray:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", pixels, "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)


def flat(planes: Planes) -> np.ndarray:
    return np.concatenate((planes.luma.ravel(), planes.chroma.ravel()))
