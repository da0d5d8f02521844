"""What style-based generators share.

These are the mapping network (Karras et al. 2019, "A Style-Based Generator Architecture for
Generative Adversarial Networks", section 2), the description of their layers, and the convolution
that makes the picture of the last maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    check_label,
    check_ws,
    check_z,
    conv2d_per_face,
    depth_to_space,
    init_normal,
    parameter_count,
    pixel_norm,
)
from forgetting.models.generator import Chain, Edit, GeneratorModule, Step
from forgetting.models.units import GAIN, SLOPE, Layer

BoundLayer = Callable[[Tensor], Tensor]
"""An operation with the face folded in: [B, C, H, W] -> [B, C', H', W']."""


def describe_mapping(widths: Iterable[int]) -> tuple[Layer, ...]:
    """Return the layers of the units of a mapping network, by the widths of its linear layers."""
    return tuple(Layer.of_kind("mapping", str(k), width) for k, width in enumerate(widths))


def run_mapping_layers(
    x: Tensor, dense: Iterable[nn.Module], layers: Sequence[Layer], edit: Edit | None
) -> Tensor:
    """Return ``x`` [B, N] after linear layers, each with a leaky ReLU and its gain."""
    for linear, layer in zip(dense, layers, strict=True):
        x = unit_kinds.edit_vector(F.leaky_relu(linear(x), SLOPE) * GAIN, layer, edit)
    return x


class MappingNetwork(nn.Module):
    """The mapping network of StyleGAN2 and StyleGAN3, with its truncation.

    Learning-rate multipliers and the scaling by fan-in are part of the weights. ``w_avg`` is the
    centre of truncation.

    Args:
        z_dim: the width of ``z``.
        widths: numbers of outputs of the linear layers.
        labels: number of classes.
        embed: the width in which a class stands beside ``z``. Each of the two is normalised by
            itself (Karras et al. 2020, "Training Generative Adversarial Networks with Limited
            Data", appendix D).
        centre: whether there is a centre of truncation; without one psi must be 1.
    """

    def __init__(
        self,
        z_dim: int,
        widths: Sequence[int],
        labels: int = 0,
        embed: int = 0,
        centre: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.labels = z_dim, labels
        self.embed = nn.Linear(labels, embed) if labels else None
        inputs = (z_dim + embed * bool(labels), *widths)
        self.dense = nn.ModuleList(nn.Linear(i, o) for i, o in zip(inputs, widths, strict=False))
        self.mapping_unit_layers = describe_mapping(widths)
        self.register_buffer("w_avg", torch.zeros(widths[-1]) if centre else None)

    def forward(
        self, z: Tensor, psi: float, label: Tensor | None, edit: Edit | None = None
    ) -> Tensor:
        """Return the truncated ``w`` [B, w_dim] of ``z`` [B, z_dim] and a label [B, labels]."""
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        x = pixel_norm(z)
        if self.embed is not None:
            x = torch.cat((x, pixel_norm(self.embed(label))), dim=1)
        x = run_mapping_layers(x, self.dense, self.mapping_unit_layers, edit)
        if self.w_avg is None:
            # A tensor is psi of faces that were mapped before, see WithMapping.
            if not isinstance(psi, Tensor) and psi != 1:
                raise RequestError(
                    "this network has no centre of truncation (w_avg), so it cannot be truncated; "
                    f"set latent.psi=1, got {psi:g}"
                )
            return x
        return torch.lerp(cast(Tensor, self.w_avg), x, psi)


class StyleGenerator(GeneratorModule):
    """What all style-based generators do in the same way.

    A subclass has ``convs``, the convolutions of its layers in their order, each with ``bias``
    and ``size``, and ``to_image``, which makes the picture. It calls :meth:`describe_layers` at
    the end of its constructor and implements :meth:`chain_steps`. Its mapping network is
    ``style``, or it implements :meth:`map_to_w` and :attr:`mapping_parameters`.
    """

    w_dim: int
    num_ws: int
    convs: Any
    to_image: Any
    bypassed = False
    phased = False
    """Whether the last step returns four phases of the picture."""

    lacks_channels = False
    """Whether :meth:`chain_steps` can leave out channels."""

    def describe_layers(
        self, names: Iterable[str], own: Mapping[int, nn.Module | Tensor] | None = None
    ) -> None:
        """Set the layers of all convolutions, and those of other units.

        Args:
            names: of the layers.
            own: what belongs to a layer besides its convolution, by the number of the layer.
        """
        own = own or {}
        self.layers = tuple(
            Layer(
                name,
                len(conv.bias),
                conv.size,
                parameter_count(conv, *([own[k]] if k in own else ())),
            )
            for k, (name, conv) in enumerate(zip(names, self._convs(), strict=True))
        )
        self.parameter_layers = unit_kinds.collect_parameter_layers(self, self.layers)

    @property
    def mapping_parameters(self) -> int:
        """The number of values of the mapping network; the centre of truncation is no weight."""
        return parameter_count(*cast(nn.Module, self.style).parameters())

    @property
    def image_parameters(self) -> int:
        """The number of values that make the picture of the last maps."""
        return parameter_count(self.to_image)

    def map_to_w(self, z: Tensor, psi: float, label: Tensor | None, edit: Edit | None) -> Tensor:
        """Return ``w`` [B, w_dim], truncated by ``psi``."""
        w: Tensor = cast(nn.Module, self.style)(z, psi, label, edit)
        return w

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``ws`` [B, L, W]: the same ``w`` for every use of it."""
        return self.map_to_w(z, psi, label, edit)[:, None].expand(-1, self.num_ws, -1)

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Chain:
        """Fold in the styles of ``ws`` [B, L, W], and return the chain."""
        check_ws(ws, self.num_ws, self.w_dim)
        return self._chain(self.chain_steps(ws, edit, {}))

    def bind_remaining(self, ws: Tensor, remaining: Mapping[str, Tensor]) -> Chain | None:
        """Return the chain of a face whose layers have the ``remaining`` channels alone."""
        if not self.lacks_channels:
            return None
        check_ws(ws, self.num_ws, self.w_dim)
        return self._chain(self.chain_steps(ws, None, remaining))

    def _chain(self, steps: Iterable[Step]) -> Chain:
        return Chain(tuple(steps), self.bypassed, depth_to_space if self.phased else None)

    def chain_steps(
        self, ws: Tensor, edit: Edit | None, remaining: Mapping[str, Tensor]
    ) -> Iterator[Step]:
        """Return the steps of the faces ``ws`` [B, L, W]; the last one makes the picture.

        Args:
            ws: the faces.
            edit: of styles, weights and noise.
            remaining: the channels that remain of layers that lack some, by name; empty unless
                ``lacks_channels``.
        """
        raise NotImplementedError

    def incoming(self, layer: Layer) -> Tensor:
        """Return the kernel of the layer's convolution, [C, N]."""
        return self._kernel(layer).flatten(1)

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the next convolution's kernel, [C, M]; of the last layer, that of the picture."""
        k = self.layers.index(layer) + 1
        is_last = k == len(self.layers)
        weight = self._image_weight() if is_last else self._kernel(self.layers[k])
        return weight.transpose(0, 1).flatten(1)

    def _convs(self) -> list[Any]:
        return [*self.convs.children()]

    def _conv(self, layer: Layer) -> Any:
        return self._convs()[self.layers.index(layer)]

    def _kernel(self, layer: Layer) -> Tensor:
        """Return the kernel [out, in, ...] of a layer."""
        return cast(Tensor, self._conv(layer).weight)

    def _image_weight(self) -> Tensor:
        """Return the kernel [image channels, in, ...] of the last convolution."""
        return cast(Tensor, self.to_image.weight)


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the picture, without demodulation, noise or filters."""

    modulated = "weight"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, 1, 1, std=1 / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style_layer = Layer.of_kind("styles", name, inputs)
        self.weight_layers = unit_kinds.weight_layers(name, self, "weight")

    def fold(
        self,
        w: Tensor,
        edit: Edit | None,
        clamp: float | None,
        inputs: Tensor | None = None,
        scale: float = 1.0,
    ) -> BoundLayer:
        """Return the convolution for the faces ``w`` [B, w_dim].

        Args:
            w: the faces.
            edit: of styles and weights.
            clamp: the limit of its output.
            inputs: the channels that remain of the input; None is all.
            scale: of the output, once it is limited.
        """
        style, weight = fold_style(self, w, edit)
        style, weight = taken(style, 1, inputs), taken(weight, 1, inputs)
        weight = (weight * style[:, None, :, None, None]).flatten(0, 1)  # [B * image, in, 1, 1]
        weight = weight * scale
        bias, faces = self.bias * scale, len(w)
        bias = bias if faces == 1 else bias.repeat(faces)

        def run(x: Tensor) -> Tensor:
            x = conv2d_per_face(x, weight, bias, padding=0, groups=1, faces=faces)
            return x if clamp is None else x.clamp(-clamp * scale, clamp * scale)

        return run


def taken(x: Tensor, dimension: int, index: Tensor | None) -> Tensor:
    """Return the entries of ``x`` along a dimension; all of them for None."""
    return x if index is None else x.index_select(dimension, index)


def fold_style(module: Any, w: Tensor, edit: Edit | None) -> tuple[Tensor, Tensor]:
    """Return styles [B, in] and weight of a convolution for ``w`` [B, w_dim], both edited."""
    style = unit_kinds.edit_vector(module.affine(w), module.style_layer, edit)
    return style, unit_kinds.edit_weight(module.weight, module.weight_layers["weight"], edit)
