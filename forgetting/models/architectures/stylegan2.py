"""StyleGAN2: modulated and demodulated convolutions of a learned constant.

See Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN". A skip pyramid may
add the picture up from all resolutions, or a residual connection may pass by the two layers of a
resolution (section 4.1).

Everything that is fixed is part of the weights: learning-rate multipliers, scaling by fan-in, noise
strength. Binding a face folds the style, its demodulation (section 2.2, equation 3) and, where it
can be, the activation's gain into the weights too. A layer then is a convolution, its noise and an
activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError, check_int
from forgetting.models import unit_kinds
from forgetting.models.architectures.activations import ActivationFunction, find_activation
from forgetting.models.architectures.ops import (
    check_clamp,
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
    taken,
)
from forgetting.models.generator import Edit, State, Step
from forgetting.models.units import Layer


class StyleConv(nn.Module):
    """A modulated, demodulated 3x3 convolution with noise; ``up`` doubles the resolution."""

    modulated = "weight"

    def __init__(
        self,
        name: str,
        w_dim: int,
        inputs: int,
        channels: int,
        size: tuple[int, int],
        up: bool,
        activation: ActivationFunction,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.up, self.size = up, size
        self.activation, self.scale = activation.scaled(scale), scale
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, 3, 3)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(1, 1, *size))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")
        self.noise_layer = Layer.of_kind("noise", name, 1, size)

    def fold(
        self,
        w: Tensor,
        edit: Edit | None,
        taps: Tensor,
        clamp: float | None,
        inputs: Tensor | None,
        outputs: Tensor | None,
    ) -> BoundLayer:
        """Return the layer for the faces ``w`` [B, w_dim].

        Args:
            w: the faces.
            edit: of styles, weights and noise.
            taps: of the low-pass.
            clamp: largest absolute value of a map.
            inputs: the channels that remain of the input; None is all.
            outputs: those that remain of the output.
        """
        style, weight = fold_style(self, w, edit)
        gain, faces = self.activation.before, len(w)
        weight = demodulate(weight, style, gain)  # [B, out, in, 3, 3]; of all inputs
        weight = taken(taken(weight, 2, inputs), 1, outputs)
        bias, noise = taken(self.bias, 0, outputs) * gain, None
        if bool(self.noise.any()):
            noise = unit_kinds.edit_noise(self.noise, self.noise_layer, edit) * gain
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
                x = F.conv2d(x, blur, bias, padding=len(taps) // 2 - 1, groups=len(bias))
            else:
                biases = bias if faces == 1 else bias.repeat(faces)
                x = conv2d_per_face(x, weight, biases, padding=1, groups=1, faces=faces)
            return self.activate(x, noise, clamp)

        return run

    def bias_only_output(self, clamp: float | None) -> Tensor:
        """Return the activated bias and noise, [1, C, H, W]."""
        x = (self.noise + self.bias[None, :, None, None]) * self.activation.before
        return self.activate(x, None, clamp)

    def activate(self, x: Tensor, noise: Tensor | None, clamp: float | None) -> Tensor:
        """Return the activation of values that are scaled already, limited to ``clamp``."""
        if noise is not None:
            x = prevent_constant_folding(x).add_(noise)
        x = self.activation.run(x)
        if clamp is None:
            return x
        limit = clamp * self.scale
        # A gradient needs the values from before the limit.
        return x.clamp(-limit, limit) if x.requires_grad else x.clamp_(-limit, limit)


class Shortcut(nn.Module):
    """A 1x1 convolution and a doubling, which pass by the two layers of a resolution."""

    def __init__(self, name: str, inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = init_normal(channels, inputs, 1, 1, std=1 / inputs**0.5)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")

    def fold(self, edit: Edit | None, taps: Tensor) -> BoundLayer:
        """Return the function from [B, in, H, W] to [B, out, 2H, 2W]."""
        weight = unit_kinds.edit_weight(self.weight, self.weight_layers["weight"], edit)
        double = _doubling(taps, len(weight))
        return lambda x: double(F.conv2d(x, weight))


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
        activation: of the layers, a key of ``ACTIVATIONS``.
        residual: whether a convolution passes by the two layers of a resolution. The sum of both
            ways is divided by the square root of two.
        taps: length of the low-pass of the maps.
        image_taps: length of the low-pass of the picture, or None if it is that of the maps.
        centre: whether there is a centre of truncation; without one psi must be 1.
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
        activation: str = "lrelu",
        residual: bool = False,
        taps: int = 4,
        image_taps: int | None = None,
        centre: bool = True,
    ) -> None:
        super().__init__()
        if not channels or not mapping or len(size) != 2:
            raise RequestError(
                f"a StyleGAN2 needs channels, mapping and a size, got {list(channels)}, "
                f"{list(mapping)} and {list(size)}"
            )
        self.hyperparameters = hyperparameters(locals())
        if skip and residual:
            raise RequestError("a StyleGAN2 has a skip pyramid or residuals, and never both")
        activated = find_activation("a StyleGAN2's activation", activation)
        check_clamp("a StyleGAN2's clamp", clamp)
        self.settings = {} if activation == "lrelu" else {"activation": activation}
        self.z_dim, self.labels, self.w_dim, self.clamp = z_dim, labels, mapping[-1], clamp
        self.style = MappingNetwork(z_dim, mapping, labels, embed, centre)
        self.const = init_normal(1, channels[0], *size)
        self.register_buffer("taps", low_pass(taps))
        self.register_buffer("image_taps", None if image_taps is None else low_pass(image_taps))
        self.convs, self.to_image = nn.ModuleDict(), nn.ModuleDict()
        self.shortcuts = nn.ModuleDict()
        for k, outputs in enumerate(channels):
            maps = (size[0] * 2**k, size[1] * 2**k)
            name = f"b{4 * 2**k}"
            if k:
                self.convs[f"{name}_conv0"] = StyleConv(
                    f"{name}.conv0", self.w_dim, channels[k - 1], outputs, maps, True, activated
                )
            if k and residual:
                self.shortcuts[name] = Shortcut(f"{name}.shortcut", channels[k - 1], outputs)
            scale = 0.5**0.5 if k and residual else 1.0
            self.convs[f"{name}_conv1"] = StyleConv(
                f"{name}.conv1", self.w_dim, outputs, outputs, maps, False, activated, scale
            )
            if skip or k == len(channels) - 1:
                self.to_image[name] = ToImage(f"{name}.image", self.w_dim, outputs, image_channels)
        self.size = maps
        self.num_ws = 2 * len(channels)
        self.bypassed = len(self.to_image) > 1 or residual
        keys = list(self.convs)
        own = {keys.index(f"{name}_conv1"): shortcut for name, shortcut in self.shortcuts.items()}
        self.describe_layers((key.replace("_", ".") for key in keys), {0: self.const, **own})

    @property
    def lacks_channels(self) -> bool:  # type: ignore[override]
        """Whether it can: a residual needs all of them."""
        return not len(self.shortcuts)

    def chain_steps(
        self, ws: Tensor, edit: Edit | None, remaining: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Return the steps.

        The picture so far and the residual travel beside the maps. Both are added where the next
        resolution begins.
        """
        taps = cast(Tensor, self.taps)
        image_taps = taps if self.image_taps is None else cast(Tensor, self.image_taps)
        doubled = _doubling(image_taps, len(self._last_to_image().bias))
        const = self.const.expand(len(ws), -1, -1, -1)
        join: Callable[[State], State] = lambda _: (const,)  # noqa: E731
        inputs: Tensor | None = None
        for k, layer in enumerate(self.layers):
            outputs = remaining.get(layer.name)
            conv = self._conv(layer).fold(ws[:, k], edit, taps, self.clamp, inputs, outputs)
            inputs = outputs
            resolution, _, name = layer.name.partition(".")
            shortcut = None
            if name == "conv0" and resolution in self.shortcuts:
                shortcut = cast(Shortcut, self.shortcuts[resolution]).fold(edit, taps)
            yield Step(layer.name, layer, partial(_run, conv, join, shortcut))
            join = _unchanged
            if name == "conv1":
                to_image = None
                if resolution in self.to_image:
                    module = self.to_image[resolution]
                    to_image = module.fold(ws[:, k + 1], edit, self.clamp, inputs)
                join = partial(_join, resolution in self.shortcuts, to_image, doubled)
        yield Step("image", None, lambda state: join(state)[1:])

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activated bias and noise, [1, C, H, W]."""
        output: Tensor = self._conv(layer).bias_only_output(self.clamp)
        return output

    def _image_weight(self) -> Tensor:
        return cast(Tensor, self._last_to_image().weight)

    def _last_to_image(self) -> Any:
        return self.to_image[self.layers[-1].name.partition(".")[0]]


def _run(
    conv: BoundLayer,
    join: Callable[[State], State],
    shortcut: BoundLayer | None,
    state: State,
) -> State:
    x, *rest = join(state)
    return (conv(x), *rest) if shortcut is None else (conv(x), shortcut(x))


def _unchanged(state: State) -> State:
    return state


def _join(residual: bool, to_image: BoundLayer | None, doubled: BoundLayer, state: State) -> State:
    """Add the residual to the maps, or the resolution's part to the picture so far."""
    x, *rest = state
    if residual:
        x, rest = x + rest[0], []
    if to_image is None:
        return (x, *rest)
    part = to_image(x)
    return (x, part + doubled(rest[0]) if rest else part)


