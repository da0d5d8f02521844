"""StyleGAN3: signals on a continuous plane, sampled finely enough to make no aliases.

See Karras et al. 2021, "Alias-Free Generative Adversarial Networks". Each leaky ReLU stands
between an upsampling and a downsampling filter. Configuration T has 3x3 convolutions, R has 1x1
convolutions and radially symmetric filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from forgetting.errors import RequestError, check_int, check_range
from forgetting.models import unit_kinds
from forgetting.models.architectures.filtered_lrelu import Sampling, filtered, sampled
from forgetting.models.architectures.ops import (
    check_clamp,
    conv2d_per_face,
    demodulate,
    hyperparameters,
    init_normal,
)
from forgetting.models.architectures.style import (
    BoundLayer,
    MappingNetwork,
    StyleGenerator,
    ToImage,
    fold_style,
)
from forgetting.models.generator import Edit, State, Step
from forgetting.models.units import GAIN, Layer


@dataclass(frozen=True)
class Band:
    """The band of a layer: frequencies up to ``cutoff``, at ``rate`` samples across the picture."""

    cutoff: float
    rate: int


def bands(
    resolution: int,
    layers: int,
    critical: int,
    first_cutoff: float,
    first_stop: float,
    last_stop: float,
) -> list[Band]:
    """Return the bands of ``layers`` + 1 layers, the last that of the picture.

    See section 3.2 and appendix C, "layer specification". Cutoffs and stopbands grow
    geometrically, up to the last ``critical`` layers, which are sampled critically.
    """
    last_cutoff = resolution / 2
    layer_bands = []
    for k in range(layers + 1):
        share = min(k / (layers - critical), 1.0)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** share
        stop = first_stop * (last_cutoff * last_stop / first_stop) ** share
        layer_bands.append(Band(cutoff, 2 ** math.ceil(math.log2(min(2 * stop, resolution)))))
    return layer_bands


class Source(nn.Module):
    """The input: sines over the plane, moved and turned by ``w``, mixed by a linear layer.

    See section 3.2 and appendix F.
    """

    def __init__(self, w_dim: int, channels: int, size: int, band: Band) -> None:
        super().__init__()
        self.size, self.band = size, band
        self.affine = nn.Linear(w_dim, 4)
        self.weight = init_normal(channels, channels, std=1 / channels**0.5)
        for name, shape in (
            ("freqs", (channels, 2)),
            ("phases", (channels,)),
            ("transform", (3, 3)),
        ):
            self.register_buffer(name, torch.zeros(*shape))

    def forward(self, w: Tensor) -> Tensor:
        """Return the input [B, C, size, size] of ``w`` [B, w_dim]."""
        moved = self.affine(w).float()
        cos, sin, right, down = (moved[:, k] for k in range(4))
        length = (cos.square() + sin.square()).sqrt()
        cos, sin, right, down = cos / length, sin / length, right / length, down / length
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=1).view(-1, 3, 3)
        move = torch.stack((one, zero, -right, zero, one, -down, zero, zero, one), dim=1)
        move = move.view(-1, 3, 3)
        transform = turn @ move @ cast(Tensor, self.transform).float()  # [B, 3, 3]
        freqs, phases = cast(Tensor, self.freqs).float(), cast(Tensor, self.phases).float()
        phases = phases + (freqs @ transform[:, :2, 2:])[:, :, 0]  # [B, C]
        freqs = freqs @ transform[:, :2, :2]  # [B, C, 2]
        # Waves that the transform moves out of the band fade out up to half the sampling rate.
        cutoff, nyquist = self.band.cutoff, self.band.rate / 2
        amplitude = 1 - (freqs.norm(dim=2) - cutoff) / (nyquist - cutoff)
        half = 0.5 * self.size / self.band.rate
        steps = (torch.arange(self.size, device=w.device) + 0.5) * (2 * half / self.size) - half
        across = freqs[:, :, 0, None, None] * steps  # [B, C, 1, size]
        along = freqs[:, :, 1, None, None] * steps[:, None]  # [B, C, size, 1]
        waves = across + along + phases[:, :, None, None]
        waves = torch.sin(2 * torch.pi * waves) * amplitude.clamp(0, 1)[:, :, None, None]
        return torch.einsum("oc,bcyx->boyx", self.weight.float(), waves).to(w.dtype)


class FilteredConv(nn.Module):
    """A modulated, demodulated convolution and a leaky ReLU between two low-pass filters."""

    modulated = "weight"

    def __init__(
        self,
        name: str,
        w_dim: int,
        inputs: int,
        channels: int,
        kernel: int,
        sampling: Sampling,
        taps: int,
    ) -> None:
        super().__init__()
        self.sampling, self.size = sampling, (sampling.outputs, sampling.outputs)
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, kernel, kernel)
        self.bias = nn.Parameter(torch.zeros(channels))
        # Scales the input, whose usual magnitude is one then.
        self.register_buffer("loudness", torch.ones(()))
        ups, downs = (taps * factor if factor > 1 else 1 for factor in (sampling.up, sampling.down))
        self.register_buffer("up_taps", torch.full((ups,), 1 / ups))
        self.register_buffer("down_taps", torch.full((downs, downs), 1 / downs**2))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")

    def fold(self, w: Tensor, edit: Edit | None, clamp: float | None) -> BoundLayer:
        """Return the layer for the faces ``w`` [B, w_dim]."""
        style, weight = fold_style(self, w, edit)
        weight = demodulate(weight, style, GAIN * cast(Tensor, self.loudness))
        weight = weight.flatten(0, 1)  # [B * out, in, k, k]
        bias, faces, activate = self.bias * GAIN, len(w), self._filtered_activation(clamp)
        bias = bias if faces == 1 else bias.repeat(faces)
        return lambda x: activate(
            conv2d_per_face(x, weight, bias, padding=weight.shape[2] - 1, groups=1, faces=faces)
        )

    def bias_only_output(self, clamp: float | None) -> Tensor:
        """Return the output without weights, [1, C, H, W].

        It fades towards the margin, because there is nothing outside of the maps.
        """
        size = self.sampling.inputs + self.weight.shape[2] - 1
        bias = (self.bias * GAIN)[None, :, None, None].expand(1, -1, size, size)
        return self._filtered_activation(clamp)(bias)

    def _filtered_activation(self, clamp: float | None) -> BoundLayer:
        up_taps, down_taps = cast(Tensor, self.up_taps), cast(Tensor, self.down_taps)
        return filtered(up_taps, down_taps, self.sampling, len(self.bias), clamp)


class StyleGAN3(StyleGenerator):
    """A StyleGAN3 with ``channels[k]`` units in layer k; the picture is square.

    Args:
        resolution: of the picture, a power of two.
        channels: numbers of units, layer by layer.
        z_dim: width of ``z``.
        mapping: output widths of the mapping network's layers; the last is the width of ``w``.
        labels: number of classes.
        embed: the width in which a class stands beside ``z``.
        image_channels: number of channels of the picture.
        kernel: size of the kernels: 3 in configuration T, 1 in R.
        critical: how many of the last layers are sampled critically.
        first_cutoff: of the bands, see :func:`bands`.
        first_stop: of the bands.
        last_stop: of the bands, relative to the picture's.
        margin: samples around the picture that are cropped in the end.
        taps: length of the filters, for every sample of the upsampling or downsampling.
        oversampling: of the activation.
        scale: of the picture.
        clamp: largest absolute value of a map, or None for no limit.
        centre: whether there is a centre of truncation; without one psi must be 1.
    """

    def __init__(
        self,
        resolution: int = 1024,
        channels: Sequence[int] = (512,) * 14,
        z_dim: int = 512,
        mapping: Sequence[int] = (512, 512),
        labels: int = 0,
        embed: int = 0,
        image_channels: int = 3,
        kernel: int = 3,
        critical: int = 2,
        first_cutoff: float = 2.0,
        first_stop: float = 2**2.1,
        last_stop: float = 2**0.3,
        margin: int = 10,
        taps: int = 6,
        oversampling: int = 2,
        scale: float = 0.25,
        clamp: float | None = 256.0,
        centre: bool = True,
    ) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters(locals())
        for name, value, low, high in (
            ("layers", len(channels), 1, 64),
            ("mapping layers", len(mapping), 1, 64),
            ("critical layers", critical, 0, len(channels) - 1),
            ("margin", margin, 0, 64),
            ("taps", taps, 1, 32),
            ("oversampling", oversampling, 1, 8),
        ):
            check_int(f"a StyleGAN3's {name}", value, low, high)
        check_clamp("a StyleGAN3's clamp", clamp)
        check_range("a StyleGAN3's scale", scale, -1e9, 1e9)
        if (
            not 0 < first_cutoff < resolution / 2
            or not 0 < first_stop <= last_stop * resolution / 2
            or not resolution.bit_count() == 1
        ):
            raise RequestError(
                "the bands of a StyleGAN3 must rise to half of its resolution, a power of two, "
                f"got {resolution}"
            )
        self.z_dim, self.labels, self.w_dim = z_dim, labels, mapping[-1]
        self.clamp, self.scale, self.size = clamp, scale, (resolution, resolution)
        self.style = MappingNetwork(z_dim, mapping, labels, embed, centre)
        layers = bands(resolution, len(channels), critical, first_cutoff, first_stop, last_stop)
        sizes = [band.rate + 2 * margin for band in layers[:-2]] + [resolution] * 2
        self.source = Source(self.w_dim, channels[0], sizes[0], layers[0])
        self.convs = nn.ModuleDict()
        for k, outputs in enumerate(channels):
            previous = max(k - 1, 0)
            high = max(layers[previous].rate, layers[k].rate) * oversampling
            sampling = sampled(
                sizes[previous],
                sizes[k],
                high // layers[previous].rate,
                high // layers[k].rate,
                kernel,
                taps,
            )
            name = f"L{k}_{sizes[k]}_{outputs}"
            self.convs[name] = FilteredConv(
                name, self.w_dim, channels[previous], outputs, kernel, sampling, taps
            )
        self.to_image = ToImage("image", self.w_dim, channels[-1], image_channels)
        self.num_ws = len(channels) + 2
        self.describe_layers(self.convs, {0: self.source})

    def chain_steps(
        self, ws: Tensor, edit: Edit | None, remaining: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Return the steps; the first one begins with the input."""
        for k, layer in enumerate(self.layers):
            conv = self._conv(layer).fold(ws[:, k + 1], edit, self.clamp)
            run = _run_first(self.source, ws[:, 0], conv) if k == 0 else _run(conv)
            yield Step(layer.name, layer, run)
        to_image = self.to_image.fold(ws[:, -1], edit, self.clamp, scale=self.scale)
        yield Step("image", None, _run(to_image))

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the filtered, activated bias, [1, C, H, W]."""
        output: Tensor = self._conv(layer).bias_only_output(self.clamp)
        return output


def _run_first(source: Source, w: Tensor, conv: BoundLayer) -> Callable[[State], State]:
    return lambda _: (conv(source(w)),)


def _run(conv: BoundLayer) -> Callable[[State], State]:
    return lambda state: (conv(state[0]),)
