"""GoogLeNet, or InceptionV1 (Szegedy et al. 2015, "Going Deeper with Convolutions", table 1).

Two versions from before batch normalisation are widespread: Caffe's, which was trained on ImageNet
and on Places, and TensorFlow's "5h", with which "Inceptionism" was made. They differ in three
widths, in the padding of the first convolution, and in the normalisation of responses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models.architectures.efficientnet import SameConv

MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
"""The modules from low to high; a pooling stands before each change of the digit."""


@dataclass(frozen=True)
class Version:
    """What the versions of the network do not share.

    Args:
        conv_4a: channels of the 3x3 convolution of module 4a.
        reduce_5a: channels in front of the 5x5 convolution of module 5a.
        response: size, alpha, beta and k of the normalisation of responses.
        same: whether the first convolution pads as in TensorFlow.
    """

    conv_4a: int
    reduce_5a: int
    response: tuple[int, float, float, float]
    same: bool

    def widths(self) -> dict[str, tuple[int, int, int, int, int, int]]:
        """Return the channels of each module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool."""
        return {
            "3a": (64, 96, 128, 16, 32, 32),
            "3b": (128, 128, 192, 32, 96, 64),
            "4a": (192, 96, self.conv_4a, 16, 48, 64),
            "4b": (160, 112, 224, 24, 64, 64),
            "4c": (128, 128, 256, 24, 64, 64),
            "4d": (112, 144, 288, 32, 64, 64),
            "4e": (256, 160, 320, 32, 128, 128),
            "5a": (256, 160, 320, self.reduce_5a, 128, 128),
            "5b": (384, 192, 384, 48, 128, 128),
        }


CAFFE = Version(208, 32, (5, 1e-4, 0.75, 1.0), same=False)
# TensorFlow takes a radius of 5, a bias of 2 and an alpha that is not divided by the size.
TENSORFLOW = Version(204, 48, (11, 11e-4, 0.5, 2.0), same=True)


class InceptionModule(nn.Module):
    """Four branches side by side; their maps are concatenated."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, reduce_3, three, reduce_5, five, pool = widths
        self.conv_1x1 = nn.Conv2d(inputs, one, 1)
        self.conv_3x3_reduce = nn.Conv2d(inputs, reduce_3, 1)
        self.conv_3x3 = nn.Conv2d(reduce_3, three, 3, padding=1)
        self.conv_5x5_reduce = nn.Conv2d(inputs, reduce_5, 1)
        self.conv_5x5 = nn.Conv2d(reduce_5, five, 5, padding=2)
        self.pool_proj = nn.Conv2d(inputs, pool, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H, W] of ``x`` [B, C, H, W]."""
        relu = self.relu
        three = relu(self.conv_3x3(relu(self.conv_3x3_reduce(x))))
        five = relu(self.conv_5x5(relu(self.conv_5x5_reduce(x))))
        pooled = relu(self.pool_proj(F.max_pool2d(x, 3, 1, 1)))
        return torch.cat((relu(self.conv_1x1(x)), three, five, pooled), 1)


class AuxiliaryHead(nn.Module):
    """The logits from the maps of module 4d: the second auxiliary head of the paper.

    Converted files of Caffe's networks hold this head and lack the last one.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.loss_conv = nn.Conv2d(528, 128, 1)
        self.loss_fc = nn.Linear(2048, 1024)
        self.loss_classifier = nn.Linear(1024, classes)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of maps ``x`` [B, 528, H, W] of any size."""
        pooled = F.avg_pool2d(F.adaptive_avg_pool2d(x, 14), 5, 3)  # [B, 528, 4, 4]
        features = self.relu(self.loss_fc(self.relu(self.loss_conv(pooled)).flatten(1)))
        logits: Tensor = self.loss_classifier(features)
        return logits


class InceptionV1(nn.Module):
    """The network from pictures [B, 3, H, W] to logits [B, classes].

    Args:
        classes: their number.
        version: Caffe's or TensorFlow's.
        auxiliary: whether the logits are those of the second auxiliary head.
    """

    def __init__(self, classes: int, version: Version, auxiliary: bool = False) -> None:
        super().__init__()
        first = SameConv(3, 64, 7, 2) if version.same else nn.Conv2d(3, 64, 7, 2, 3)
        self.conv1: nn.Conv2d = first
        self.conv2 = nn.Conv2d(64, 64, 1)
        self.conv3 = nn.Conv2d(64, 192, 3, padding=1)
        self.relu = nn.ReLU()
        self.response = version.response
        inputs = 192
        for name, widths in version.widths().items():
            self.add_module(f"mixed{name}", InceptionModule(inputs, widths))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.auxiliary = auxiliary
        if auxiliary:
            self.aux2 = AuxiliaryHead(classes)
        else:
            self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of pictures ``x`` [B, 3, H, W]."""
        x = self._normalised(_pooled(self.relu(self.conv1(x))))
        x = _pooled(self._normalised(self.relu(self.conv3(self.relu(self.conv2(x))))))
        maps = dict[str, Tensor]()
        for name in MODULES:
            x = _pooled(x) if name in ("4a", "5a") else x
            x = maps[name] = self.get_submodule(f"mixed{name}")(x)
        head = self.aux2(maps["4d"]) if self.auxiliary else self.fc(x.mean((2, 3)))
        logits: Tensor = head
        return logits

    def _normalised(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, *self.response)


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


Value = TypeVar("Value")

_RENAMED = (
    (r"conv1_7x7_s2", "conv1"),
    (r"conv2_3x3_reduce", "conv2"),
    (r"conv2_3x3", "conv3"),
    (r"inception_(\d[a-e])_pool_proj", r"mixed\1.pool_proj"),
    (r"inception_(\d[a-e])_([135]x[135](?:_reduce)?)", r"mixed\1.conv_\2"),
    (r"loss2_(conv|fc|classifier)(?:_1)?", r"aux2.loss_\1"),
    (r"loss3_classifier(?:_1)?", "fc"),
    (r"conv2d0_pre_relu_conv", "conv1"),
    (r"conv2d1_pre_relu_conv", "conv2"),
    (r"conv2d2_pre_relu_conv", "conv3"),
    (r"mixed(\d[a-e])_pool_reduce_pre_relu_conv", r"mixed\1.pool_proj"),
    (r"mixed(\d[a-e])_([35]x[35])_bottleneck_pre_relu_conv", r"mixed\1.conv_\2_reduce"),
    (r"mixed(\d[a-e])_([135]x[135])_pre_relu_conv", r"mixed\1.conv_\2"),
    (r"softmax2_pre_activation_matmul", "fc"),
)
"""Names of layers in converted files of Caffe and TensorFlow, and our names."""

_OTHER_HEADS = re.compile(r"(loss1|aux1|head[01]|nn[01]|softmax[01])[._]")
"""Heads that are used in training alone."""


def renamed(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return our names and the weights of any widespread PyTorch port.

    If there is a last head, other heads are left out, else the second auxiliary head is kept.
    """
    ours = dict[str, Value]()
    for name, value in state.items():
        if _OTHER_HEADS.match(name):
            continue
        layer, _, parameter = name.rpartition(".")
        for theirs, our_layer in _RENAMED:
            if re.fullmatch(theirs, layer):
                layer = re.sub(theirs, our_layer, layer)
                break
        ours[f"{layer}.{parameter}"] = value
    if "fc.weight" in ours:
        ours = {name: value for name, value in ours.items() if not name.startswith("aux2.")}
    return ours
