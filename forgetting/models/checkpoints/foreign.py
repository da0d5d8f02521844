"""Files of weights of other projects: which of their networks to take, and how to convert it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting.errors import CheckpointError, RequestError, one_line
from forgetting.files import user_path
from forgetting.models.checkpoints import (
    dcgan,
    native,
    nvidia,
    nvidia_arguments,
    pickle_reader,
    pickle_records,
    rosinality,
)
from forgetting.models.checkpoints.dcgan import DCGANSettings
from forgetting.models.checkpoints.network_search import (
    choose_network,
    detect_architecture,
    find_networks,
    tensor_beside,
    without_prefix,
)
from forgetting.models.checkpoints.stylegan import Converted
from forgetting.models.checkpoints.weights import NotReadError
from forgetting.models.generator import Generator
from forgetting.parts import part

OPTION = "generator.{}={}"
"""How the command line writes a setting of a network."""


@part("generator/file")
@dataclass(frozen=True)
class CheckpointFile:
    """The network in a file. Nothing in the file is ever executed.

    Args:
        path: a ``.pkl`` of StyleGAN2-ADA or StyleGAN3, a ``.pt`` or ``.pth``, or safetensors of
            ours.
        network: its name, if the file holds several (``G``, ``G_ema``); None takes the running
            mean if there is one.
        activation: of the layers of a DCGAN, whose state dict does not say it.
        slope: of that activation below zero, if it is ``lrelu``.
        output: activation of the picture of a DCGAN.
        strides: of the convolutions of a DCGAN behind the first one.
    """

    path: str
    network: str | None = None
    activation: str | None = None
    slope: float | None = None
    output: str | None = None
    strides: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise RequestError("generator=file needs a file: set generator.path=my-network.pkl")
        self.settings()

    def settings(self) -> DCGANSettings:
        """Return what the state dict of a DCGAN does not say.

        Raises:
            RequestError: a setting that no DCGAN has.
        """
        strides = None if self.strides is None else tuple(self.strides)
        return DCGANSettings(self.activation, self.slope, self.output, strides)

    def load(self) -> Generator:
        """Return the network as a generator.

        Raises:
            CheckpointError: the file cannot be read, or holds no network that we can convert.
            RequestError: the file does not say something that must be set, or says it itself.
        """
        path = user_path(self.path)
        if pickle_reader.file_kind(path) == "safetensors":
            _check_unset(self.settings(), str(path))
            return native.read_checkpoint(path)
        tree = pickle_reader.read_tree(path)
        architecture, hyperparameters, state = convert(tree, self.network, self.settings())
        return native.build(architecture, hyperparameters, state, str(path))


def convert_file(
    path: Path, into: Path, network: str | None = None, settings: DCGANSettings | None = None
) -> None:
    """Write the network in the file ``path`` as a file of ours.

    Args:
        path: of the file.
        into: path of the new file.
        network: its name, if the file holds several.
        settings: what the state dict of a DCGAN does not say.

    Raises:
        RequestError: the suffix of ``into`` is not that of our files, or a setting is missing.
        CheckpointError: we do not read such files, or ``into`` cannot be written.
    """
    if into.suffix != ".safetensors":
        raise RequestError(
            f"{into} would be a safetensors file; name it {into.with_suffix('.safetensors')}"
        )
    if pickle_reader.file_kind(path) == "safetensors":
        raise CheckpointError(
            f"{path} is a safetensors file already; "
            f"generator.path={path} opens it if it is one of ours"
        )
    tree = pickle_reader.read_tree(path)
    kind, hyperparameters, state = convert(tree, network, settings, "--{} {}")
    generator = native.build(kind, hyperparameters, state, str(path))
    with path.open("rb") as file:
        provenance = f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" + (
            f" {network}" if network else ""
        )
    try:
        native.write_checkpoint(into, kind, hyperparameters, generator.state_dict(), provenance)
    except OSError as error:
        raise CheckpointError(
            f"{into} cannot be written ({error.strerror or error}); choose another path"
        ) from None


def convert(
    tree: pickle_records.Tree,
    network: str | None = None,
    settings: DCGANSettings | None = None,
    option: str = OPTION,
) -> Converted:
    """Convert the network of that name in a file into one of ours.

    Args:
        tree: of the file.
        network: its name, see :func:`choose_network`.
        settings: what the state dict of a DCGAN does not say.
        option: how name and value of a setting are written, for messages.

    Raises:
        CheckpointError: there is none, we do not read such networks, or its weights do not fit
            together.
        RequestError: a setting is missing, or the file says itself what a setting says.
    """
    settings = settings or DCGANSettings()
    networks = find_networks(tree)
    name = choose_network(tree, networks, network)
    origin = f"{tree.path}: {name}" if name else str(tree.path)
    value = networks[name]
    shapes = without_prefix(pickle_records.stored(value, origin))
    architecture = detect_architecture(shapes)
    if architecture == "dcgan":
        if missing := unsaid(shapes, settings, option):
            raise RequestError(f"{origin} is a DCGAN, whose state dict does not say {missing}")
    else:
        _check_unset(settings, origin, option)
    try:
        return _convert(tree, name, value, origin, architecture, settings)
    except NotReadError as error:
        raise CheckpointError(
            f"{origin} is a kind of network that we do not read: {one_line(error)}"
        ) from None
    except KeyError as error:
        raise CheckpointError(
            f"{origin} has no {error}; it is damaged, or a kind of network that we do not read"
        ) from None
    except (
        ArithmeticError,
        AttributeError,
        IndexError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(f"{origin} does not fit together: {one_line(error)}") from None


def _convert(
    tree: pickle_records.Tree,
    name: str,
    value: Any,
    origin: str,
    architecture: str | None,
    settings: DCGANSettings,
) -> Converted:
    if architecture is None:
        raise CheckpointError(
            f"{origin} is {_kind(value)}, which we do not read; we read StyleGAN2, StyleGAN3 and "
            "DCGAN, and generator=module takes a network that your own code loads"
        )
    state = without_prefix(pickle_records.tensors(value, origin))
    if architecture == "nvidia":
        made_with = nvidia_arguments.MadeWith({})
        if isinstance(value, pickle_records.Persistent):
            _, positional, keywords = pickle_records.settings(value, origin)
            made_with = nvidia_arguments.read_arguments(value, positional, keywords)
        return nvidia.convert(state, made_with)
    if architecture == "dcgan":
        return dcgan.convert(state, settings)
    centre = tensor_beside(tree.root, name, "latent_avg")
    if centre is None:
        return rosinality.convert(state, None)
    tensors = pickle_records.tensors({"centre": centre}, origin)
    return rosinality.convert(state, tensors["centre"])


def unsaid(
    shapes: Mapping[str, Any], settings: DCGANSettings | None = None, option: str = OPTION
) -> str:
    """Return what the state dict of a network does not say, and what to add; empty for nothing.

    Args:
        shapes: the tensors of the network by name.
        settings: what is set already.
        option: how name and value of a setting are written.
    """
    if detect_architecture(shapes) != "dcgan":
        return ""
    missing = dict((settings or DCGANSettings()).unsaid(dcgan.kernels(shapes)))
    if not missing:
        return ""
    names = [f"its {name}" for name in missing]
    listed = " and ".join((", ".join(names[:-1]), names[-1])) if names[1:] else names[0]
    options = " ".join(option.format(name, value) for name, value in missing.items())
    return f"{listed}; add {options} if it is like the network of the paper, or what its code says"


def _check_unset(settings: DCGANSettings, origin: str, option: str = OPTION) -> None:
    """Raise if something is set that the file says itself."""
    for name, value in settings.given().items():
        raise RequestError(
            f"{origin} says itself what its network computes; leave out "
            f"{option.format(name, value)}, which is for state dicts of DCGANs"
        )


def _kind(value: Any) -> str:
    if isinstance(value, pickle_records.Persistent):
        return f"a {ascii(value.class_name[:60])[1:-1]}"
    return f"a network with {str(next(iter(value)))[:60]!a}"
