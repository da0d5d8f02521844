"""Activations that the files of networks name.

The gains keep the magnitude of signals about constant (He et al. 2015, "Delving Deep into
Rectifiers"); they are those of StyleGAN2's documentation. Other networks use the functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.errors import RequestError, check_choice, check_range
from forgetting.models.units import GAIN, SLOPE


@dataclass(frozen=True)
class ActivationFunction:
    """An activation, and the factor after it.

    Args:
        function: may write into its argument.
        gain: the factor.
        homogeneous: whether a positive factor of its input is the same factor of its output.
    """

    function: Callable[[Tensor], Tensor]
    gain: float = 1.0
    homogeneous: bool = False

    def scaled(self, factor: float) -> ActivationFunction:
        """Return the activation with a gain that is ``factor`` times as large."""
        return replace(self, gain=self.gain * factor)

    @property
    def before(self) -> float:
        """The part of the gain by which the input is scaled, which costs nothing in weights."""
        return self.gain if self.homogeneous else 1.0

    def run(self, x: Tensor) -> Tensor:
        """Return the activation of ``x``, which is scaled by ``before``; may write into ``x``."""
        x = self.function(x)
        return x if self.homogeneous or self.gain == 1 else x * self.gain


ACTIVATIONS: Mapping[str, ActivationFunction] = MappingProxyType(
    {
        "lrelu": ActivationFunction(
            partial(F.leaky_relu_, negative_slope=SLOPE), GAIN, homogeneous=True
        ),
        "relu": ActivationFunction(torch.relu_, GAIN, homogeneous=True),
        "linear": ActivationFunction(lambda x: x, homogeneous=True),
        "swish": ActivationFunction(F.silu, GAIN),
        "elu": ActivationFunction(F.elu),
        "selu": ActivationFunction(F.selu),
        "softplus": ActivationFunction(F.softplus),
        "tanh": ActivationFunction(torch.tanh),
        "sigmoid": ActivationFunction(torch.sigmoid),
    }
)
"""All activations by the names that NVIDIA's code has for them."""


def find_activation(what: str, name: str, slope: float | None = None) -> ActivationFunction:
    """Return the activation of that name.

    Args:
        what: its setting, for messages.
        name: a key of ``ACTIVATIONS``.
        slope: of the leaky ReLU, instead of its usual one.

    Raises:
        RequestError: there is no such activation, or it has no slope.
    """
    check_choice(what, name, ACTIVATIONS)
    if slope is None:
        return ACTIVATIONS[name]
    if name != "lrelu":
        raise RequestError(f"a slope belongs to lrelu, and {what} is {name}; leave out the slope")
    check_range("the slope of lrelu", slope, 0.0, 1.0)
    return replace(ACTIVATIONS[name], function=partial(F.leaky_relu_, negative_slope=slope))
