"""A feature distance: how different two pictures are to a network trained to recognise objects.

It is equation 1 of Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", on SqueezeNet 1.1. All channels have the same weight: the calibration of LPIPS
belongs to other network weights, so this is not LPIPS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.analysis.metrics.metric import Measure, Metric
from forgetting.analysis.metrics.picture import Picture
from forgetting.models.classifier_zoo import load_network
from forgetting.parts import part

SLICES = (1, 4, 7, 9, 10, 11, 12)
"""The last module of each of the seven slices of SqueezeNet in Zhang et al."""

MIN_SIDE = 17
"""Pixels of the smallest picture that reaches the last slice; smaller ones are enlarged."""

MEAN = (103.939, 116.779, 123.68)
"""The mean of blue, green and red, in [0, 255], with which these weights were trained."""


@part("metric/features")
@dataclass(frozen=True)
class FeatureDistance(Metric):
    """The feature distance to the intact picture at 256 pixels: 0 to about 1."""

    label: ClassVar[str] = "SqueezeNet features"
    colour: ClassVar[str | None] = "#2b6a99"
    colour_on_black: ClassVar[str | None] = "#6fb1e0"
    is_distance: ClassVar[bool] = True

    def bind(self, intact: Picture) -> Measure:
        """Return the measure."""
        reference = slice_features(intact)

        def measure(picture: Picture) -> float:
            pairs = zip(reference, slice_features(picture), strict=True)
            return float(sum((a - b).square().sum(1).mean() for a, b in pairs)) / len(SLICES)

        return measure


@torch.inference_mode()
def slice_features(picture: Picture) -> list[Tensor]:
    """Return the features [1, C, H, W] of every slice, of unit length at each position."""
    reduced = picture.reduced
    factor = -(-MIN_SIDE // min(reduced.shape[:2]))  # rounded up
    enlarged = reduced.repeat(factor, 0).repeat(factor, 1)
    blue_first = np.ascontiguousarray(enlarged[:, :, ::-1])
    x = torch.from_numpy(blue_first).permute(2, 0, 1)[None].float()  # channels last
    x = x - torch.tensor(MEAN).view(1, 3, 1, 1)
    features = []
    for number, module in enumerate(_network()):
        x = module(x)
        if number in SLICES:
            features.append(F.normalize(x, dim=1, eps=1e-10))
    return features


@cache
def _network() -> nn.Sequential:
    network = cast(nn.Sequential, load_network("squeezenet-imagenet").features)
    # In this format the convolutions take half of the time.
    return network.to(memory_format=torch.channels_last)
