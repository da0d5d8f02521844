"""MobileStyleGAN: StyleGAN2 distilled into separable convolutions over wavelet coefficients.

See Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis".

Its demodulation does not depend on the style, so checkpoints hold it already folded into the
pointwise weights. Learning-rate multipliers and modulation scales are folded into the affine
weights. There is no RGB skip pyramid: only the last layer makes the picture.

Units in front of a wavelet are numbered by band (low, vertical, horizontal, diagonal), where the
original interleaves the three details of each channel. So whole bands are read and written in one
piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    check_label,
    check_z,
    conv2d_per_face,
    depth_to_space,
    haar_matrix,
    init_normal,
    inverse_haar,
    parameter_count,
    pixel_norm,
    prevent_constant_folding,
    wavelets_are_convolutions,
)
from forgetting.models.architectures.style import (
    BoundLayer,
    StyleGenerator,
    describe_mapping,
    fold_style,
    run_mapping_layers,
    taken,
)
from forgetting.models.generator import Edit, State, Step
from forgetting.models.units import SLOPE, Layer


class NoisyConv(nn.Module):
    """What both kinds of convolutions have: styles, a bias and noise."""

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.size = (resolution, resolution)
        self.affine = nn.Linear(w_dim, inputs)
        self.add_weights(inputs, channels)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, *self.size))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.noise_layer = Layer.of_kind("noise", name, 1, self.size)

    def add_weights(self, inputs: int, channels: int) -> None:
        """Add the parameters of the convolution."""
        raise NotImplementedError

    def edited_noise(self, edit: Edit | None) -> Tensor:
        """Return the noise [1, 1, H, W] after the edit."""
        return unit_kinds.edit_noise(self.noise, self.noise_layer, edit)


class DenseConv(NoisyConv):
    """The first layer: a modulated full 3x3 convolution of the learned constant."""

    modulated = "weight"

    def __init__(self, name: str, w_dim: int, channels: int, resolution: int) -> None:
        super().__init__(name, w_dim, channels, channels, resolution)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")

    def add_weights(self, inputs: int, channels: int) -> None:
        """Add the kernel."""
        self.weight = init_normal(channels, inputs, 3, 3, std=1 / (3 * inputs**0.5))

    def kernel(self) -> Tensor:
        """Return the kernel [out, in, 9]."""
        return self.weight.flatten(2)

    def fold(
        self, w: Tensor, edit: Edit | None, inputs: Tensor | None, outputs: Tensor | None
    ) -> BoundLayer:
        """Return the convolution for the faces ``w`` [B, w_dim].

        Args:
            w: the faces.
            edit: of styles and weights.
            inputs: the channels that remain of the input; None is all.
            outputs: those that remain of the output.
        """
        style, weight = fold_style(self, w, edit)
        style = style[:, :, None, None]  # [B, C, 1, 1]
        weight, bias = taken(weight, 0, outputs), taken(self.bias, 0, outputs)
        return lambda x: F.conv2d(x * style, weight, bias, padding=1)


class SeparableConv(NoisyConv):
    """A modulated depthwise 3x3 convolution followed by a pointwise 1x1 convolution."""

    modulated = "depthwise"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int, resolution: int) -> None:
        super().__init__(name, w_dim, inputs, channels, resolution)
        self.weight_layers = unit_kinds.weight_layers(name, self, "depthwise", "pointwise")

    def add_weights(self, inputs: int, channels: int) -> None:
        """Add the two kernels."""
        self.depthwise = init_normal(inputs, 1, 3, 3, std=1 / 3)
        self.pointwise = init_normal(channels, inputs, 1, 1, std=1 / inputs**0.5)

    def kernel(self) -> Tensor:
        """Return the two convolutions as one kernel [out, in, 9]."""
        return self.pointwise.flatten(2) * self.depthwise.flatten(1)[None]

    def fold(
        self, w: Tensor, edit: Edit | None, inputs: Tensor | None, outputs: Tensor | None
    ) -> BoundLayer:
        """Return the convolutions for the faces ``w`` [B, w_dim], as of a dense one."""
        style = unit_kinds.edit_vector(self.affine(w), self.style_layer, edit)  # [B, in]
        depthwise = unit_kinds.edit_weight(self.depthwise, self.weight_layers["depthwise"], edit)
        style, depthwise = taken(style, 1, inputs), taken(depthwise, 0, inputs)
        depthwise = (style[:, :, None, None, None] * depthwise).flatten(0, 1)  # [B * in, 1, 3, 3]
        pointwise = unit_kinds.edit_weight(self.pointwise, self.weight_layers["pointwise"], edit)
        pointwise = taken(taken(pointwise, 1, inputs), 0, outputs)
        bias = taken(self.bias, 0, outputs)

        def run(x: Tensor) -> Tensor:
            x = conv2d_per_face(x, depthwise, None, padding=1, groups=x.shape[1], faces=len(w))
            return F.conv2d(x, pointwise, bias)  # [B, out, H, W]

        return run


class Modulation(nn.Module):
    """Scales the channels by the style before the inverse wavelet.

    The next convolution has a quarter as many inputs, each of which gets four bands.
    """

    def __init__(self, name: str, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.style_layer = Layer.of_kind("styles", f"{name}.up", channels)
        self.modulated = f".convs.{_key(name)}.depthwise"

    def fold(self, w: Tensor, edit: Edit | None, inputs: Tensor | None) -> BoundLayer:
        """Return modulation and wavelet for the faces ``w`` [B, w_dim]."""
        style = unit_kinds.edit_vector(self.affine(w), self.style_layer, edit)
        if inputs is not None or (len(w) == 1 and wavelets_are_convolutions()):
            # Of bands that lack channels, sums would need zeros in their place.
            kernel = taken(haar_matrix(style.shape[1]).to(style) * style, 1, inputs)
            kernel = kernel[:, :, None, None]
            return lambda x: depth_to_space(F.conv2d(x, kernel))
        style = style[:, :, None, None]
        return lambda x: inverse_haar(x * style)  # [B, 4C, H, W] -> [B, C, 2H, 2W]


class WaveletToImage(nn.Module):
    """A modulated 1x1 convolution to the wavelet coefficients of RGB."""

    modulated = "weight"

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.weight = init_normal(12, channels, 1, 1, std=1 / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(12))
        self.style_layer = Layer.of_kind("styles", "image", channels)
        self.weight_layers = unit_kinds.weight_layers("image", self, "weight")

    def fold(self, w: Tensor, edit: Edit | None, inputs: Tensor | None) -> BoundLayer:
        """Return the function from maps to four phases [B, 12, H, W] for the faces ``w``."""
        style, weight = fold_style(self, w, edit)
        style, weight = taken(style, 1, inputs), taken(weight, 1, inputs)
        weight = style[:, None] * weight[:, :, 0, 0]  # [B, 12, C]
        # The wavelet is linear. Done once to the weights instead of to every picture, it leaves
        # four phases.
        weight = _phases(weight.transpose(1, 2).flatten(0, 1))  # [B * C, 12]
        weight = weight.view(len(w), -1, 12).transpose(1, 2)  # [B, 12, C]
        weight = weight.reshape(-1, weight.shape[2], 1, 1)
        bias, faces = _phases(self.bias[None])[0].repeat(len(w)), len(w)

        def run(x: Tensor) -> Tensor:
            return conv2d_per_face(x, weight, bias, padding=0, groups=1, faces=faces)

        return run


class MobileStyleGAN(StyleGenerator):
    """A MobileStyleGAN with ``channels[k]`` units in every layer at resolution ``4 * 2**k``.

    The picture has twice the last of these resolutions.

    Args:
        channels: multiples of four, except the last.
        z_dim: width of ``z`` and of ``w``.
        mapping_layers: number of linear layers of the mapping network.
    """

    phased = True
    lacks_channels = True

    def __init__(
        self,
        channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64),
        z_dim: int = 512,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        if not channels or any(c % 4 for c in channels[:-1]):
            raise RequestError(
                f"channels must be multiples of four for the wavelet, got {list(channels)}"
            )
        self.z_dim = self.w_dim = z_dim
        self.hyperparameters = {
            "channels": list(channels),
            "z_dim": z_dim,
            "mapping_layers": mapping_layers,
        }
        self.dense = nn.ModuleList(nn.Linear(z_dim, z_dim) for _ in range(mapping_layers))
        self.mapping_unit_layers = describe_mapping([z_dim] * mapping_layers)
        self.register_buffer("w_avg", torch.zeros(z_dim))
        self.const = init_normal(1, channels[0], 4, 4)
        self.convs = nn.ModuleDict({"b4_conv1": DenseConv("b4.conv1", z_dim, channels[0], 4)})
        self.ups: Any = nn.ModuleDict()
        for k in range(1, len(channels)):
            size = 4 * 2**k
            self.ups[f"b{size}_conv0"] = Modulation(f"b{size}.conv0", z_dim, channels[k - 1])
            self.convs[f"b{size}_conv0"] = SeparableConv(
                f"b{size}.conv0", z_dim, channels[k - 1] // 4, channels[k], size
            )
            self.convs[f"b{size}_conv1"] = SeparableConv(
                f"b{size}.conv1", z_dim, channels[k], channels[k], size
            )
        self.to_image = WaveletToImage(z_dim, channels[-1])
        self.size = (2 * 4 * 2 ** (len(channels) - 1),) * 2
        self.num_ws = len(self.convs) + len(self.ups) + 1
        keys = list(self.convs)
        ups = {keys.index(key): up for key, up in self.ups.items()}
        self.describe_layers((key.replace("_", ".") for key in keys), {0: self.const, **ups})

    @property
    def mapping_parameters(self) -> int:
        """The number of values of the mapping network."""
        return parameter_count(self.dense)

    def map_to_w(self, z: Tensor, psi: float, label: Tensor | None, edit: Edit | None) -> Tensor:
        """Return ``w`` [B, w_dim], truncated by ``psi``."""
        check_z(z, self.z_dim)
        check_label(label, self.labels, len(z))
        w = run_mapping_layers(pixel_norm(z), self.dense, self.mapping_unit_layers, edit)
        return torch.lerp(cast(Tensor, self.w_avg), w, psi)

    def chain_steps(
        self, ws: Tensor, edit: Edit | None, remaining: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Return the steps."""
        w = iter(ws.unbind(1))
        inputs: Tensor | None = None
        for k, layer in enumerate(self.layers):
            key, up, outputs = _key(layer.name), None, remaining.get(layer.name)
            if key in self.ups:
                up, inputs = self.ups[key].fold(next(w), edit, inputs), None
            module = self._conv(layer)
            conv = module.fold(next(w), edit, inputs, outputs)
            noise, inputs = module.edited_noise(edit), outputs
            if k == 0:
                const = self.const.expand(len(ws), -1, -1, -1)
                run = partial(_run_first, const, conv, noise)
            else:
                run = partial(_run, up, conv, noise)
            yield Step(layer.name, layer, run)
        to_image = self.to_image.fold(next(w), edit, inputs)
        yield Step("image", None, lambda state: (to_image(state[0]),))

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias and noise, [1, C, H, W]."""
        conv = self._conv(layer)
        return F.leaky_relu(conv.noise + conv.bias[None, :, None, None], SLOPE)

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the next convolution's kernel, [C, M]; of the last layer, that of the picture.

        Through the wavelet, a unit reaches one input channel of the next convolution.
        """
        kernel = super().outgoing(layer)
        k = self.layers.index(layer) + 1
        if k < len(self.layers) and _key(self.layers[k].name) in self.ups:
            kernel = kernel.repeat(4, 1)  # its four bands
        return kernel

    def _kernel(self, layer: Layer) -> Tensor:
        return cast(Tensor, self._conv(layer).kernel())


def _phases(coefficients: Tensor) -> Tensor:
    """Return the four pixels [N, 12] of wavelet coefficients of RGB [N, 12], pixel by pixel."""
    pixels = inverse_haar(coefficients[:, :, None, None])  # [N, 3, 2, 2]
    return pixels.permute(0, 2, 3, 1).flatten(1)


def _key(name: str) -> str:
    """Return the key of a layer in a ModuleDict, whose keys may not hold dots."""
    return name.replace(".", "_")


def _activate(x: Tensor, noise: Tensor) -> Tensor:
    return F.leaky_relu_(prevent_constant_folding(x).add_(noise), SLOPE)


def _run_first(const: Tensor, conv: BoundLayer, noise: Tensor, _: State) -> State:
    return (_activate(conv(const), noise),)


def _run(up: BoundLayer | None, conv: BoundLayer, noise: Tensor, state: State) -> State:
    return (_activate(conv(up(state[0]) if up else state[0]), noise),)
