"""StyleGAN2: modulated and demodulated convolutions of a learned constant.

See Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN". A skip pyramid may
add the picture up from all resolutions.

Everything that is fixed is part of the weights: learning-rate multipliers, scaling by fan-in, noise
strength. Binding a face folds the style, its demodulation (section 2.2, equation 3) and the
activation's gain into the weights too. A layer then is a convolution, its noise and a leaky ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    conv2d_per_face,
    demodulate,
    depth_to_space,
    hyperparameters,
    init_normal,
    prevent_constant_folding,
)
from forgetting.models.architectures.style import (
    BoundLayer,
    MappingNetwork,
    StyleGenerator,
    ToImage,
    fold_style,
)
from forgetting.models.generator import Edit, State, Step
from forgetting.models.units import GAIN, SLOPE, Layer


class StyleConv(nn.Module):
    """A modulated, demodulated 3x3 convolution with noise; ``up`` doubles the resolution."""

    modulated = "weight"

    def __init__(
        self, name: str, w_dim: int, inputs: int, channels: int, size: tuple[int, int], up: bool
    ) -> None:
        super().__init__()
        self.up, self.size = up, size
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, 3, 3)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, *size))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")
        self.noise_layer = Layer.of_kind("noise", name, 1, size)

    def fold(self, w: Tensor, edit: Edit | None, taps: Tensor, clamp: float | None) -> BoundLayer:
        """Return the layer for the faces ``w`` [B, w_dim]."""
        style, weight = fold_style(self, w, edit)
        weight, faces = demodulate(weight, style, GAIN), len(w)  # [B, out, in, 3, 3]
        bias, noise = self.bias * GAIN, None
        if bool(self.noise.any()):
            noise = unit_kinds.edit_noise(self.noise, self.noise_layer, edit) * GAIN
        if self.up:
            # Zeros between the pixels, the kernel, the low-pass: the first two are a transposed
            # convolution. The low-pass spreads the same sum over four times as many pixels.
            weight = weight.transpose(1, 2).flatten(0, 1)  # [B * in, out, 3, 3]
            blur = torch.outer(taps, taps).flip(0, 1).expand(len(bias), 1, -1, -1) * 4
        else:
            weight = weight.flatten(0, 1)  # [B * out, in, 3, 3]

        def run(x: Tensor) -> Tensor:
            if self.up:
                x = _transposed_per_face(x, weight, faces)  # [B, out, 2H + 1, 2W + 1]
                x = F.conv2d(x, blur, bias, padding=1, groups=len(bias))
            else:
                biases = bias if faces == 1 else bias.repeat(faces)
                x = conv2d_per_face(x, weight, biases, padding=1, groups=1, faces=faces)
            return _activate(x, noise, clamp)

        return run


class StyleGAN2(StyleGenerator):
    """A StyleGAN2 with ``channels[k]`` units in every layer at ``2**k`` times the constant's size.

    Args:
        channels: numbers of units, resolution by resolution.
        size: height and width of the learned constant.
        z_dim: width of ``z``.
        mapping: output widths of the mapping network's layers; the last is the width of ``w``.
        labels: number of classes.
        embed: the width in which a class stands beside ``z``.
        image_channels: number of channels of the picture.
        skip: whether every resolution adds to the picture; else only the last one makes it.
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
                f"a StyleGAN2 needs channels, mapping and a size, got {list(channels)}, "
                f"{list(mapping)} and {list(size)}"
            )
        self.hyperparameters = hyperparameters(locals())
        self.z_dim, self.labels, self.w_dim, self.clamp = z_dim, labels, mapping[-1], clamp
        self.style = MappingNetwork(z_dim, mapping, labels, embed)
        self.const = init_normal(1, channels[0], *size)
        self.register_buffer("taps", torch.tensor([0.125, 0.375, 0.375, 0.125]))
        self.convs, self.to_image = nn.ModuleDict(), nn.ModuleDict()
        for k, outputs in enumerate(channels):
            maps = (size[0] * 2**k, size[1] * 2**k)
            name = f"b{4 * 2**k}"
            if k:
                self.convs[f"{name}_conv0"] = StyleConv(
                    f"{name}.conv0", self.w_dim, channels[k - 1], outputs, maps, up=True
                )
            self.convs[f"{name}_conv1"] = StyleConv(
                f"{name}.conv1", self.w_dim, outputs, outputs, maps, up=False
            )
            if skip or k == len(channels) - 1:
                self.to_image[name] = ToImage(f"{name}.image", self.w_dim, outputs, image_channels)
        self.size = maps
        self.num_ws = 2 * len(channels)
        self.bypassed = len(self.to_image) > 1
        self.describe_layers((key.replace("_", ".") for key in self.convs), {0: self.const})

    def chain_steps(self, ws: Tensor, edit: Edit | None) -> Iterator[Step]:
        """Return the steps.

        The picture so far travels beside the maps; a resolution adds its part where the next
        begins.
        """
        taps = cast(Tensor, self.taps)
        const = self.const.expand(len(ws), -1, -1, -1)
        add_part: Callable[[State], State] | None = None
        doubled = _doubling(taps, len(self._last_to_image().bias))
        for k, layer in enumerate(self.layers):
            conv = self._conv(layer).fold(ws[:, k], edit, taps, self.clamp)
            yield Step(layer.name, layer, partial(_run, conv, add_part, const if k == 0 else None))
            add_part = None
            resolution = layer.name.partition(".")[0]
            if layer.name.endswith("conv1") and resolution in self.to_image:
                to_image = self.to_image[resolution].fold(ws[:, k + 1], edit, self.clamp)
                add_part = partial(_add_part, to_image, doubled)
        assert add_part is not None
        yield Step("image", None, lambda state: add_part(state)[1:])

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias and noise, [1, C, H, W]."""
        conv = self._conv(layer)
        return _activate((conv.noise + conv.bias[None, :, None, None]) * GAIN, None, self.clamp)

    def _image_weight(self) -> Tensor:
        return cast(Tensor, self._last_to_image().weight)

    def _last_to_image(self) -> Any:
        return self.to_image[self.layers[-1].name.partition(".")[0]]


def _run(
    conv: BoundLayer, add_part: Callable[[State], State] | None, const: Tensor | None, state: State
) -> State:
    if const is not None:
        return (conv(const),)
    if add_part is not None:
        state = add_part(state)
    return (conv(state[0]), *state[1:])


def _add_part(to_image: BoundLayer, doubled: BoundLayer, state: State) -> State:
    """Add a resolution's part to the picture so far."""
    part = to_image(state[0])
    return (state[0], part + doubled(state[1]) if len(state) > 1 else part)


def _activate(x: Tensor, noise: Tensor | None, clamp: float | None) -> Tensor:
    """The leaky ReLU of values that are already scaled by its gain, limited to ``clamp``."""
    if noise is not None:
        x = prevent_constant_folding(x).add_(noise)
    x = F.leaky_relu_(x, SLOPE)
    if clamp is None:
        return x
    # A gradient needs the values from before the limit.
    return x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)


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
    """Return the function from [B, C, H, W] to [B, C, 2H, 2W].

    It puts zeros between the pixels and applies a low-pass of four taps in each direction.
    It is written as its four phases, each of which reads three pixels in each direction, so that no
    zeros are multiplied.
    """
    flipped = taps.flip(0) * 2
    phases = torch.stack((F.pad(flipped[0::2], (0, 1)), F.pad(flipped[1::2], (1, 0))))  # [2, 3]
    kernel = torch.einsum("ay,bx->abyx", phases, phases)
    kernel = kernel.reshape(4, 3, 3)  # phases in the order of depth_to_space
    weight = torch.einsum("pyx,oi->poiyx", kernel, torch.eye(channels).to(kernel)).flatten(0, 1)
    return lambda x: depth_to_space(F.conv2d(x, weight, padding=1))
