"""A feature distance: how differently a network that was trained to recognise things sees two pictures.

As in Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", equation 1, on SqueezeNet 1.1 - but
all channels count alike: the calibration of LPIPS belongs to other weights, so this is no LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.analysis.metrics.plain import small
from forgetting.engines.engine import Frame
from forgetting.models.classifier_zoo import load_network

SLICES = (1, 4, 7, 9, 10, 11, 12)
"""Where SqueezeNet is listened to: the last module of each of the seven slices of Zhang et al."""

MEAN = (103.939, 116.779, 123.68)
"""Of blue, green and red, in [0, 255]: what these weights were trained with."""


def features(intact: Frame) -> Callable[[Frame], float]:
    """Feature distance (SqueezeNet 1.1) to the intact picture, at 256 pixels; 0 is the same, and 1 is about as far as pictures are."""
    reference = slice_features(intact)
    return lambda frame: (
        float(
            sum(
                (a - b).square().sum(1).mean()
                for a, b in zip(reference, slice_features(frame), strict=True)
            )
        )
        / len(SLICES)
    )


@torch.inference_mode()
def slice_features(frame: Frame) -> list[Tensor]:
    """What every slice says of a picture, of unit length at every place."""
    x = (
        torch.from_numpy(np.ascontiguousarray(small(frame)[:, :, ::-1]))
        .permute(2, 0, 1)[None]
        .float()
    )
    x = x - torch.tensor(MEAN).view(1, 3, 1, 1)
    found = []
    for number, module in enumerate(_network()):
        x = module(x)
        if number in SLICES:
            found.append(F.normalize(x, dim=1, eps=1e-10))
    return found


@cache
def _network() -> nn.Sequential:
    return cast(nn.Sequential, load_network("squeezenet-imagenet").features)
