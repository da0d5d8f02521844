"""A tiny, untrained style-based generator that ships with the package, for tests and examples.

Its weights are drawn from a seed. Its pictures are soft blobs of colour, different for every ``z``,
which fade as its units are ablated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import check_label, check_z, parameter_count, pixel_norm
from forgetting.models.architectures.style import StyleGenerator, describe_mapping, fold_style
from forgetting.models.generator import Edit, ParameterLayer, State, Step
from forgetting.models.units import GAIN, SLOPE, Layer


class ToyConv(nn.Module):
    """A modulated 3x3 convolution."""

    modulated = "weight"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.size = (resolution, resolution)
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(channels, inputs, 3, 3))
        self.bias = nn.Parameter(torch.empty(channels))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")


class Toy(StyleGenerator):
    """A generator with a layer of ``channels[k]`` units at resolution ``4 * 2**k``.

    The last of these is the resolution of the picture.
    """

    def __init__(
        self, channels: tuple[int, ...] = (16, 16, 12, 8), z_dim: int = 16, seed: int = 0
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws = z_dim, z_dim, len(channels)
        self.hyperparameters = {"channels": list(channels), "z_dim": z_dim, "seed": seed}
        self.dense = nn.Linear(z_dim, z_dim)
        self.const = nn.Parameter(torch.empty(1, channels[0], 4, 4))
        names = [f"b{4 * 2**k}.conv" for k in range(len(channels))]
        inputs = (channels[0], *channels)
        self.convs = nn.ModuleList(
            ToyConv(name, z_dim, inputs[k], channels[k], 4 * 2**k) for k, name in enumerate(names)
        )
        self.to_image = nn.Conv2d(channels[-1], 3, 1)
        self.size = (4 * 2 ** (len(channels) - 1),) * 2
        image_weights = Layer.of_kind("weights", "image", self.to_image.weight.numel())
        self.weight_layers = {"to_image.weight": image_weights}
        self.describe_layers(names, {0: self.const})
        (mapping_layer,) = describe_mapping((z_dim,))
        self.parameter_layers = {
            **self.parameter_layers,
            mapping_layer.name: ParameterLayer(mapping_layer, "dense.weight", "dense.bias"),
        }
        draw = np.random.RandomState(seed)
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                break  # its weights will come from a file
            values = draw.randn(*parameter.shape) / np.sqrt(max(1, parameter[0].numel()))
            if name.endswith("affine.bias"):
                values += 1.0  # styles around one, as trained networks have them
            parameter.data.copy_(torch.from_numpy(values))
        self.requires_grad_(False)

    @property
    def mapping_parameters(self) -> int:
        """The number of values of the mapping network's only layer."""
        return parameter_count(self.dense)

    def map_to_w(self, z: Tensor, psi: float, label: Tensor | None, edit: Edit | None) -> Tensor:
        """Return ``w`` [B, w_dim]; the average ``w`` is zero."""
        check_z(z, self.z_dim)
        check_label(label, self.labels, len(z))
        w = F.leaky_relu(self.dense(pixel_norm(z)), SLOPE) * GAIN
        return psi * unit_kinds.edit_vector(w, self.parameter_layers["mapping/0"].layer, edit)

    def chain_steps(
        self, ws: Tensor, edit: Edit | None, remaining: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Return the steps."""
        for k, layer in enumerate(self.layers):
            conv = self._conv(layer)
            style, weight = fold_style(conv, ws[:, k], edit)
            source: Callable[[State], Tensor] = _doubled
            if k == 0:
                source = partial(_constant, self.const.expand(len(ws), -1, -1, -1))
            style = style[:, :, None, None]  # [B, C, 1, 1]
            yield Step(layer.name, layer, partial(_run, source, style, weight, conv.bias))
        weight, bias = self.to_image.weight, self.to_image.bias
        weight = unit_kinds.edit_weight(weight, self.weight_layers["to_image.weight"], edit)
        yield Step("image", None, lambda state: (torch.tanh(F.conv2d(state[0], weight, bias)),))

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias, [1, C, 1, 1]."""
        return F.leaky_relu(self._conv(layer).bias, SLOPE)[None, :, None, None] * GAIN


def _constant(const: Tensor, state: State) -> Tensor:
    return const


def _doubled(state: State) -> Tensor:
    return F.interpolate(state[0], scale_factor=2, mode="bilinear", align_corners=False)


def _run(
    source: Callable[[State], Tensor], style: Tensor, weight: Tensor, bias: Tensor, state: State
) -> State:
    x = F.conv2d(source(state) * style, weight, bias, padding=1)
    return (F.leaky_relu_(x, SLOPE) * GAIN,)
