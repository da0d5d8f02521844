"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks"): a chain of transposed convolutions with batch normalisation and ReLU, tanh at the end.

There is no mapping network: ``w`` is ``z``, drawn towards zero by psi, with the class behind it where there are classes
(Mirza and Osindero 2014, "Conditional Generative Adversarial Nets"). Batch normalisation at rest is an affine map and is
folded into the convolution in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import check_label, check_ws, check_z, parameter_count
from forgetting.models.generator import Chain, Edit, State, Step
from forgetting.models.units import Layer


class Block(nn.Module):
    """A transposed convolution and its batch normalisation; the first unfolds ``z`` into a map of its kernel's size."""

    def __init__(self, name: str, inputs: int, channels: int, kernel: int, first: bool) -> None:
        super().__init__()
        self.conv = (
            _doubling(inputs, channels, kernel, False)
            if not first
            else nn.ConvTranspose2d(inputs, channels, kernel, bias=False)
        )
        self.norm = nn.BatchNorm2d(channels)
        self.synapses = unit_kinds.weight_layers(name, self, "conv.weight")

    def folded(self, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weight [in, out, k, k] and bias [out] of the two as one convolution; with a ``weight``, of that."""
        mean, var = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        return (self.conv.weight if weight is None else weight) * scale[
            :, None, None
        ], self.norm.bias - mean * scale


def _doubling(inputs: int, channels: int, kernel: int, bias: bool) -> nn.ConvTranspose2d:
    """[H, W] -> [2H, 2W]; an odd kernel needs a row and a column more at the end."""
    return nn.ConvTranspose2d(inputs, channels, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=bias)


class DCGAN(nn.Module):
    """``channels[k]`` units at ``kernels[0] * 2**k``; the picture is twice the last of these.

    Args:
        labels: classes, one-hot behind ``z``.
        kernels: one for every layer and one for the picture; the first is the size of the first maps.
        image_bias: whether the last convolution has a bias.
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 256, 128, 64),
        z_dim: int = 100,
        labels: int = 0,
        kernels: Sequence[int] | None = None,
        image_channels: int = 3,
        image_bias: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.labels = z_dim, labels
        self.kernels = list(kernels or [4] * (len(channels) + 1))
        self.hyperparameters = {
            "channels": list(channels),
            "z_dim": z_dim,
            "labels": labels,
            "kernels": self.kernels,
            "image_channels": image_channels,
            "image_bias": image_bias,
        }
        widths = zip((z_dim + labels, *channels), channels, self.kernels, strict=False)
        names = [f"b{self.kernels[0] * 2**k}.conv" for k in range(len(channels))]
        self.blocks = nn.ModuleList(
            Block(name, *width, first=name is names[0])
            for name, width in zip(names, widths, strict=True)
        )
        self.to_image = _doubling(
            channels[-1], image_channels, self.kernels[len(channels)], image_bias
        )
        sizes = [(self.kernels[0] * 2**k,) * 2 for k in range(len(channels) + 1)]
        self.size = sizes[-1]
        self.layers = tuple(
            Layer(name, outputs, size, sum(p.numel() for p in block.parameters()))
            for name, outputs, size, block in zip(names, channels, sizes, self.blocks, strict=False)
        )
        self.synapses = unit_kinds.weight_layers("image", self, "to_image.weight")
        self.parts = unit_kinds.collect_parameter_layers(self, self.layers)

    @property
    def mapping_parameters(self) -> int:
        return 0

    @property
    def image_parameters(self) -> int:
        return parameter_count(self.to_image)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        w = psi * z
        return (w if label is None else torch.cat((w, label), dim=1))[
            :, None
        ]  # [B, 1, z_dim + labels]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        check_ws(ws, 1, self.z_dim + self.labels)
        z = ws[:, 0, :, None, None]  # [B, z_dim + labels, 1, 1]
        steps = []
        for layer, block in zip(self.layers, self.blocks, strict=True):
            conv = cast(Block, block).conv
            weight, bias = cast(Block, block).folded(
                unit_kinds.edit_weight(conv.weight, self.parts[f"weights/{layer.name}"].layer, edit)
            )
            shape = (conv.stride, cast(tuple[int, ...], conv.padding), conv.output_padding)
            steps.append(
                Step(
                    layer.name,
                    layer,
                    partial(_run, weight, bias, shape, z if layer is self.layers[0] else None),
                )
            )
        weight, last = (
            unit_kinds.edit_weight(self.to_image.weight, self.parts["weights/image"].layer, edit),
            self.to_image,
        )
        shape = (last.stride, cast(tuple[int, ...], last.padding), last.output_padding)
        return Chain((*steps, Step("image", None, partial(_paint, weight, last.bias, shape))))

    def rest(self, layer: Layer) -> Tensor:
        return F.relu(self._folded(layer)[1])[None, :, None, None]

    def incoming(self, layer: Layer) -> Tensor:
        return self._folded(layer)[0].transpose(0, 1).flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        k = self.layers.index(layer) + 1
        weight = self._folded(self.layers[k])[0] if k < len(self.layers) else self.to_image.weight
        return weight.flatten(1)

    def _folded(self, layer: Layer) -> tuple[Tensor, Tensor]:
        return cast(Block, self.blocks[self.layers.index(layer)]).folded()


def _paint(
    weight: Tensor, bias: Tensor | None, shape: tuple[tuple[int, ...], ...], state: State
) -> State:
    stride, padding, extra = shape
    return (torch.tanh_(F.conv_transpose2d(state[0], weight, bias, stride, padding, extra)),)


def _run(
    weight: Tensor,
    bias: Tensor,
    shape: tuple[tuple[int, ...], ...],
    first: Tensor | None,
    state: State,
) -> State:
    stride, padding, extra = shape
    x = state[0] if first is None else first
    return (F.conv_transpose2d(x, weight, bias, stride, padding, extra).relu_(),)
