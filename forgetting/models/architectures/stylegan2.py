"""StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN"): modulated and demodulated
convolutions of a learned constant, with or without the skip pyramid that adds the picture up from all resolutions.

Everything that is fixed is part of the weights: learning-rate multipliers, scaling by fan-in, noise strength. Folding
the face puts the style, its demodulation (section 2.2, equation 3) and the activation's gain into the weights too, so
that a layer is a convolution, its noise and a leaky ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    GAIN,
    SLOPE,
    check_ws,
    conv2d_per_face,
    demodulate,
    depth_to_space,
    hyperparameters,
    init_normal,
    parameter_count,
    prevent_constant_folding,
)
from forgetting.models.architectures.style import BoundLayer, MappingNetwork, ToImage
from forgetting.models.generator import Chain, Edit, State, Step
from forgetting.models.units import Layer


class StyleConv(nn.Module):
    """A modulated, demodulated 3x3 convolution with noise; ``up`` doubles the resolution."""

    heard = "weight"

    def __init__(
        self, name: str, w_dim: int, inputs: int, channels: int, size: tuple[int, int], up: bool
    ) -> None:
        super().__init__()
        self.up = up
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, 3, 3)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, *size))
        self.style, self.synapses = (
            Layer(f"styles/{name}", inputs),
            unit_kinds.weight_layers(name, self, "weight"),
        )
        self.grain = Layer(f"noise/{name}", 1, size)

    def fold(self, w: Tensor, edit: Edit | None, taps: Tensor, clamp: float | None) -> BoundLayer:
        """The layer for the faces ``w`` [B, w_dim]."""
        style, weight = (
            unit_kinds.edit_vector(self.affine(w), self.style, edit),
            unit_kinds.edit_weight(self.weight, self.synapses["weight"], edit),
        )
        weight, faces = demodulate(weight, style, GAIN), len(w)  # [B, out, in, 3, 3]
        bias, noise = self.bias * GAIN, None
        if bool(self.noise.any()):
            noise = unit_kinds.edit_noise(self.noise, self.grain, edit) * GAIN
        if self.up:
            # Zeros between the pixels, the kernel, the low-pass: the first two are a transposed convolution.
            weight = weight.transpose(1, 2).flatten(0, 1)  # [B * in, out, 3, 3]
            blur = (
                torch.outer(taps, taps).flip(0, 1).expand(len(bias), 1, -1, -1) * 4
            )  # as much light on four times the pixels
        else:
            weight = weight.flatten(0, 1)  # [B * out, in, 3, 3]

        def run(x: Tensor) -> Tensor:
            if self.up:
                x = _transposed_per_face(x, weight, faces)  # [B, out, 2H + 1, 2W + 1]
                x = F.conv2d(x, blur, bias, padding=1, groups=len(bias))
            else:
                x = conv2d_per_face(
                    x,
                    weight,
                    bias if faces == 1 else bias.repeat(faces),
                    padding=1,
                    groups=1,
                    faces=faces,
                )
            return _activated(x, noise, clamp)

        return run


class StyleGAN2(nn.Module):
    """``channels[k]`` units in every layer at ``2**k`` times the size of the constant.

    Args:
        size: height and width of the learned constant.
        mapping: output widths of the mapping's layers; the last is ``w``'s.
        labels: classes; ``embed`` is the width in which one stands beside ``z``.
        skip: whether every resolution adds to the picture; else only the last one paints it.
        clamp: largest absolute value of a map, or None for no limit.
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 512, 512, 512, 512, 256, 128, 64, 32),
        size: Sequence[int] = (4, 4),
        z_dim: int = 512,
        mapping: Sequence[int] = (512,) * 8,
        labels: int = 0,
        embed: int = 0,
        image_channels: int = 3,
        skip: bool = True,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        if not channels or not mapping or len(size) != 2:
            raise RequestError(
                f"a StyleGAN2 needs channels, mapping and a size, got {list(channels)}, {list(mapping)} and {list(size)}"
            )
        self.hyperparameters = hyperparameters(locals())
        self.z_dim, self.labels, self.w_dim, self.clamp = z_dim, labels, mapping[-1], clamp
        self.style = MappingNetwork(z_dim, mapping, labels, embed)
        self.const = init_normal(1, channels[0], *size)
        self.register_buffer("taps", torch.tensor([0.125, 0.375, 0.375, 0.125]))
        self.convs, self.to_image = nn.ModuleDict(), nn.ModuleDict()
        for k, outputs in enumerate(channels):
            here = (size[0] * 2**k, size[1] * 2**k)
            name = f"b{4 * 2**k}"
            if k:
                self.convs[f"{name}_conv0"] = StyleConv(
                    f"{name}.conv0", self.w_dim, channels[k - 1], outputs, here, up=True
                )
            self.convs[f"{name}_conv1"] = StyleConv(
                f"{name}.conv1", self.w_dim, outputs, outputs, here, up=False
            )
            if skip or k == len(channels) - 1:
                self.to_image[name] = ToImage(f"{name}.image", self.w_dim, outputs, image_channels)
        self.size = here
        self.num_ws = 2 * len(channels)
        self.layers = tuple(
            Layer(
                name.replace("_", "."),
                len(conv.bias),
                (conv.noise.shape[2], conv.noise.shape[3]),
                parameter_count(*own),
            )
            for name, conv in cast("dict[str, StyleConv]", self.convs).items()
            for own in [(conv, self.const) if name == "b4_conv1" else (conv,)]
        )
        self.parts = unit_kinds.collect_parameter_layers(self, self.layers)

    @property
    def mapping_parameters(self) -> int:
        return parameter_count(self.style) - self.w_dim  # the centre is no weight

    @property
    def image_parameters(self) -> int:
        return parameter_count(self.to_image)

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        w: Tensor = self.style(z, psi, label, edit)
        return w[:, None].expand(-1, self.num_ws, -1)  # [B, L, W]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        check_ws(ws, self.num_ws, self.w_dim)
        return Chain(tuple(self._steps(ws, edit)), bypassed=len(self.to_image) > 1)

    def _steps(self, ws: Tensor, edit: Edit | None) -> Iterator[Step]:
        """The picture so far travels beside the maps; a resolution adds its part where the next one begins."""
        const, taps, paint = self.const.expand(len(ws), -1, -1, -1), cast(Tensor, self.taps), None
        doubled = _doubling(taps, len(self._last().bias))
        for k, layer in enumerate(self.layers):
            conv = self._conv(layer).fold(ws[:, k], edit, taps, self.clamp)
            yield Step(layer.name, layer, partial(_run, conv, paint, const if k == 0 else None))
            paint = None
            name = layer.name.partition(".")[0]
            if layer.name.endswith("conv1") and name in self.to_image:
                paint = partial(
                    _paint,
                    cast(ToImage, self.to_image[name]).fold(ws[:, k + 1], edit, self.clamp),
                    doubled,
                )
        assert paint is not None
        yield Step("image", None, lambda state: paint(state)[1:])

    def _conv(self, layer: Layer) -> StyleConv:
        return cast(StyleConv, self.convs[layer.name.replace(".", "_")])

    def rest(self, layer: Layer) -> Tensor:
        conv = self._conv(layer)
        return _activated((conv.noise + conv.bias[None, :, None, None]) * GAIN, None, self.clamp)

    def incoming(self, layer: Layer) -> Tensor:
        return self._conv(layer).weight.flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """The next convolution's kernel; of the last layer, the way to the picture."""
        k = self.layers.index(layer) + 1
        weight = self._conv(self.layers[k]).weight if k < len(self.layers) else self._last().weight
        return weight.transpose(0, 1).flatten(1)

    def _last(self) -> ToImage:
        return cast(ToImage, self.to_image[self.layers[-1].name.partition(".")[0]])


