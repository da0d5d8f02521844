"""MobileStyleGAN (Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity
Image Synthesis"): StyleGAN2 distilled into depthwise-separable convolutions over wavelet coefficients.

Demodulation there does not depend on the style, so checkpoints hold it already folded into the pointwise weights,
and the learning-rate multipliers and modulation scales are folded into the affine weights. There is no RGB skip
pyramid: only the last layer makes the picture.

Units in front of a wavelet are numbered by band (low, vertical, horizontal, diagonal), where the original interleaves
the three details of each channel; whole bands are read and written in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    SLOPE,
    check_label,
    check_ws,
    check_z,
    conv2d_per_face,
    depth_to_space,
    init_normal,
    inverse_haar,
    parameter_count,
    pixel_norm,
    prevent_constant_folding,
)
from forgetting.models.generator import Chain, Edit, State, Step
from forgetting.models.units import Layer

Fold = Callable[[Tensor], Tensor]
"""An operation with the face folded in: [B, C, H, W] -> [B, C', H', W']."""


class DenseConv(nn.Module):
    """The first layer: a modulated full 3x3 convolution of the learned constant."""

    heard = "weight"

    def __init__(self, name: str, w_dim: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.weight = init_normal(channels, channels, 3, 3, std=1 / (3 * channels**0.5))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, resolution, resolution))
        self.style, self.synapses = (
            Layer(f"styles/{name}", channels),
            unit_kinds.weight_layers(name, self, "weight"),
        )
        self.grain = Layer(f"noise/{name}", 1, (resolution, resolution))

    def kernel(self) -> Tensor:
        """[out, in, 9]"""
        return self.weight.flatten(2)

    def fold(self, w: Tensor, edit: Edit | None) -> Fold:
        style = unit_kinds.edit_vector(self.affine(w), self.style, edit)[
            :, :, None, None
        ]  # [B, C, 1, 1]
        weight = unit_kinds.edit_weight(self.weight, self.synapses["weight"], edit)
        return lambda x: F.conv2d(x * style, weight, self.bias, padding=1)


class SeparableConv(nn.Module):
    """A modulated depthwise 3x3 followed by a pointwise 1x1 convolution."""

    heard = "depthwise"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int, resolution: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.depthwise = init_normal(inputs, 1, 3, 3, std=1 / 3)
        self.pointwise = init_normal(channels, inputs, 1, 1, std=1 / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, resolution, resolution))
        self.style, self.synapses = (
            Layer(f"styles/{name}", inputs),
            unit_kinds.weight_layers(name, self, "depthwise", "pointwise"),
        )
        self.grain = Layer(f"noise/{name}", 1, (resolution, resolution))

    def kernel(self) -> Tensor:
        """[out, in, 9]: the two convolutions as one."""
        return self.pointwise.flatten(2) * self.depthwise.flatten(1)[None]

    def fold(self, w: Tensor, edit: Edit | None) -> Fold:
        style = unit_kinds.edit_vector(self.affine(w), self.style, edit)  # [B, in]
        depthwise = unit_kinds.edit_weight(self.depthwise, self.synapses["depthwise"], edit)
        depthwise = (style[:, :, None, None, None] * depthwise).flatten(0, 1)  # [B * in, 1, 3, 3]
        pointwise = unit_kinds.edit_weight(self.pointwise, self.synapses["pointwise"], edit)

        def run(x: Tensor) -> Tensor:
            x = conv2d_per_face(x, depthwise, None, padding=1, groups=x.shape[1], faces=len(w))
            return F.conv2d(x, pointwise, self.bias)  # [B, out, H, W]

        return run


