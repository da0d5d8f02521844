"""The mapping network of StyleGAN2 and StyleGAN3 (Karras et al. 2019, "A Style-Based Generator Architecture for Generative
Adversarial Networks", section 2): ``z``, and a class where there are classes, to ``w``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.generators.ops import check_label, check_z, pixel_norm

SLOPE = 0.2


class Mapping(nn.Module):
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
        self.register_buffer("w_avg", torch.zeros(widths[-1]))

    def forward(self, z: Tensor, psi: float, label: Tensor | None) -> Tensor:
        """[B, z_dim], [B, labels] or None -> [B, w_dim], truncated by ``psi``."""
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        x = pixel_norm(z)
        if self.embed is not None:
            x = torch.cat((x, pixel_norm(self.embed(label))), dim=1)
        for dense in self.dense:
            x = F.leaky_relu(dense(x), SLOPE) * 2**0.5
        return torch.lerp(cast(Tensor, self.w_avg), x, psi)
