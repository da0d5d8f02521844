"""DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks"): a chain of transposed convolutions with batch normalisation and ReLU, tanh at the end.

There is no mapping network: ``w`` is ``z``, drawn towards zero by psi. Batch normalisation at rest is an affine map
and is folded into the convolution in front.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.generators import State, Step, Synthesis
from forgetting.generators.ops import check_ws, check_z, parameter_count
from forgetting.units import Layer


class Block(nn.Module):
    """A transposed convolution and its batch normalisation."""

    def __init__(self, inputs: int, channels: int, first: bool) -> None:
        super().__init__()
        stride, padding = (1, 0) if first else (2, 1)
        self.conv = nn.ConvTranspose2d(inputs, channels, 4, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight [in, out, 4, 4] and bias [out] of the two as one convolution."""
        mean, var = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        return self.conv.weight * scale[:, None, None], self.norm.bias - mean * scale


class DCGAN(nn.Module):
    """``channels[k]`` units at resolution ``4 * 2**k``; the picture is twice the last of these."""

    def __init__(self, channels: tuple[int, ...] = (512, 256, 128, 64), z_dim: int = 100) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.hyperparameters = {"channels": list(channels), "z_dim": z_dim}
        widths = zip((z_dim, *channels), channels, strict=False)
        self.blocks = nn.ModuleList(Block(inputs, outputs, k == 0) for k, (inputs, outputs) in enumerate(widths))
        self.to_image = nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1, bias=False)
        self.resolution = 8 * 2 ** (len(channels) - 1)
        self.layers = tuple(
            Layer(f"b{4 * 2**k}.conv", channels[k], 4 * 2**k, sum(p.numel() for p in block.parameters()))
            for k, block in enumerate(self.blocks)
        )

    @property
    def mapping_parameters(self) -> int:
        return 0

    @property
    def image_parameters(self) -> int:
        return parameter_count(self.to_image)

    def mapping(self, z: Tensor, psi: float = 1.0, label: Tensor | None = None) -> Tensor:
        check_z(z, self.z_dim)
        return (psi * z)[:, None]  # [B, 1, z_dim]

    def bind(self, ws: Tensor) -> Synthesis:
        check_ws(ws, 1, self.z_dim)
        z = ws[:, 0, :, None, None]  # [B, z_dim, 1, 1]
        steps = []
        for layer, block in zip(self.layers, self.blocks, strict=True):
            weight, bias = cast(Block, block).folded()
            stride, padding = cast(Block, block).conv.stride, cast(Block, block).conv.padding
            run = partial(_run, weight, bias, cast(int, stride), cast(int, padding), z if layer is self.layers[0] else None)
            steps.append(Step(layer.name, layer, run))
        return Synthesis((*steps, Step("image", None, self._image)))

    def _image(self, state: State) -> State:
        return (torch.tanh_(self.to_image(state[0])),)

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


def _run(weight: Tensor, bias: Tensor, stride: int, padding: int, first: Tensor | None, state: State) -> State:
    x = state[0] if first is None else first
    return (F.conv_transpose2d(x, weight, bias, stride, padding).relu_(),)
