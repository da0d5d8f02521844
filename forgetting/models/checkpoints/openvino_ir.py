"""OpenVINO IR, read as data: the graph from the ``.xml``, constants by offset from the ``.bin``.

It reads only what is needed to extract a network's weights; nothing is run. The layout of
MobileStyleGAN is derived from the structure of the graph, because the exporter dropped the names of
some tensors.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from forgetting.errors import CheckpointError


@dataclass(frozen=True)
class Node:
    """An operation: its kind, its name, and the ids of the nodes that it reads, by port."""

    id: str
    kind: str
    name: str
    data: dict[str, str]
    inputs: list[str] = field(default_factory=list)


class Graph:
    """A graph in topological order.

    Args:
        xml: the ``.xml`` file.
        blob: the ``.bin`` file.
        origin: a name for messages.

    Raises:
        CheckpointError: the file is no OpenVINO IR.
    """

    def __init__(self, xml: bytes, blob: bytes, origin: str) -> None:
        self.blob, self.origin = blob, origin
        try:
            root = ElementTree.fromstring(xml)
        except ElementTree.ParseError as error:
            raise CheckpointError(f"{origin} is not an OpenVINO IR: {error}") from None
        self.nodes: dict[str, Node] = {}
        for layer in root.iterfind("layers/layer"):
            data = layer.find("data")
            node = Node(
                layer.get("id", ""),
                layer.get("type", ""),
                layer.get("name", ""),
                dict(data.attrib) if data is not None else {},
            )
            self.nodes[node.id] = node
        edges = sorted(root.iterfind("edges/edge"), key=lambda edge: int(edge.get("to-port", "0")))
        for edge in edges:
            self.nodes[edge.get("to-layer", "")].inputs.append(edge.get("from-layer", ""))
        self.readers: dict[str, list[Node]] = {id: [] for id in self.nodes}
        for node in self.nodes.values():
            for id in node.inputs:
                self.readers[id].append(node)

    def of_kind(self, kind: str) -> Iterator[Node]:
        """Return all nodes of a kind."""
        return (node for node in self.nodes.values() if node.kind == kind)

    def inputs(self, node: Node) -> list[Node]:
        """Return the nodes that ``node`` reads, by port."""
        return [self.nodes[id] for id in node.inputs]

    def constant(self, node: Node) -> Tensor:
        """Return the float32 value of a ``Const`` node.

        Raises:
            CheckpointError: the value is no float32, or not in the file.
        """
        try:
            offset, size = int(node.data["offset"]), int(node.data["size"])
            shape = [int(n) for n in node.data["shape"].split(",") if n.strip()]
            if node.data["element_type"] != "f32" or offset < 0 or offset + size > len(self.blob):
                raise ValueError(
                    f"{node.data['element_type']} at {offset}+{size} of {len(self.blob)} bytes"
                )
            array = np.frombuffer(self.blob, np.float32, size // 4, offset).reshape(shape)
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.origin}: constant {node.name!r} cannot be read ({error})"
            ) from None
        return torch.from_numpy(array.copy())

    def named(self, name: str) -> Tensor:
        """Return the value of the constant of that name.

        Raises:
            CheckpointError: there is none.
        """
        for node in self.of_kind("Const"):
            if node.name == name:
                return self.constant(node)
        raise CheckpointError(
            f"{self.origin} has no constant {name!r}; it is not the expected network"
        )

    def constant_input(self, node: Node) -> Tensor | None:
        """Return the constant that ``node`` reads, directly or through a reshape, if any."""
        for source in self.inputs(node):
            if source.kind == "Reshape":
                source = self.inputs(source)[0]
            if source.kind == "Const":
                return self.constant(source)
        return None


def read_mobile_stylegan(mapping: Graph, synthesis: Graph) -> dict[str, Tensor]:
    """Return the state dict of our MobileStyleGAN without ``w_avg``.

    Args:
        mapping: the graph of the mapping network.
        synthesis: the graph of the synthesis network.

    Raises:
        CheckpointError: a graph does not have the expected structure.
    """
    state: dict[str, Tensor] = {}
    for index, matmul in enumerate(mapping.of_kind("MatMul")):
        bias = mapping.constant_input(mapping.readers[matmul.id][-1])
        weight = mapping.constant_input(matmul)
        if weight is None or bias is None:
            raise CheckpointError(f"{mapping.origin}: {matmul.name!r} is not a linear layer")
        state[f"dense.{index}.weight"], state[f"dense.{index}.bias"] = weight, bias.flatten()
    pointwise, noise = _convolutions(synthesis)
    state["const"] = synthesis.named("m.input.input")

    def conv(source: str, ours: str) -> None:
        _affine(synthesis, f"{source}.conv.modulation", ours, state)
        if (depthwise := f"{source}.conv.weight_dw") in pointwise:
            # [in, 1, 1, 3, 3] -> [in, 1, 3, 3]
            state[f"{ours}.depthwise"] = synthesis.named(depthwise).flatten(1, 2)
        state[f"{ours}.{'pointwise' if depthwise in pointwise else 'weight'}"] = pointwise.get(
            depthwise, pointwise[""]
        )
        state[f"{ours}.bias"] = synthesis.named(f"{source}.bias").flatten()
        state[f"{ours}.noise"] = noise.get(depthwise, noise[""])

    conv("m.conv1", "convs.b4_conv1")
    blocks = sum(node.name.endswith(".up.modulation.weight") for node in synthesis.of_kind("Const"))
    for block in range(blocks):
        size = 8 * 2**block
        _affine(synthesis, f"m.layers.{block}.up.modulation", f"ups.b{size}_conv0", state)
        front = "convs.b4_conv1.weight" if block == 0 else f"convs.b{size // 2}_conv1.pointwise"
        names = (
            front,
            f"{front.rpartition('.')[0]}.bias",
            f"ups.b{size}_conv0.affine.weight",
            f"ups.b{size}_conv0.affine.bias",
        )
        state |= {name: _by_band(state[name]) for name in names}
        conv(f"m.layers.{block}.conv1", f"convs.b{size}_conv0")
        conv(f"m.layers.{block}.conv2", f"convs.b{size}_conv1")
    last = f"m.layers.{blocks - 1}.to_img"
    _affine(synthesis, f"{last}.conv.modulation", "to_image", state)
    state["to_image.weight"] = _by_band(synthesis.named(f"{last}.conv.weight"))
    state["to_image.bias"] = _by_band(synthesis.named(f"{last}.bias").flatten())
    return state


def _by_band(x: Tensor) -> Tensor:
    """Reorder [4C, ...]: the original has C low bands, then three details for each channel.

    Ours has four bands of C.
    """
    low, details = x[: len(x) // 4], x[len(x) // 4 :]
    return torch.cat((low, details[0::3], details[1::3], details[2::3]))


def _affine(graph: Graph, source: str, ours: str, state: dict[str, Tensor]) -> None:
    """Add a modulation's linear layer to ``state``, with the scalar behind it folded in."""
    weight, bias = graph.named(f"{source}.weight"), graph.named(f"{source}.bias").flatten()
    (node,) = (n for n in graph.of_kind("Const") if n.name == f"{source}.bias")
    add = graph.readers[node.id][0]
    scale = torch.ones(())
    for reshape in (n for n in graph.readers[add.id] if n.kind == "Reshape"):
        for product in (n for n in graph.readers[reshape.id] if n.kind == "Multiply"):
            constant = graph.constant_input(product)
            if constant is not None and constant.numel() == 1:
                scale = constant.flatten()[0]
    state[f"{ours}.affine.weight"], state[f"{ours}.affine.bias"] = weight * scale, bias * scale


def _convolutions(graph: Graph) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights and the noise of every convolution.

    Their keys are the names of the depthwise kernels in front, '' for none.
    """
    weights, noise = {}, {}
    for node in graph.of_kind("Convolution"):
        x, weight = graph.inputs(node)
        added = graph.constant_input(graph.readers[node.id][0])
        if added is None or added.ndim != 4 or added.shape[:2] != (1, 1):
            continue  # the last convolution, to RGB, has no noise
        depthwise = graph.inputs(x)[1].name if x.kind == "GroupConvolution" else ""
        weights[depthwise], noise[depthwise] = graph.constant(weight), added
    return weights, noise
