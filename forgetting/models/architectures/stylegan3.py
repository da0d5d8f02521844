"""StyleGAN3 (Karras et al. 2021, "Alias-Free Generative Adversarial Networks"): signals on a continuous plane, sampled
finely enough that a leaky ReLU between an upsampling and a downsampling filter makes no aliases. Configuration T has
3x3 convolutions, R has 1x1 convolutions and radially symmetric filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from forgetting.errors import RequestError, check_int
from forgetting.models import unit_kinds
from forgetting.models.architectures.filtered_lrelu import Sampling, filtered, sampled
from forgetting.models.architectures.ops import (
    GAIN,
    check_ws,
    conv2d_per_face,
    demodulate,
    hyperparameters,
    init_normal,
    parameter_count,
)
from forgetting.models.architectures.style import BoundLayer, MappingNetwork, ToImage
from forgetting.models.generator import Chain, Edit, State, Step
from forgetting.models.units import Layer


@dataclass(frozen=True)
class Band:
    """What a layer may hold: frequencies up to ``cutoff``, at ``rate`` samples across the picture."""

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
    """The bands of ``layers`` + 1 layers, the last that of the picture (section 3.2 and appendix C, "layer specification").

    Cutoffs and stopbands grow geometrically, up to the last ``critical`` layers, which are sampled critically.
    """
    last_cutoff = resolution / 2
    found = []
    for k in range(layers + 1):
        way = min(k / (layers - critical), 1.0)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** way
        stop = first_stop * (last_cutoff * last_stop / first_stop) ** way
        found.append(Band(cutoff, 2 ** math.ceil(math.log2(min(2 * stop, resolution)))))
    return found


class Source(nn.Module):
    """The input: sines over the plane, moved and turned as ``w`` says, mixed by a linear layer (section 3.2, appendix F)."""

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
        """[B, w_dim] -> [B, C, size, size]"""
        moved = self.affine(w).float()
        cos, sin, right, down = (moved[:, k] for k in range(4))
        length = (cos.square() + sin.square()).sqrt()
        cos, sin, right, down = cos / length, sin / length, right / length, down / length
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=1).view(-1, 3, 3)
        move = torch.stack((one, zero, -right, zero, one, -down, zero, zero, one), dim=1).view(
            -1, 3, 3
        )
        place = turn @ move @ cast(Tensor, self.transform).float()  # [B, 3, 3]
        freqs, phases = cast(Tensor, self.freqs).float(), cast(Tensor, self.phases).float()
        phases = phases + (freqs @ place[:, :2, 2:])[:, :, 0]  # [B, C]
        freqs = freqs @ place[:, :2, :2]  # [B, C, 2]
        # What turning and moving brings out of the band fades out between the cutoff and half the sampling rate.
        loudness = 1 - (freqs.norm(dim=2) - self.band.cutoff) / (
            self.band.rate / 2 - self.band.cutoff
        )
        half = 0.5 * self.size / self.band.rate
        steps = (torch.arange(self.size, device=w.device) + 0.5) * (2 * half / self.size) - half
        across, down = (
            freqs[:, :, 0, None, None] * steps,
            freqs[:, :, 1, None, None] * steps[:, None],
        )  # [B, C, 1, size], [B, C, size, 1]
        waves = across + down + phases[:, :, None, None]
        waves = torch.sin(2 * torch.pi * waves) * loudness.clamp(0, 1)[:, :, None, None]
        return torch.einsum("oc,bcyx->boyx", self.weight.float(), waves).to(w.dtype)


class FilteredConv(nn.Module):
    """A modulated, demodulated convolution and a leaky ReLU between two low-pass filters."""

    heard = "weight"

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
        self.sampling = sampling
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, kernel, kernel)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer(
            "loudness", torch.ones(())
        )  # by which the input is multiplied: what it usually has is one then
        ups, downs = (taps * factor if factor > 1 else 1 for factor in (sampling.up, sampling.down))
        self.register_buffer("up_taps", torch.full((ups,), 1 / ups))
        self.register_buffer("down_taps", torch.full((downs, downs), 1 / downs**2))
        self.style, self.synapses = (
            Layer(f"styles/{name}", inputs),
            unit_kinds.weight_layers(name, self, "weight"),
        )

    def fold(self, w: Tensor, edit: Edit | None, clamp: float | None) -> BoundLayer:
        """The layer for the faces ``w`` [B, w_dim]."""
        style, weight = (
            unit_kinds.edit_vector(self.affine(w), self.style, edit),
            unit_kinds.edit_weight(self.weight, self.synapses["weight"], edit),
        )
        weight = demodulate(weight, style, GAIN * cast(Tensor, self.loudness)).flatten(
            0, 1
        )  # [B * out, in, k, k]
        bias, faces, activated = self.bias * GAIN, len(w), self._filtered(clamp)
        bias = bias if faces == 1 else bias.repeat(faces)
        return lambda x: activated(
            conv2d_per_face(x, weight, bias, padding=weight.shape[2] - 1, groups=1, faces=faces)
        )

    def rest(self, clamp: float | None) -> Tensor:
        """[1, C, H, W]: what is there without weights; towards the margin it fades, for outside there is nothing."""
        size = self.sampling.inputs + self.weight.shape[2] - 1
        return self._filtered(clamp)(
            (self.bias * GAIN)[None, :, None, None].expand(1, -1, size, size)
        )

    def _filtered(self, clamp: float | None) -> BoundLayer:
        return filtered(
            cast(Tensor, self.up_taps),
            cast(Tensor, self.down_taps),
            self.sampling,
            len(self.bias),
            clamp,
        )


class StyleGAN3(nn.Module):
    """``channels[k]`` units in layer k; the picture is square, and has as many channels as it has.

    Args:
        resolution: of the picture, a power of two.
        mapping: output widths of the mapping's layers; the last is ``w``'s.
        labels: classes; ``embed`` is the width in which one stands beside ``z``.
        kernel: of the convolutions; 3 in configuration T, 1 in R.
        critical: how many of the last layers are sampled critically.
        first_cutoff, first_stop, last_stop: the bands, see :func:`bands`; the last is relative to the picture's.
        margin: samples around the picture that are cut off in the end.
        taps: length of the filters, for every sample of the upsampling or downsampling.
        oversampling: of the activation.
        scale: of the picture.
        clamp: largest absolute value of a map, or None for no limit.
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
        if (
            not 0 < first_cutoff < resolution / 2
            or not 0 < first_stop <= last_stop * resolution / 2
            or not resolution.bit_count() == 1
        ):
            raise RequestError(
                f"the bands of a StyleGAN3 must rise to half of its resolution, a power of two, got {resolution}"
            )
        self.z_dim, self.labels, self.w_dim = z_dim, labels, mapping[-1]
        self.clamp, self.scale, self.size = clamp, scale, (resolution, resolution)
        self.style = MappingNetwork(z_dim, mapping, labels, embed)
        layers = bands(resolution, len(channels), critical, first_cutoff, first_stop, last_stop)
        sizes = [band.rate + 2 * margin for band in layers[:-2]] + [resolution] * 2
        self.source = Source(self.w_dim, channels[0], sizes[0], layers[0])
        self.convs = nn.ModuleDict()
        for k, outputs in enumerate(channels):
            before = max(k - 1, 0)
            high = max(layers[before].rate, layers[k].rate) * oversampling
            sampling = sampled(
                sizes[before],
                sizes[k],
                high // layers[before].rate,
                high // layers[k].rate,
                kernel,
                taps,
            )
            name = f"L{k}_{sizes[k]}_{outputs}"
            self.convs[name] = FilteredConv(
                name, self.w_dim, channels[before], outputs, kernel, sampling, taps
            )
        self.to_image = ToImage("image", self.w_dim, channels[-1], image_channels)
        self.num_ws = len(channels) + 2
        self.layers = tuple(
            Layer(
                name,
                len(conv.bias),
                (conv.sampling.outputs, conv.sampling.outputs),
                parameter_count(*own),
            )
            for name, conv in cast("dict[str, FilteredConv]", self.convs).items()
            for own in [(conv, self.source) if name.startswith("L0_") else (conv,)]
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
        return Chain(tuple(self._steps(ws, edit)))

    def _steps(self, ws: Tensor, edit: Edit | None) -> Iterator[Step]:
        for k, layer in enumerate(self.layers):
            conv = self._conv(layer).fold(ws[:, k + 1], edit, self.clamp)
            yield Step(
                layer.name, layer, _begun(self.source, ws[:, 0], conv) if k == 0 else _applied(conv)
            )
        yield Step(
            "image", None, _applied(self.to_image.fold(ws[:, -1], edit, self.clamp, self.scale))
        )

    def _conv(self, layer: Layer) -> FilteredConv:
        return cast(FilteredConv, self.convs[layer.name])

    def rest(self, layer: Layer) -> Tensor:
        return self._conv(layer).rest(self.clamp)

    def incoming(self, layer: Layer) -> Tensor:
        return self._conv(layer).weight.flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """The next convolution's kernel; of the last layer, the way to the picture."""
        k = self.layers.index(layer) + 1
        weight = self._conv(self.layers[k]).weight if k < len(self.layers) else self.to_image.weight
        return weight.transpose(0, 1).flatten(1)


def _begun(source: Source, w: Tensor, conv: BoundLayer) -> Callable[[State], State]:
    return lambda _: (conv(source(w)),)


def _applied(run: BoundLayer) -> Callable[[State], State]:
    return lambda state: (run(state[0]),)