def _run(
    conv: BoundLayer, paint: Callable[[State], State] | None, const: Tensor | None, state: State
) -> State:
    if const is not None:
        return (conv(const),)
    if paint is not None:
        state = paint(state)
    return (conv(state[0]), *state[1:])


def _paint(to_image: BoundLayer, doubled: BoundLayer, state: State) -> State:
    """Add a resolution's part to the picture so far."""
    part = to_image(state[0])
    return (state[0], part + doubled(state[1]) if len(state) > 1 else part)


def _activated(x: Tensor, noise: Tensor | None, clamp: float | None) -> Tensor:
    """Leaky ReLU of what is already scaled by its gain."""
    if noise is not None:
        x = prevent_constant_folding(x).add_(noise)
    x = F.leaky_relu_(x, SLOPE)
    if clamp is None:
        return x
    return (
        x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)
    )  # a slope needs what was there before


def _transposed_per_face(x: Tensor, weight: Tensor, faces: int) -> Tensor:
    """[B, C, H, W] -> [B, O, 2H + 1, 2W + 1]; ``weight`` is [faces * C, O, 3, 3]."""
    if faces == 1:
        return F.conv_transpose2d(x, weight, stride=2)
    batch, channels, height, width = x.shape
    x = F.conv_transpose2d(
        x.reshape(1, batch * channels, height, width), weight, stride=2, groups=batch
    )
    return x.view(batch, -1, *x.shape[2:])


def _doubling(taps: Tensor, channels: int) -> BoundLayer:
    """[B, C, H, W] -> [B, C, 2H, 2W]: zeros between the pixels, then the low-pass of four taps in each direction.

    Written as its four phases, each of which sees three pixels in each direction, so that no zeros are multiplied.
    """
    turned = taps.flip(0) * 2
    phases = torch.stack((F.pad(turned[0::2], (0, 1)), F.pad(turned[1::2], (1, 0))))  # [2, 3]
    kernel = torch.einsum("ay,bx->abyx", phases, phases).reshape(
        4, 3, 3
    )  # phases as depth_to_space has them
    weight = torch.einsum("pyx,oi->poiyx", kernel, torch.eye(channels).to(kernel)).flatten(0, 1)
    return lambda x: depth_to_space(F.conv2d(x, weight, padding=1))