class Modulation(nn.Module):
    """Scales the channels by the style before the inverse wavelet; the next convolution hears a quarter of them in four bands."""

    def __init__(self, name: str, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.style, self.heard = (
            Layer(f"styles/{name}.up", channels),
            f".convs.{name.replace('.', '_')}.depthwise",
        )

    def fold(self, w: Tensor, edit: Edit | None) -> Fold:
        style = unit_kinds.edit_vector(self.affine(w), self.style, edit)[:, :, None, None]
        return lambda x: inverse_haar(x * style)  # [B, 4C, H, W] -> [B, C, 2H, 2W]


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the wavelet coefficients of RGB."""

    heard = "weight"

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        self.weight = init_normal(12, channels, 1, 1, std=1 / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(12))
        self.style, self.synapses = (
            Layer("styles/image", channels),
            unit_kinds.weight_layers("image", self, "weight"),
        )

    def fold(self, w: Tensor, edit: Edit | None) -> Fold:
        style, weight = (
            unit_kinds.edit_vector(self.affine(w), self.style, edit),
            unit_kinds.edit_weight(self.weight, self.synapses["weight"], edit),
        )
        weight = style[:, None] * weight[:, :, 0, 0]  # [B, 12, C]
        # The wavelet is linear: done once to the weights instead of every time to the picture, it leaves four phases.
        weight = (
            _phases(weight.transpose(1, 2).flatten(0, 1)).view(len(w), -1, 12).transpose(1, 2)
        )  # [B, 12, C]
        weight, bias = (
            weight.reshape(-1, weight.shape[2], 1, 1),
            _phases(self.bias[None])[0].repeat(len(w)),
        )

        def run(x: Tensor) -> Tensor:
            return depth_to_space(
                conv2d_per_face(x, weight, bias, padding=0, groups=1, faces=len(w))
            )  # [B, 3, 2H, 2W]

        return run


class MobileStyleGAN(nn.Module):
    """``channels[k]`` units in every layer at resolution ``4 * 2**k``; the picture is twice the last of these.

    Args:
        channels: multiples of four, except the last.
        z_dim: width of ``z`` and of ``w``.
        mapping_layers: linear layers of the mapping network.
    """

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
        self.z_dim = z_dim
        self.hyperparameters = {
            "channels": list(channels),
            "z_dim": z_dim,
            "mapping_layers": mapping_layers,
        }
        self.dense = nn.ModuleList(nn.Linear(z_dim, z_dim) for _ in range(mapping_layers))
        self.neurons = tuple(Layer(f"mapping/{k}", z_dim) for k in range(mapping_layers))
        self.register_buffer("w_avg", torch.zeros(z_dim))
        self.const = init_normal(1, channels[0], 4, 4)
        self.convs = nn.ModuleDict({"b4_conv1": DenseConv("b4.conv1", z_dim, channels[0], 4)})
        self.ups = nn.ModuleDict()
        for k in range(1, len(channels)):
            size = 4 * 2**k
            self.ups[f"b{size}_conv0"] = Modulation(f"b{size}.conv0", z_dim, channels[k - 1])
            self.convs[f"b{size}_conv0"] = SeparableConv(
                f"b{size}.conv0", z_dim, channels[k - 1] // 4, channels[k], size
            )
            self.convs[f"b{size}_conv1"] = SeparableConv(
                f"b{size}.conv1", z_dim, channels[k], channels[k], size
            )
        self.to_image = ToImage(z_dim, channels[-1])
        self.labels = 0
        self.size = (2 * 4 * 2 ** (len(channels) - 1),) * 2
        self.layers = tuple(self._describe(name, conv) for name, conv in self.convs.items())
        self.parts = unit_kinds.collect_parameter_layers(self, self.layers)
        self.num_ws = len(self.convs) + len(self.ups) + 1

    def _describe(self, name: str, conv: nn.Module) -> Layer:
        own = (
            (conv, self.ups[name])
            if name in self.ups
            else (conv, self.const)
            if name == "b4_conv1"
            else (conv,)
        )
        noise = cast(Tensor, conv.noise)
        return Layer(
            _address(name),
            len(cast(Tensor, conv.bias)),
            (noise.shape[2], noise.shape[3]),
            parameter_count(*own),
        )

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
        w = pixel_norm(z)
        for dense, layer in zip(self.dense, self.neurons, strict=True):
            w = unit_kinds.edit_vector(F.leaky_relu(dense(w), SLOPE) * 2**0.5, layer, edit)
        w = torch.lerp(cast(Tensor, self.w_avg), w, psi)
        return w[:, None].expand(-1, self.num_ws, -1)  # [B, L, W]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        check_ws(ws, self.num_ws, self.z_dim)
        return Chain(tuple(self._steps(ws, edit)))

    def _steps(self, ws: Tensor, edit: Edit | None) -> Iterator[Step]:
        w = iter(ws.unbind(1))
        first = self._conv(self.layers[0])
        fold, const = first.fold(next(w), edit), self.const.expand(len(ws), -1, -1, -1)
        noise = unit_kinds.edit_noise(first.noise, first.grain, edit)
        yield Step(self.layers[0].name, self.layers[0], lambda _: (_activate(fold(const), noise),))
        for layer in self.layers[1:]:
            up = (
                cast(Modulation, self.ups[_key(layer)]).fold(next(w), edit)
                if _key(layer) in self.ups
                else None
            )
            conv = self._conv(layer)
            yield Step(
                layer.name,
                layer,
                partial(
                    _run,
                    up,
                    conv.fold(next(w), edit),
                    unit_kinds.edit_noise(conv.noise, conv.grain, edit),
                ),
            )
        to_image = self.to_image.fold(next(w), edit)
        yield Step("image", None, lambda state: (to_image(state[0]),))

    def _conv(self, layer: Layer) -> DenseConv | SeparableConv:
        return cast(SeparableConv, self.convs[_key(layer)])

    def rest(self, layer: Layer) -> Tensor:
        conv = self._conv(layer)
        return F.leaky_relu(conv.noise + conv.bias[None, :, None, None], SLOPE)

    def incoming(self, layer: Layer) -> Tensor:
        return self._conv(layer).kernel().flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """The next convolution's composite kernel; through the wavelet, a unit reaches one of its input channels."""
        following = dict(zip(self.layers, self.layers[1:], strict=False)).get(layer)
        if following is None:
            return self.to_image.weight.flatten(1).T  # [C, 12]
        kernel = self._conv(following).kernel().transpose(0, 1).flatten(1)  # [in, out * 9]
        if _key(following) in self.ups:
            kernel = kernel.repeat(4, 1)  # its four bands
        return kernel


def _phases(coefficients: Tensor) -> Tensor:
    """[N, 12] wavelet coefficients of RGB -> [N, 12]: the four pixels they make, RGB of each in turn."""
    pixels = inverse_haar(coefficients[:, :, None, None])  # [N, 3, 2, 2]
    return pixels.permute(0, 2, 3, 1).flatten(1)


def _address(key: str) -> str:
    return key.replace("_", ".")  # a ModuleDict's keys may not hold dots


def _key(layer: Layer) -> str:
    return layer.name.replace(".", "_")


def _activate(x: Tensor, noise: Tensor) -> Tensor:
    return F.leaky_relu_(prevent_constant_folding(x).add_(noise), SLOPE)


def _run(up: Fold | None, conv: Fold, noise: Tensor, state: State) -> State:
    return (_activate(conv(up(state[0]) if up else state[0]), noise),)
