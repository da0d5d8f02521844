"""What StyleGAN2 and StyleGAN3 share: the mapping network (Karras et al. 2019, "A Style-Based Generator Architecture for
Generative Adversarial Networks", section 2), and the way from the last maps to the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models import unit_kinds
from forgetting.models.architectures.ops import (
    GAIN,
    SLOPE,
    check_label,
    check_z,
    conv2d_per_face,
    init_normal,
    pixel_norm,
)
from forgetting.models.generator import Edit
from forgetting.models.units import Layer

BoundLayer = Callable[[Tensor], Tensor]
"""Something with the face folded in: [B, C, H, W] -> [B, C', H', W']."""


class MappingNetwork(nn.Module):
    """Linear layers of ``widths`` outputs, each followed by a leaky ReLU and times the square root of two.

    Learning-rate multipliers and the scaling by fan-in are part of the weights. ``embed`` is the width in which a class
    stands beside ``z``; each of the two is normalised by itself (Karras et al. 2020, "Training Generative Adversarial
    Networks with Limited Data", appendix D). ``w_avg`` is the centre of truncation.
    """

    def __init__(self, z_dim: int, widths: Sequence[int], labels: int = 0, embed: int = 0) -> None:
        super().__init__()
        self.z_dim, self.labels = z_dim, labels
        self.embed = nn.Linear(labels, embed) if labels else None
        inputs = (z_dim + embed * bool(labels), *widths)
        self.dense = nn.ModuleList(nn.Linear(i, o) for i, o in zip(inputs, widths, strict=False))
        self.neurons = tuple(Layer(f"mapping/{k}", width) for k, width in enumerate(widths))
        self.register_buffer("w_avg", torch.zeros(widths[-1]))

    def forward(
        self, z: Tensor, psi: float, label: Tensor | None, edit: Edit | None = None
    ) -> Tensor:
        """[B, z_dim], [B, labels] or None -> [B, w_dim], truncated by ``psi``."""
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        x = pixel_norm(z)
        if self.embed is not None:
            x = torch.cat((x, pixel_norm(self.embed(label))), dim=1)
        for dense, layer in zip(self.dense, self.neurons, strict=True):
            x = unit_kinds.edit_vector(F.leaky_relu(dense(x), SLOPE) * GAIN, layer, edit)
        return torch.lerp(cast(Tensor, self.w_avg), x, psi)


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the picture's channels; no demodulation, no noise, no filters."""

    heard = "weight"

    def __init__(self, name: str, w_dim: int, inputs: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(w_dim, inputs)
        self.weight = init_normal(channels, inputs, 1, 1, std=1 / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style, self.synapses = (
            Layer(f"styles/{name}", inputs),
            unit_kinds.weight_layers(name, self, "weight"),
        )

    def fold(
        self, w: Tensor, edit: Edit | None, clamp: float | None, scale: float = 1.0
    ) -> BoundLayer:
        """The picture of the faces ``w`` [B, w_dim], limited to ``clamp`` and then scaled."""
        style, weight = (
            unit_kinds.edit_vector(self.affine(w), self.style, edit),
            unit_kinds.edit_weight(self.weight, self.synapses["weight"], edit),
        )
        weight = (weight * style[:, None, :, None, None]).flatten(
            0, 1
        ) * scale  # [B * image, in, 1, 1]
        bias, faces = self.bias * scale, len(w)
        bias = bias if faces == 1 else bias.repeat(faces)

        def run(x: Tensor) -> Tensor:
            x = conv2d_per_face(x, weight, bias, padding=0, groups=1, faces=faces)
            return x if clamp is None else x.clamp(-clamp * scale, clamp * scale)

        return run
