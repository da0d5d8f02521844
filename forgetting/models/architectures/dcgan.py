"""DCGAN: a chain of transposed convolutions with batch normalisation, ReLU, and tanh at the end.

See Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks".

Networks of this kind may have other activations, and other strides than two.

There is no mapping network: ``w`` is ``z``, scaled by psi, with the class behind it where there are
classes (Mirza and Osindero 2014, "Conditional Generative Adversarial Nets"). Batch normalisation in
evaluation mode is an affine map, which is folded into the convolution in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, count
from operator import mul
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError, check_choice, check_int
from forgetting.models import unit_kinds
from forgetting.models.architectures.activations import find_activation
from forgetting.models.architectures.ops import check_label, check_ws, check_z, parameter_count
from forgetting.models.generator import Chain, Edit, GeneratorModule, State, Step
from forgetting.models.units import Layer

OUTPUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh_,
    "sigmoid": lambda x: torch.tanh(x / 2),  # as values from -1 to 1
    "linear": lambda x: x,
}
"""Activations of the picture by name; a sigmoid is stretched to the range of the others."""

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Stride, padding and output padding of a transposed convolution."""


class Block(nn.Module):
    """A transposed convolution and its batch normalisation.

    The first block turns ``z`` into a map of its kernel's size.
    """

    def __init__(
        self, name: str, inputs: int, channels: int, kernel: int, stride: int, first: bool
    ) -> None:
        super().__init__()
        self.conv = (
            nn.ConvTranspose2d(inputs, channels, kernel, bias=False)
            if first
            else _growing(inputs, channels, kernel, stride, False)
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


def _growing(
    inputs: int, channels: int, kernel: int, stride: int, bias: bool
) -> nn.ConvTranspose2d:
    """[H, W] -> [stride * H, stride * W]; the padding at the end may be smaller by one."""
    padding = (kernel - stride + 1) // 2
    extra = (kernel - stride) % 2
    return nn.ConvTranspose2d(inputs, channels, kernel, stride, padding, extra, bias=bias)


class DCGAN(GeneratorModule):
    """A DCGAN with ``channels[k]`` units in layer k.

    The first maps have the size of the first kernel. Every other convolution multiplies the size by
    its stride.

    Args:
        channels: numbers of units, layer by layer.
        z_dim: width of ``z``.
        labels: number of classes, one-hot behind ``z``.
        kernels: sizes of the kernels of all layers and of the last convolution; the first is the
            size of the first maps.
        image_channels: number of channels of the picture.
        image_bias: whether the last convolution has a bias.
        strides: of all convolutions but the first one; None doubles the size every time.
        activation: of the layers, a key of ``ACTIVATIONS``; gains are not used.
        slope: of the activation below zero, if it is ``lrelu``.
        output: the activation of the picture, a key of ``OUTPUTS``.
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 256, 128, 64),
        z_dim: int = 100,
        labels: int = 0,
        kernels: Sequence[int] | None = None,
        image_channels: int = 3,
        image_bias: bool = False,
        strides: Sequence[int] | None = None,
        activation: str = "relu",
        slope: float | None = None,
        output: str = "tanh",
    ) -> None:
        super().__init__()
        self.z_dim, self.labels = z_dim, labels
        self.kernels = list(kernels or [4] * (len(channels) + 1))
        strides = [2] * len(channels) if strides is None else list(strides)
        self._check(len(channels), strides)
        self.activation = find_activation("a DCGAN's activation", activation, slope)
        check_choice("output of a DCGAN", output, OUTPUTS)
        self.output = OUTPUTS[output]
        self.hyperparameters = {
            "channels": list(channels),
            "z_dim": z_dim,
            "labels": labels,
            "kernels": self.kernels,
            "image_channels": image_channels,
            "image_bias": image_bias,
        }
        unusual = {
            name: value
            for name, value, usual in (
                ("strides", strides, [2] * len(channels)),
                ("activation", activation, "relu"),
                ("slope", slope, None),
                ("output", output, "tanh"),
            )
            if value != usual
        }
        self.settings = unusual
        self.hyperparameters |= unusual
        sizes = [(size, size) for size in accumulate(strides, mul, initial=self.kernels[0])]
        widths = (z_dim + labels, *channels)
        self.blocks = nn.ModuleList()
        names: list[str] = []
        for k, outputs in enumerate(channels):
            names.append(_unused_name(f"b{sizes[k][0]}.conv", names))
            stride = strides[k - 1] if k else 1
            self.blocks.append(
                Block(names[k], widths[k], outputs, self.kernels[k], stride, first=k == 0)
            )
        self.to_image = _growing(
            channels[-1], image_channels, self.kernels[-1], strides[-1], image_bias
        )
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
            run = partial(_run, weight, bias, _shape(block.conv), self.activation.function, first)
            steps.append(Step(layer.name, layer, run))
        weight = self._edited(self.to_image.weight, "image", edit)
        shape = _shape(self.to_image)
        make_image = partial(_run, weight, self.to_image.bias, shape, self.output, None)
        return Chain((*steps, Step("image", None, make_image)))

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias, [1, C, 1, 1]."""
        return self.activation.function(self._block(layer).folded()[1])[None, :, None, None]

    def incoming(self, layer: Layer) -> Tensor:
        """Return the folded kernel of the layer's convolution, [C, N]."""
        return self._block(layer).folded()[0].transpose(0, 1).flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the next convolution's folded kernel, [C, M]."""
        k = self.layers.index(layer) + 1
        if k == len(self.layers):
            return self.to_image.weight.flatten(1)
        return self._block(self.layers[k]).folded()[0].flatten(1)

    def _check(self, layers: int, strides: Sequence[int]) -> None:
        """Raise unless kernels and strides fit together and fit the layers."""
        check_int("the number of a DCGAN's layers", layers, 1, 64)
        if len(self.kernels) != layers + 1 or len(strides) != layers:
            raise RequestError(
                f"a DCGAN of {layers + 1} convolutions needs as many kernels and {layers} strides, "
                f"got {self.kernels} and {list(strides)}"
            )
        check_int("the first kernel of a DCGAN", self.kernels[0], 1, 64)
        for stride, kernel in zip(strides, self.kernels[1:], strict=True):
            check_int("a stride of a DCGAN", stride, 1, 8)
            check_int(f"a kernel of a DCGAN behind the first, at stride {stride},", kernel, 1, 64)
            if kernel < stride or (stride == 1 and kernel % 2 == 0):
                raise RequestError(
                    f"a kernel of {kernel} x {kernel} cannot multiply the size of its input by "
                    f"{stride}; choose other strides"
                )

    def _block(self, layer: Layer) -> Block:
        return cast(Block, self.blocks[self.layers.index(layer)])

    def _edited(self, weight: Tensor, name: str, edit: Edit | None) -> Tensor:
        return unit_kinds.edit_weight(weight, self.parameter_layers[f"weights/{name}"].layer, edit)


def _shape(conv: nn.ConvTranspose2d) -> Shape:
    return conv.stride, cast(tuple[int, ...], conv.padding), conv.output_padding


def _run(
    weight: Tensor,
    bias: Tensor | None,
    shape: Shape,
    activate: Callable[[Tensor], Tensor],
    first: Tensor | None,
    state: State,
) -> State:
    stride, padding, extra = shape
    x = state[0] if first is None else first
    return (activate(F.conv_transpose2d(x, weight, bias, stride, padding, extra)),)


def _unused_name(name: str, names: Sequence[str]) -> str:
    """Return ``name``, with a number behind it if layers of the same size have it already."""
    return next(new for k in count() if (new := f"{name}{k or ''}") not in names)
