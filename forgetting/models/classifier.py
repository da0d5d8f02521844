"""Networks that see: pictures in, verdicts out.

A network that recognises has layers and units as a generator has, and they can die, be bent and be listened to in the same words. So a
:class:`Seer` *is* a generator, whose latent is a picture and whose picture is its verdict: orderings, operators, plans and statistics
know no difference. What it says of a picture on the way is what dreams are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from forgetting.errors import RequestError, unknown_name
from forgetting.models.architectures.ops import check_z
from forgetting.models.generator import Edit
from forgetting.models.hooked import Hooked, HookedSynthesis
from forgetting.models.units import Layer


@dataclass(frozen=True)
class Preparation:
    """What a picture was made of before the network was trained on it: ``(colour * 255 - mean) / scale`` for red, green and blue in
    [0, 1], turned around where it is ``bgr``; ``mean`` and ``scale`` are in the network's own order."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool = False

    def __call__(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> what the network wants."""
        mean, scale = (
            torch.tensor(values).view(1, 3, 1, 1).to(picture) for values in (self.mean, self.scale)
        )
        return ((picture.flip(1) if self.bgr else picture) * 127.5 + 127.5 - mean) / scale


class _Enough(Exception):
    """Everything that somebody listens for has been said."""


class Classifier(Hooked):
    """A module from pictures [B, 3, H, W] to logits [B, classes] as a generator.

    ``ws`` [B, 1, 3 H W] is a picture of the ``size`` that the network was trained at; its verdict [B, classes, 1, 1] stands where others
    paint. ``ladder`` are layers from low to high, ``least`` is the smallest height and width that it can look at.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int,
        prepare: Preparation,
        classes: Sequence[str],
        ladder: Sequence[str] = (),
        least: int = 32,
    ) -> None:
        self.classes, self.least = tuple(classes), least
        super().__init__(network, (3, size, size), enter=prepare, leave=_verdict)
        self.ladder = tuple(ladder) or tuple(layer.name for layer in self.layers)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Pictures as the world has them on average: amplitudes fall with frequency (Field 1987, "Relations between the statistics of
        natural images and the response properties of cortical cells"), colours mostly go together."""
        check_z(z, self.z_dim)
        if label is not None:
            raise RequestError(
                "what sees has no classes to be asked for; a class is an objective of dreams"
            )
        return (psi * natural_noise(z.reshape(-1, *self.shape))).reshape(len(z), 1, self.z_dim)

    def rest(self, layer: Layer) -> Tensor:
        """One value for a unit: nothing that is the same everywhere has a size."""
        return super().rest(layer).mean((2, 3), keepdim=True)

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            RequestError: there is none; the message lists those that exist.
        """
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise unknown_name(
                "layer", name, [layer.name for layer in self.layers], "this network has"
            )
        return found

    def check(self, size: tuple[int, int]) -> None:
        """Raise unless pictures of that height and width are large enough."""
        high, wide = size
        if min(size) < self.least:
            raise RequestError(
                f"a picture of {wide} x {high} is too small for this network, which needs {self.least} pixels a side"
            )

    def heard(
        self,
        picture: Tensor,
        names: Sequence[str],
        edit: Edit | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What those layers say of a picture [B, 3, H, W] in [-1, 1] under an edit: name -> [B, C, H', W'].

        The network is run no further than to the last of them, with those of its ``weights`` that are given instead of its own.
        Gradients go through.

        Raises:
            RequestError: the picture is too small.
        """
        self.check((picture.shape[2], picture.shape[3]))
        wanted, found = set(names), dict[str, Tensor]()

        def listen(x: Tensor, layer: Layer) -> Tensor:
            x = edit(x, layer) if edit is not None else x
            if layer.name in wanted:
                found[layer.name] = x
                if len(found) == len(wanted):
                    raise _Enough
            return x

        with suppress(_Enough):
            HookedSynthesis(self, picture, weights or {})(listen)
        return found

    def verdict(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> probabilities [B, classes]."""
        return HookedSynthesis(self, picture)().flatten(1).softmax(1)


def natural_noise(noise: Tensor) -> Tensor:
    """White noise [B, 3, H, W] -> noise in [-1, 1] whose amplitude falls with frequency, mostly grey."""
    height, width = noise.shape[2:]
    frequency = torch.sqrt(
        torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2
    )
    frequency[0, 0] = 1.0
    soft: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    soft = 0.8 * 3.0**0.5 * soft.mean(1, keepdim=True) + 0.35 * soft
    soft = (soft - soft.mean((1, 2, 3), keepdim=True)) / soft.std((1, 2, 3), keepdim=True)
    return (0.45 * soft).clamp(-1, 1)


def _verdict(logits: Tensor) -> Tensor:
    return logits.flatten(1)[:, :, None, None]
