"""EfficientNet-lite2 (Tan and Le 2019, "EfficientNet: Rethinking Model Scaling", table 1).

Its width is scaled by 1.1 and its depth by 1.2. The lite variants have ReLU6 and no
squeeze-and-excitation, and scale neither the first nor the last stage. Convolutions pad as in
TensorFlow, because the weights were trained with that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels and repeats of each stage, before scaling."""

WIDTH, DEPTH = 1.1, 1.2
STEM, HEAD = 32, 1280


class SameConv(nn.Conv2d):
    """A convolution whose output has the size of its input, divided by the stride and rounded up.

    If the padding is odd, the larger part is at the end.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H / stride, W / stride] of ``x`` [B, C, H, W]."""
        (k, _), (s, _) = self.kernel_size, self.stride
        high, wide = (max((math.ceil(n / s) - 1) * s + k - n, 0) for n in x.shape[2:])
        padded = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class NormalisedConv(nn.Sequential):
    """A convolution, its normalisation, and ReLU6 if ``activated``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activated: bool = True,
    ) -> None:
        conv = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
        super().__init__(
            conv, nn.BatchNorm2d(outputs, eps=1e-3), *([nn.ReLU6()] if activated else [])
        )


class Bottleneck(nn.Module):
    """An inverted bottleneck: it widens, filters each channel, and narrows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self.expand = NormalisedConv(inputs, inner, 1)
        self.depthwise = NormalisedConv(inner, inner, kernel, stride, groups=inner)
        self.project = NormalisedConv(inner, outputs, 1, activated=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', H', W'] of ``x`` [B, C, H, W]."""
        y = self.expand(x) if hasattr(self, "expand") else x
        y = self.project(self.depthwise(y))
        output: Tensor = x + y if self.residual else y
        return output


class EfficientNetLite2(nn.Module):
    """The network from pictures [B, 3, H, W] to logits [B, classes]."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = NormalisedConv(3, STEM, 3, 2)
        blocks, channels = [], STEM
        for number, (expansion, kernel, stride, width, repeats) in enumerate(STAGES):
            outputs = _eighths(width * WIDTH)
            for repeat in range(
                repeats if number in (0, len(STAGES) - 1) else math.ceil(repeats * DEPTH)
            ):
                blocks.append(
                    Bottleneck(channels, outputs, kernel, stride if repeat == 0 else 1, expansion)
                )
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = NormalisedConv(channels, HEAD, 1)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [B, classes] of pictures ``x`` [B, 3, H, W]."""
        logits: Tensor = self.classifier(self.head(self.blocks(self.stem(x))).mean((2, 3)))
        return logits


def _eighths(width: float) -> int:
    """Return the nearest multiple of eight that is not more than a tenth below ``width``."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def renamed(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield our names and the weights of a state dict of the widespread PyTorch port."""
    parts = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "depthwise.0",
        "_bn1": "depthwise.1",
    }
    parts |= {"_project_conv": "project.0", "_bn2": "project.1"}
    outside = {
        "_conv_stem": "stem.0",
        "_bn0": "stem.1",
        "_conv_head": "head.0",
        "_bn1": "head.1",
        "_fc": "classifier",
    }
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            number, part, rest = rest.split(".", 2)
            yield f"blocks.{number}.{parts[part]}.{rest}", tensor
        else:
            yield f"{outside[first]}.{rest}", tensor
