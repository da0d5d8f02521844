"""DCGAN: a chain of transposed convolutions with batch normalisation and ReLU, and tanh at the end.

See Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks".

There is no mapping network: ``w`` is ``z``, scaled by psi, with the class behind it where there are
classes (Mirza and Osindero 2014, "Conditional Generative Adversarial Nets"). Batch normalisation in
evaluation mode is an affine map, which is folded into the convolution in front of it.
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
from forgetting.models.generator import Chain, Edit, GeneratorModule, State, Step
from forgetting.models.units import Layer

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Stride, padding and output padding of a transposed convolution."""


class Block(nn.Module):
    """A transposed convolution and its batch normalisation.

    The first block turns ``z`` into a map of its kernel's size.
    """

    def __init__(self, name: str, inputs: int, channels: int, kernel: int, first: bool) -> None:
        super().__init__()
        self.conv = (
            nn.ConvTranspose2d(inputs, channels, kernel, bias=False)
            if first
            else _doubling(inputs, channels, kernel, False)
        )
        self.norm = nn.BatchNorm2d(channels)
        self.weight_layers = unit_kinds.weight_layers(name, self, "conv.weight")

    def folded(self, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return weight [in, out, k, k] and bias [out] of both as one convolution.

        Args:
            weight: of the convolution, instead of its own.
        """
        mean, var = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        weight = self.conv.weight if weight is None else weight
        return weight * scale[:, None, None], self.norm.bias - mean * scale


def _doubling(inputs: int, channels: int, kernel: int, bias: bool) -> nn.ConvTranspose2d:
    """[H, W] -> [2H, 2W]; an odd kernel needs another row and column at the end."""
    return nn.ConvTranspose2d(inputs, channels, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=bias)


class DCGAN(GeneratorModule):
    """A DCGAN with ``channels[k]`` units at ``kernels[0] * 2**k``.

    The picture is twice the last of these.

    Args:
        channels: numbers of units, layer by layer.
        z_dim: width of ``z``.
        labels: number of classes, one-hot behind ``z``.
        kernels: sizes of the kernels of all layers and of the last convolution; the first is the
            size of the first maps.
        image_channels: number of channels of the picture.
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
        self.weight_layers = unit_kinds.weight_layers("image", self, "to_image.weight")
        self.parameter_layers = unit_kinds.collect_parameter_layers(self, self.layers)

    @property
    def image_parameters(self) -> int:
        """The number of values of the last convolution."""
        return parameter_count(self.to_image)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``z`` times ``psi``, and the class behind it, [B, 1, z_dim + labels]."""
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        w = psi * z
        return (w if label is None else torch.cat((w, label), dim=1))[:, None]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        """Return the chain of the faces ``ws`` [B, 1, z_dim + labels]."""
        check_ws(ws, 1, self.z_dim + self.labels)
        z = ws[:, 0, :, None, None]  # [B, z_dim + labels, 1, 1]
        steps = []
        for layer in self.layers:
            block = self._block(layer)
            weight = self._edited(block.conv.weight, layer.name, edit)
            weight, bias = block.folded(weight)
            first = z if layer is self.layers[0] else None
            run = partial(_run, weight, bias, _shape(block.conv), first)
            steps.append(Step(layer.name, layer, run))
        weight = self._edited(self.to_image.weight, "image", edit)
        make_image = partial(_make_image, weight, self.to_image.bias, _shape(self.to_image))
        return Chain((*steps, Step("image", None, make_image)))

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias, [1, C, 1, 1]."""
        return F.relu(self._block(layer).folded()[1])[None, :, None, None]

    def incoming(self, layer: Layer) -> Tensor:
        """Return the folded kernel of the layer's convolution, [C, N]."""
        return self._block(layer).folded()[0].transpose(0, 1).flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the next convolution's folded kernel, [C, M]."""
        k = self.layers.index(layer) + 1
        if k == len(self.layers):
            return self.to_image.weight.flatten(1)
        return self._block(self.layers[k]).folded()[0].flatten(1)

    def _block(self, layer: Layer) -> Block:
        return cast(Block, self.blocks[self.layers.index(layer)])

    def _edited(self, weight: Tensor, name: str, edit: Edit | None) -> Tensor:
        return unit_kinds.edit_weight(weight, self.parameter_layers[f"weights/{name}"].layer, edit)


def _shape(conv: nn.ConvTranspose2d) -> Shape:
    return conv.stride, cast(tuple[int, ...], conv.padding), conv.output_padding


def _make_image(weight: Tensor, bias: Tensor | None, shape: Shape, state: State) -> State:
    stride, padding, extra = shape
    return (torch.tanh_(F.conv_transpose2d(state[0], weight, bias, stride, padding, extra)),)


def _run(weight: Tensor, bias: Tensor, shape: Shape, first: Tensor | None, state: State) -> State:
    stride, padding, extra = shape
    x = state[0] if first is None else first
    return (F.conv_transpose2d(x, weight, bias, stride, padding, extra).relu_(),)
