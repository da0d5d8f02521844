"""Classifiers: networks from pictures to logits.

A classifier has layers and units as a generator has, which can be ablated, bent and recorded in
the same way. So a :class:`Classifier` *is* a generator whose latent is a picture and whose
picture is its logits, and orderings, operators, plans and statistics need no special cases.
Dreams maximise the activations that it records on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from forgetting.errors import RequestError, unknown_name
from forgetting.models.architectures.ops import check_z
from forgetting.models.generator import Edit
from forgetting.models.hooked import Hooked, HookedSynthesis
from forgetting.models.units import Layer


@dataclass(frozen=True)
class Preparation:
    """How pictures were normalised in training: ``(colour * 255 - mean) / scale``.

    Args:
        mean: by channel, in the network's own order of channels.
        scale: by channel.
        bgr: whether the network's channels are blue, green and red.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool = False

    def normalise(self, picture: Tensor) -> Tensor:
        """Return the network's input of a picture [B, 3, H, W] in [-1, 1]."""
        mean, scale = (
            torch.tensor(values).view(1, 3, 1, 1).to(picture) for values in (self.mean, self.scale)
        )
        return ((picture.flip(1) if self.bgr else picture) * 127.5 + 127.5 - mean) / scale


class _AllRecordedError(Exception):
    """All layers that were asked for have been recorded."""


class Classifier(Hooked):
    """A module from pictures [B, 3, H, W] to logits [B, classes], as a generator.

    ``ws`` [B, 1, 3 H W] is a picture of the ``size`` that the network was trained at. Its picture
    is the logits, [B, classes, 1, 1].

    Args:
        network: the module.
        size: height and width of the pictures in training.
        preparation: how pictures are normalised.
        classes: names of the classes.
        layer_sequence: names of layers from low to high; all layers if there are none.
        min_size: the smallest height and width that the network takes.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int,
        preparation: Preparation,
        classes: Sequence[str],
        layer_sequence: Sequence[str] = (),
        min_size: int = 32,
    ) -> None:
        self.classes, self.min_size = tuple(classes), min_size
        super().__init__(
            network, (3, size, size), prepare=preparation.normalise, to_image=_logits_as_picture
        )
        self.layer_sequence = tuple(layer_sequence) or tuple(layer.name for layer in self.layers)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return random pictures with the statistics of natural ones, [B, 1, 3 H W].

        Amplitudes fall with frequency (Field 1987, "Relations between the statistics of natural
        images and the response properties of cortical cells"), and colours are correlated.
        """
        check_z(z, self.z_dim)
        if label is not None:
            raise RequestError("a classifier takes no class; a class is an objective of dreams")
        return (psi * natural_noise(z.reshape(-1, *self.shape))).reshape(len(z), 1, self.z_dim)

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the mean over space, [1, C, 1, 1], so that it fits pictures of any size."""
        return super().bias_only_output(layer).mean((2, 3), keepdim=True)

    def layer(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises:
            RequestError: there is none; the message lists those that exist.
        """
        layers = {layer.name: layer for layer in self.layers}
        if name not in layers:
            raise unknown_name("layer", name, list(layers), "this network has")
        return layers[name]

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise unless pictures of that height and width are large enough."""
        height, width = size
        if min(size) < self.min_size:
            raise RequestError(
                f"a picture of {width} x {height} is too small for this network, "
                f"which needs {self.min_size} pixels a side"
            )

    def activations(
        self,
        picture: Tensor,
        names: Sequence[str],
        edit: Edit | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the activations [B, C, H', W'] of layers by name; gradients flow through.

        The network is run no further than to the last of these layers.

        Args:
            picture: [B, 3, H, W] in [-1, 1].
            names: of the layers.
            edit: ablates units.
            weights: of the network, by name, that replace its own.

        Raises:
            RequestError: the picture is too small.
        """
        self.check_size((picture.shape[2], picture.shape[3]))
        requested, recorded = set(names), dict[str, Tensor]()

        def record(x: Tensor, layer: Layer) -> Tensor:
            x = edit(x, layer) if edit is not None else x
            if layer.name in requested:
                recorded[layer.name] = x
                if len(recorded) == len(requested):
                    raise _AllRecordedError
            return x

        with suppress(_AllRecordedError):
            HookedSynthesis(self, picture, weights or {})(record)
        return recorded

    def probabilities(self, picture: Tensor) -> Tensor:
        """Return the probabilities [B, classes] of a picture [B, 3, H, W] in [-1, 1]."""
        return HookedSynthesis(self, picture)().flatten(1).softmax(1)


class ClassifierLoader(Protocol):
    """A part of the group ``classifier``."""

    def load(self) -> Classifier:
        """Load the classifier."""
        ...


def natural_noise(noise: Tensor) -> Tensor:
    """Return white noise [B, 3, H, W] with the statistics of natural pictures, in [-1, 1].

    Its amplitude falls with frequency, and it is mostly grey.
    """
    height, width = noise.shape[2:]
    frequency = torch.sqrt(
        torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2
    )
    frequency[0, 0] = 1.0
    soft: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    soft = 0.8 * 3.0**0.5 * soft.mean(1, keepdim=True) + 0.35 * soft
    soft = (soft - soft.mean((1, 2, 3), keepdim=True)) / soft.std((1, 2, 3), keepdim=True)
    return (0.45 * soft).clamp(-1, 1)


def _logits_as_picture(logits: Tensor) -> Tensor:
    return logits.flatten(1)[:, :, None, None]