def _transposed_per_face(x: Tensor, weight: Tensor, faces: int) -> Tensor:
    """[B, C, H, W] -> [B, O, 2H + 1, 2W + 1]; ``weight`` is [faces * C, O, 3, 3]."""
    if faces == 1:
        return F.conv_transpose2d(x, weight, stride=2)
    batch, channels, height, width = x.shape
    x = F.conv_transpose2d(
        x.reshape(1, batch * channels, height, width), weight, stride=2, groups=batch
    )
    return x.view(batch, -1, *x.shape[2:])


def low_pass(count: int) -> Tensor:
    """Return a low-pass of that even number of taps, which sum to one; weights replace it."""
    check_int("the taps of a StyleGAN2's low-pass", count, 2, 64)
    if count % 2:
        raise RequestError(f"the taps of a StyleGAN2's low-pass must be even, got {count}")
    row = torch.zeros(count)
    row[count // 2 - 1 : count // 2 + 1] = 0.5
    return row


def _doubling(taps: Tensor, channels: int) -> BoundLayer:
    """Return the function from [B, C, H, W] to [B, C, 2H, 2W].

    It puts zeros between the pixels and applies a low-pass in each direction. It is written as its
    four phases, each of which reads the pixels alone, so that no zeros are multiplied.
    """
    flipped, half = taps.flip(0) * 2, len(taps) // 2
    # One phase reads an even, the other one an odd number of pixels, unless both read as many.
    uneven = 1 - half % 2
    first, second = flipped[half % 2 :: 2], flipped[uneven::2]
    phases = torch.stack((F.pad(first, (0, uneven)), F.pad(second, (uneven, 0))))  # [2, K]
    kernel = torch.einsum("ay,bx->abyx", phases, phases).flatten(0, 1)  # as depth_to_space has them
    weight = torch.einsum("pyx,oi->poiyx", kernel, torch.eye(channels).to(kernel)).flatten(0, 1)
    return lambda x: depth_to_space(F.conv2d(x, weight, padding=half // 2))
