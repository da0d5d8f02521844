"""Classifiers of ours in the layouts that other people's files have.

This is the inverse of what ``forgetting.models.classifier_file`` recognises.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from forgetting.models.classifier_networks import CLASSIFIERS


def random_network(name: str, classes: int) -> nn.Module:
    """Return a network with small random weights, whose activations neither vanish nor explode."""
    network = CLASSIFIERS[name].build(classes)
    draw = torch.Generator().manual_seed(7)
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=draw)
        if tensor.ndim > 1:
            values *= (2 / tensor[0].numel()) ** 0.5
        elif key.endswith(("running_var", "weight")):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        tensor.data.copy_(values)
    return network.eval().requires_grad_(False)


def places365_checkpoint(network: nn.Module, arch: str) -> dict[str, Any]:
    """Return what the training script of the Places project saves of a network."""
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    return {"epoch": 90, "arch": arch, "state_dict": state, "best_prec1": 54.2}


def caffe_port(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the names of ``googlenet_places365.pth``, and the head that it has besides."""
    stem = {"conv1": "conv1_7x7_s2", "conv2": "conv2_3x3_reduce", "conv3": "conv2_3x3"}
    heads = {
        "fc": "loss3_classifier",
        "aux2.loss_conv": "loss2_conv",
        "aux2.loss_fc": "loss2_fc_1",
        "aux2.loss_classifier": "loss2_classifier_1",
    }
    ours = {}
    for name, tensor in state.items():
        layer, _, parameter = name.rpartition(".")
        layer = (stem | heads).get(layer) or re.sub(r"mixed(..)\.(conv_)?", r"inception_\1_", layer)
        ours[f"{layer}.{parameter}"] = tensor
    return {**ours, "loss1_conv.weight": torch.zeros(128, 512, 1, 1)}


def tensorflow_port(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the names of ``inception5h.pth``."""
    outside = {f"conv{n + 1}": f"conv2d{n}_pre_relu_conv" for n in range(3)}
    outside["fc"] = "softmax2_pre_activation_matmul"
    ours = {}
    for name, tensor in state.items():
        layer, _, parameter = name.rpartition(".")
        if layer not in outside:
            module, _, branch = layer.partition(".")
            branch = branch.removeprefix("conv_").replace("pool_proj", "pool_reduce")
            if not branch.startswith("pool"):
                branch = branch.replace("_reduce", "_bottleneck")
            layer = f"{module}_{branch}_pre_relu_conv"
        ours[f"{outside.get(layer, layer)}.{parameter}"] = tensor
    return ours


def restructured(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the names of ``pt_places365.pth``: ours, and another head."""
    return {**state, "aux1.loss_conv.weight": torch.zeros(128, 512, 1, 1)}


def python2_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Return a checkpoint as torch 0.2 wrote it in Python 2: in the legacy format, on a GPU.

    All texts are byte strings, state dicts are ordered dicts that get their pairs as an argument,
    and batch normalisations count no batches.
    """
    tensors: list[Tensor] = []

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def instructions(value: Any) -> bytes:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, int):
            return number(value)
        if isinstance(value, tuple):
            return b"(" + b"".join(map(instructions, value)) + b"t"
        if isinstance(value, Tensor):
            tensors.append(value)
            persistent_id = (
                b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(len(tensors)))
            ) + (text("cuda:0") + number(value.numel()) + b"NtQ")
            rest = (0, tuple(value.shape), value.stride())
            return (
                b"ctorch._utils\n_rebuild_tensor\n("
                + persistent_id
                + b"".join(map(instructions, rest))
                + b"tR"
            )
        items = b"".join(
            b"](" + text(name) + instructions(child) + b"e"
            for name, child in value.items()
            if not name.endswith("num_batches_tracked")
        )
        return b"ccollections\nOrderedDict\n(](" + items + b"etR"

    root = b"\x80\x02" + instructions(dict(checkpoint)) + b"."
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    content = b"".join(pickle.dumps(value, 2) for value in head) + root
    content += pickle.dumps([str(number + 1) for number in range(len(tensors))], 2)
    for tensor in tensors:
        content += struct.pack("<q", tensor.numel()) + tensor.contiguous().numpy().tobytes()
    return content
