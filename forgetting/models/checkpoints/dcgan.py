"""State dicts of DCGANs: transposed convolutions, each with or without batch normalisation.

Implementations name their layers in many ways, so only the order and the shapes of the weights
count. A state dict does not say which activations a network has, nor the strides of its
convolutions. :class:`DCGANSettings` says that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from forgetting.errors import RequestError, check_choice, check_int
from forgetting.models.architectures.activations import find_activation
from forgetting.models.architectures.dcgan import OUTPUTS
from forgetting.models.checkpoints.stylegan import Converted
from forgetting.models.checkpoints.weights import NotReadError, Weights, read_completely

EPS = 1e-5
"""The value that batch normalisation adds to the variance."""


@dataclass(frozen=True)
class DCGANSettings:
    """What the state dict of a DCGAN does not say; None where nobody has said it.

    Args:
        activation: of the layers, a key of ``ACTIVATIONS``.
        slope: of the activation below zero, if it is ``lrelu``.
        output: the activation of the picture, a key of ``OUTPUTS``.
        strides: of all convolutions but the first.
    """

    activation: str | None = None
    slope: float | None = None
    output: str | None = None
    strides: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.activation is not None:
            find_activation("activation", self.activation, self.slope)
        elif self.slope is not None:
            raise RequestError("a slope belongs to the activation lrelu; name that too")
        if self.output is not None:
            check_choice("output", self.output, OUTPUTS)
        for stride in self.strides or ():
            check_int("a stride", stride, 1, 8)

    @staticmethod
    def parse(
        activation: str | None, slope: float | None, output: str | None, strides: str | None
    ) -> DCGANSettings:
        """Return the settings of a command line, whose strides are such as ``2,2,1``.

        Raises:
            RequestError: a setting that no DCGAN has.
        """
        numbers = None if strides is None else strides.strip("[]").split(",")
        if numbers is not None and not all(number.strip().isdecimal() for number in numbers):
            raise RequestError(f"strides are whole numbers such as 2,2,1,2, got {strides!r}")
        parsed = None if numbers is None else tuple(map(int, numbers))
        return DCGANSettings(activation, slope, output, parsed)

    def given(self) -> dict[str, Any]:
        """Return what is not None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def unsaid(self, kernels: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield name and usual value of the settings that are needed and missing.

        Args:
            kernels: sizes of the kernels of all convolutions.
        """
        if self.activation is None:
            yield "activation", "relu"
        if self.activation == "lrelu" and self.slope is None:
            yield "slope", "0.2"  # torch's default is 0.01
        if self.output is None:
            yield "output", "tanh"
        # An even kernel cannot keep the size of its input; an odd one can, or double it.
        if self.strides is None and any(kernel % 2 for kernel in kernels[1:]):
            yield "strides", f"[{','.join('2' for _ in kernels[1:])}]"


PAPER = DCGANSettings("relu", output="tanh")
"""The settings of Radford et al. 2016; all strides are two."""


def paper_settings(kernels: Sequence[int]) -> DCGANSettings:
    """Return the settings of the paper for a network with these kernels, nothing left out."""
    return replace(PAPER, strides=(2,) * (len(kernels) - 1))


def kernels(state: Mapping[str, Any]) -> list[int]:
    """Return the sizes of the kernels of all convolutions of a state dict."""
    return [value.shape[2] for value in state.values() if len(value.shape) == 4]


def convert(
    state: Mapping[str, Tensor], settings: DCGANSettings = PAPER, labels: int = 0
) -> Converted:
    """Convert a state dict into one of our networks.

    Args:
        state: the state dict.
        settings: what it does not say.
        labels: how many of the first convolution's inputs are classes.

    Raises:
        KeyError: a weight is missing.
        NotReadError: it is no chain of transposed convolutions.
        ValueError: the weights do not fit together.
    """
    with read_completely(state) as weights:
        return _convert(weights, settings, labels)


def _convert(state: Weights, settings: DCGANSettings, labels: int) -> Converted:
    convs: list[str] = []
    norms: list[str | None] = []
    for name in dict.fromkeys(key.rpartition(".")[0] for key in state):
        path = f"{name}." if name else ""
        if state[f"{path}weight"].ndim == 4:
            convs.append(path)
            norms.append(None)
        elif f"{path}running_mean" in state and convs and norms[-1] is None:
            norms[-1] = path
        else:
            raise NotReadError(
                f"{name} is neither a convolution nor a batch normalisation behind it"
            )
    weights = [state[f"{conv}weight"] for conv in convs]
    for before, after in pairwise(weights):
        if before.shape[1] != after.shape[0]:
            raise ValueError(
                f"a convolution to {before.shape[1]} channels is followed by one of "
                f"{after.shape[0]}"
            )
    if len(convs) < 2 or norms[-1] is not None:
        raise NotReadError(
            "it needs two or more convolutions, and the last one has no normalisation"
        )
    ours = {"to_image.weight": weights[-1]}
    image_bias = f"{convs[-1]}bias" in state
    if image_bias:
        ours["to_image.bias"] = state[f"{convs[-1]}bias"]
    for k, (conv, norm) in enumerate(zip(convs[:-1], norms, strict=False)):
        ours[f"blocks.{k}.conv.weight"] = weights[k]
        for field, tensor in _normalised(state, conv, norm).items():
            ours[f"blocks.{k}.norm.{field}"] = tensor
    return "dcgan", {
        "channels": [weight.shape[1] for weight in weights[:-1]],
        "z_dim": weights[0].shape[0] - labels,
        "labels": labels,
        "kernels": [weight.shape[2] for weight in weights],
        "image_channels": weights[-1].shape[1],
        "image_bias": image_bias,
        **settings.given(),
    }, ours  # fmt: skip


def _normalised(state: Weights, conv: str, norm: str | None) -> dict[str, Tensor]:
    """Return a batch normalisation that includes the bias of the convolution in front of it.

    Without a normalisation, it is one that only adds the bias.
    """
    zeros = torch.zeros(state[f"{conv}weight"].shape[1])
    bias = state.get(f"{conv}bias")
    if norm is None:
        return {
            "weight": zeros + 1,
            "bias": zeros if bias is None else bias,
            "running_mean": zeros,
            "running_var": zeros + (1 - EPS),
            "num_batches_tracked": torch.tensor(0),
        }
    mean = state[f"{norm}running_mean"]
    return {
        "weight": state[f"{norm}weight"],
        "bias": state[f"{norm}bias"],
        "running_mean": mean if bias is None else mean - bias,
        "running_var": state[f"{norm}running_var"],
        "num_batches_tracked": state.get(f"{norm}num_batches_tracked", torch.tensor(0)),
    }
