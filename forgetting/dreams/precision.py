"""The choice of a precision for dreams: by the processor, the amount of work, and the error.

No clock is read, see :mod:`forgetting.engines.precision`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.engines.processor import fast_precisions
from forgetting.models.flops import count_multiply_adds

MIN_COSINE = 0.9
"""Cosine between the gradients in float32 and in a lower precision that must be kept.

A step goes a few levels of 255 along a gradient that is equalised, so its exactness counts for
little.
"""

MIN_MULTIPLY_ADDS = 1_000_000_000
"""The multiply-adds of a gradient from which on a lower precision is faster in torch.

``make precisions`` measured it, see ``docs/benchmarks.md``.
"""


def choose_precision(gradient: ObjectiveGradient, picture: Tensor) -> tuple[str, str]:
    """Return the precision of a dream, and why it was chosen.

    Args:
        gradient: that the dream follows, in float32.
        picture: [1, 3, H, W] in [-1, 1], the first one; its first tile is tried.
    """
    device = picture.device.type
    precision = {"cpu": "bfloat16", "cuda": "float16"}.get(device)
    if precision is None or precision not in fast_precisions(device):
        return "float32", "this processor computes no lower precision faster"
    tile = picture[:, :, : gradient.tile, : gradient.tile]
    exact, cost = count_multiply_adds(lambda: gradient.gradient(tile))
    size = f"a gradient takes {cost / 1e6:,.0f} million multiply-adds"
    if cost < MIN_MULTIPLY_ADDS:
        least = f"{MIN_MULTIPLY_ADDS / 1e6:,.0f} million"
        return "float32", f"{size}, and a lower precision pays from {least} on"
    rough = replace(gradient, precision=getattr(torch, precision)).gradient(tile)
    cosine = float(F.cosine_similarity(exact.flatten(), rough.flatten(), dim=0))
    kept = f"the direction of its gradient keeps a cosine of {cosine:.2f} (at least {MIN_COSINE})"
    if not cosine >= MIN_COSINE:
        return "float32", f"in {precision}, {kept}"
    return precision, f"this processor has instructions for {precision}, {size}, and {kept}"
