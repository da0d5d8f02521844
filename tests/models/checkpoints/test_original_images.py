import json

import numpy as np
import pytest
import torch

import plain_networks
from forgetting.models.checkpoints import native, nvidia, rosinality
from forgetting.models.checkpoints.nvidia_arguments import MadeWith
from helpers import DATA


@pytest.mark.parametrize("path", sorted(DATA.glob("*.npz")), ids=lambda path: path.stem)
def test_images_of_the_original_implementations(path):
    """Relative error of ``ws`` and of the image; measured are 6e-7 and 1e-6 at most."""
    arrays = np.load(path, allow_pickle=False)
    made_with = json.loads(str(arrays["__init_kwargs__"]))
    state = {
        name: torch.from_numpy(arrays[name]) for name in arrays.files if not name.startswith("__")
    }
    if "__latent_avg__" in arrays:
        converted = rosinality.convert(state, torch.from_numpy(arrays["__latent_avg__"]))
    else:
        converted = nvidia.convert(state, MadeWith(made_with))
    generator = native.build(*converted, str(path))
    label = torch.eye(made_with["c_dim"])[:2] if made_with.get("c_dim") else None
    ws, image = torch.from_numpy(arrays["__ws__"]), torch.from_numpy(arrays["__img__"])
    ours = generator.mapping(torch.from_numpy(arrays["__z__"]).float(), 0.7, label)
    for actual, expected in (
        (ours, ws),
        (generator.bind(ws)(), image),
        (generator.bind(ws[:1])(), image[:1]),
    ):
        error = float((actual - expected).norm() / expected.norm())
        print(f"{path.stem}: {error:.1e}")
        assert error <= 1e-4
    if "__latent_avg__" in arrays:
        plain = plain_networks.port_stylegan2(state, ws)
    elif path.stem.startswith("stylegan3"):
        plain = plain_networks.nvidia_stylegan3(state, made_with, ws)
    else:
        plain = plain_networks.nvidia_stylegan2(state, made_with, ws)
    assert float((plain - image).norm() / image.norm()) <= 1e-6, "other tests rely on it"
