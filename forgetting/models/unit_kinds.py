"""Units that are no maps: styles, single weights, neurons of the mapping network.

A module says what it has by attributes: ``style`` is the layer of its modulation (``affine`` makes it, and the parameter
named by ``heard`` listens to it; a name that begins with a dot counts from the network), ``synapses`` are the layers of
its parameters by their names, ``neurons`` those of the linear layers in ``dense``. Where such a thing is used it is shown
to an edit on the way, as a map of one pixel. So is noise, under the name of ``grain``; but that has no units who die.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError, check_choice
from forgetting.models.architectures.ops import GAIN, SLOPE
from forgetting.models.generator import Edit, Generator, ParameterLayer
from forgetting.models.units import PICTURE, UNIT_KINDS, Layer, Units


def collect_parameter_layers(
    network: nn.Module, layers: Sequence[Layer]
) -> dict[str, ParameterLayer]:
    """All parts of a network, by the names of their layers: kind after kind, in the order of the ``layers`` of channels."""

    def place(part: ParameterLayer) -> tuple[int, int]:
        name = part.layer.name.partition("/")[2]
        if part.layer.kind == "mapping":
            return UNIT_KINDS.index("mapping"), 0
        behind = [k for k, layer in enumerate(layers) if f"{name}.".startswith(f"{layer.name}.")]
        # What makes a picture of a resolution, ``b8.image``, comes after all layers there.
        there = behind or [
            k
            for k, layer in enumerate(layers)
            if layer.name.startswith(f"{name.rpartition('.')[0]}.")
        ]
        return UNIT_KINDS.index(part.layer.kind), max(there, default=len(layers))

    return {part.layer.name: part for part in sorted(_walked(network), key=place)}


def _walked(network: nn.Module) -> Iterator[ParameterLayer]:
    for path, module in network.named_modules():
        at = f"{path}." if path else ""
        if isinstance(style := getattr(module, "style", None), Layer):
            by = cast(str, module.heard)
            yield ParameterLayer(
                style,
                f"{at}affine.weight",
                f"{at}affine.bias",
                by[1:] if by.startswith(".") else f"{at}{by}",
            )
        for name, layer in getattr(module, "synapses", {}).items():
            yield ParameterLayer(layer, f"{at}{name}")
        neurons = getattr(module, "neurons", ())
        for k, layer in enumerate(neurons):
            heard = f"{at}dense.{k + 1}.weight" if k + 1 < len(neurons) else None
            yield ParameterLayer(layer, f"{at}dense.{k}.weight", f"{at}dense.{k}.bias", heard)


def weight_layers(name: str, module: nn.Module, *parameters: str) -> dict[str, Layer]:
    """What a module called ``name`` says of its ``parameters``."""
    several = len(parameters) > 1
    shapes = {parameter: module.get_parameter(parameter) for parameter in parameters}
    return {
        p: Layer(f"weights/{name}.{p}" if several else f"weights/{name}", tensor.numel())
        for p, tensor in shapes.items()
    }


def edit_vector(x: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """Styles or neurons [B, C] after the edit."""
    return x if edit is None else edit(x[:, :, None, None], layer)[:, :, 0, 0]


def edit_weight(weight: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """A parameter after the edit of its synapses."""
    return (
        weight
        if edit is None
        else edit(weight.detach().reshape(1, -1, 1, 1).clone(), layer).reshape(weight.shape)
    )


def edit_noise(noise: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """The noise of a layer after the edit."""
    return noise if edit is None else edit(noise.clone(), layer)


def units_of_kinds(generator: Generator, kinds: str | Iterable[str]) -> Units:
    """All units of those kinds.

    Raises:
        RequestError: there is no such kind, or the network has none of it.
    """
    layers: list[Layer] = []
    for kind in [kinds] if isinstance(kinds, str) else dict.fromkeys(kinds):
        check_choice("units", kind, UNIT_KINDS)
        ours: tuple[Layer, ...] = (PICTURE,)
        if kind != "picture":
            ours = (
                generator.layers
                if kind == "channels"
                else tuple(p.layer for p in generator.parts.values() if p.layer.kind == kind)
            )
        if not ours:
            here = ", ".join(
                dict.fromkeys(["channels", *(part.layer.kind for part in generator.parts.values())])
            )
            raise RequestError(f"this network has no {kind} whose units could die; it has {here}")
        layers += ours
    return Units(tuple(layers))


def incoming_weights(generator: Generator, layer: Layer) -> Tensor:
    """[C, N]: the weights through which each unit hears; a synapse is one itself."""
    if layer == PICTURE:
        return torch.ones(1, 1)
    if layer.kind == "channels":
        return generator.incoming(layer)
    part = generator.parts[layer.name]
    return generator.get_parameter(part.weight).reshape(layer.channels, -1)


def outgoing_weights(generator: Generator, layer: Layer) -> Tensor:
    """[C, M]: the weights through which each unit is heard; where it is heard by all alike, ones."""
    if layer.kind == "channels":
        return generator.outgoing(layer)
    heard = None if layer == PICTURE else generator.parts[layer.name].heard
    if heard is None:
        return torch.ones(layer.channels, 1)
    weight = generator.get_parameter(heard)
    # Of a depthwise convolution, [in, 1, k, k], the inputs come first; of a wavelet's, every input has four bands.
    weight = (
        weight.flatten(1)
        if weight.ndim == 4 and weight.shape[1] == 1
        else weight.transpose(0, 1).flatten(1)
    )
    return weight.repeat(layer.channels // len(weight), 1)


def bias_only_output(generator: Generator, layer: Layer) -> Tensor:
    """What units say once their incoming weights are zero, [1, C, 1 or H, 1 or W]; a synapse says nothing then."""
    if layer.kind == "channels":
        return generator.rest(layer)
    bias = None if layer == PICTURE else generator.parts[layer.name].bias
    if bias is None:
        return torch.zeros(1, layer.channels, 1, 1)
    said = generator.get_parameter(bias)[None, :, None, None]
    return F.leaky_relu(said, SLOPE) * GAIN if layer.kind == "mapping" else said
