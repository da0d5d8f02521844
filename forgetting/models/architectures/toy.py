"""A toy: a tiny, untrained style-based generator that ships in the package, for tests and examples.

Its weights are drawn from ``seed``. What it paints are soft blobs of colour, different for every ``z``, and they fade
when its units do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    SLOPE,
    check_label,
    check_ws,
    check_z,
    parameter_count,
    pixel_norm,
)
from forgetting.models.generator import Chain, Edit, ParameterLayer, State, Step
from forgetting.models.units import Layer


class ToyConv(nn.Module):
    """A modulated 3x3 convolution."""

    heard = "weight"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.empty(channels, inputs, 3, 3))
        self.bias = nn.Parameter(torch.empty(channels))
        self.style, self.synapses = (
            Layer(f"styles/{name}", inputs),
            unit_kinds.weight_layers(name, self, "weight"),
        )


class Toy(nn.Module):
    """``channels[k]`` units in one layer at resolution ``4 * 2**k``, the last of which is the picture's."""

    def __init__(
        self, channels: tuple[int, ...] = (16, 16, 12, 8), z_dim: int = 16, seed: int = 0
    ) -> None:
        super().__init__()
        self.z_dim, self.num_ws = z_dim, len(channels)
        self.hyperparameters = {"channels": list(channels), "z_dim": z_dim, "seed": seed}
        self.dense = nn.Linear(z_dim, z_dim)
        self.const = nn.Parameter(torch.empty(1, channels[0], 4, 4))
        widths = zip((channels[0], *channels), channels, strict=False)
        self.convs = nn.ModuleList(
            ToyConv(f"b{4 * 2**k}.conv", z_dim, inputs, outputs)
            for k, (inputs, outputs) in enumerate(widths)
        )
        self.to_image = nn.Conv2d(channels[-1], 3, 1)
        self.labels = 0
        self.size = (4 * 2 ** (len(channels) - 1),) * 2
        self.layers = tuple(
            Layer(
                f"b{4 * 2**k}.conv",
                channels[k],
                (4 * 2**k, 4 * 2**k),
                parameter_count(conv, *(() if k else (self.const,))),
            )
            for k, conv in enumerate(self.convs)
        )
        self.synapses = {"to_image.weight": Layer("weights/image", self.to_image.weight.numel())}
        neurons = ParameterLayer(Layer("mapping/0", z_dim), "dense.weight", "dense.bias")
        self.parts = unit_kinds.collect_parameter_layers(self, self.layers) | {
            neurons.layer.name: neurons
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
        return parameter_count(self.dense)

    @property
    def image_parameters(self) -> int:
        return parameter_count(self.to_image)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        check_z(z, self.z_dim)
        check_label(label, self.labels, len(z))
        w = F.leaky_relu(self.dense(pixel_norm(z)), SLOPE) * 2**0.5
        w = unit_kinds.edit_vector(w, self.parts["mapping/0"].layer, edit)
        return (psi * w)[:, None].expand(-1, self.num_ws, -1)  # [B, L, W]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        check_ws(ws, self.num_ws, self.z_dim)
        steps = []
        for k, (layer, module) in enumerate(zip(self.layers, self.convs, strict=True)):
            conv = cast(ToyConv, module)
            style = unit_kinds.edit_vector(conv.affine(ws[:, k]), conv.style, edit)[
                :, :, None, None
            ]  # [B, C, 1, 1]
            weight = unit_kinds.edit_weight(conv.weight, conv.synapses["weight"], edit)
            source: Callable[[State], Tensor] = (
                partial(_upsampled, self.const.expand(len(ws), -1, -1, -1)) if k == 0 else _doubled
            )
            steps.append(Step(layer.name, layer, partial(_run, source, style, weight, conv.bias)))
        weight = unit_kinds.edit_weight(
            self.to_image.weight, self.synapses["to_image.weight"], edit
        )
        return Chain(
            (
                *steps,
                Step(
                    "image",
                    None,
                    lambda state: (torch.tanh(F.conv2d(state[0], weight, self.to_image.bias)),),
                ),
            )
        )

    def rest(self, layer: Layer) -> Tensor:
        return F.leaky_relu(self._conv(layer).bias, SLOPE)[None, :, None, None] * 2**0.5

    def incoming(self, layer: Layer) -> Tensor:
        return self._conv(layer).weight.flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        k = self.layers.index(layer) + 1
        weight = self._conv(self.layers[k]).weight if k < len(self.layers) else self.to_image.weight
        return weight.transpose(0, 1).flatten(1)

    def _conv(self, layer: Layer) -> ToyConv:
        return cast(ToyConv, self.convs[self.layers.index(layer)])


def _upsampled(const: Tensor, state: State) -> Tensor:
    return const


def _doubled(state: State) -> Tensor:
    return F.interpolate(state[0], scale_factor=2, mode="bilinear", align_corners=False)


def _run(
    source: Callable[[State], Tensor], style: Tensor, weight: Tensor, bias: Tensor, state: State
) -> State:
    x = F.conv2d(source(state) * style, weight, bias, padding=1)
    return (F.leaky_relu_(x, SLOPE) * 2**0.5,)
