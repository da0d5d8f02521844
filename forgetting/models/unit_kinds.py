"""Units that are no maps: styles, single weights, and the units of the mapping network.

A module describes its units by attributes:

- ``style_layer`` is the layer of its styles, which its module ``affine`` computes. ``modulated``
  names the parameter that they scale; a name that begins with a dot counts from the network.
- ``weight_layers`` are the layers of its single weights, by the name of the parameter.
- ``mapping_unit_layers`` are the layers of the linear layers in ``dense``.
- ``noise_layer`` names its noise. Edits are called with noise, which has no units to ablate.

Where such values are used, an edit is called with them, as with a map of one pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.errors import RequestError, check_choice
from forgetting.models.generator import Edit, Generator, ParameterLayer
from forgetting.models.units import GAIN, PICTURE, SLOPE, UNIT_KINDS, Layer, Units


def collect_parameter_layers(
    network: nn.Module, layers: Sequence[Layer]
) -> dict[str, ParameterLayer]:
    """Return all layers of units that are no maps, by name.

    They are sorted by kind and then in the order of ``layers``, which are those of channels.
    """
    kinds = list(UNIT_KINDS)

    def position(parameter_layer: ParameterLayer) -> tuple[int, int]:
        kind, _, name = parameter_layer.layer.name.partition("/")
        if kind == "mapping":
            return kinds.index(kind), 0
        own = [k for k, layer in enumerate(layers) if f"{name}.".startswith(f"{layer.name}.")]
        # What makes a picture of a resolution, ``b8.image``, comes after all layers of that
        # resolution.
        same_resolution = [
            k
            for k, layer in enumerate(layers)
            if layer.name.startswith(f"{name.rpartition('.')[0]}.")
        ]
        return kinds.index(kind), max(own or same_resolution, default=len(layers))

    return {
        parameter_layer.layer.name: parameter_layer
        for parameter_layer in sorted(_parameter_layers(network), key=position)
    }


def _parameter_layers(network: nn.Module) -> Iterator[ParameterLayer]:
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        style_layer = getattr(module, "style_layer", None)
        if style_layer is not None:
            modulated = cast(str, module.modulated)
            yield ParameterLayer(
                style_layer,
                f"{prefix}affine.weight",
                f"{prefix}affine.bias",
                modulated[1:] if modulated.startswith(".") else f"{prefix}{modulated}",
            )
        for name, layer in getattr(module, "weight_layers", {}).items():
            yield ParameterLayer(layer, f"{prefix}{name}")
        mapping_unit_layers = getattr(module, "mapping_unit_layers", ())
        for k, layer in enumerate(mapping_unit_layers):
            is_last = k + 1 == len(mapping_unit_layers)
            outgoing = None if is_last else f"{prefix}dense.{k + 1}.weight"
            dense = f"{prefix}dense.{k}"
            yield ParameterLayer(layer, f"{dense}.weight", f"{dense}.bias", outgoing)


def weight_layers(name: str, module: nn.Module, *parameters: str) -> dict[str, Layer]:
    """Return the layers of single weights of a module called ``name``, by their ``parameters``."""
    several = len(parameters) > 1
    return {
        parameter: Layer.of_kind(
            "weights",
            f"{name}.{parameter}" if several else name,
            module.get_parameter(parameter).numel(),
        )
        for parameter in parameters
    }


def edit_vector(x: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """Return styles or mapping units [B, C] after the edit."""
    return x if edit is None else edit(x[:, :, None, None], layer)[:, :, 0, 0]


def edit_weight(weight: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """Return a parameter after the edit of its single weights."""
    if edit is None:
        return weight
    return edit(weight.detach().reshape(1, -1, 1, 1).clone(), layer).reshape(weight.shape)


def edit_noise(noise: Tensor, layer: Layer, edit: Edit | None) -> Tensor:
    """Return the noise [1, 1, H, W] of a layer after the edit."""
    return noise if edit is None else edit(noise.clone(), layer)


def layers_of_kind(generator: Generator, kind: str) -> tuple[Layer, ...]:
    """Return the layers of all units of a kind; none if the network has none."""
    if kind == "channels":
        return generator.layers
    if kind == PICTURE.kind:
        return (PICTURE,)
    layers = (parameter_layer.layer for parameter_layer in generator.parameter_layers.values())
    return tuple(layer for layer in layers if layer.kind == kind)


def units_of_kinds(generator: Generator, kinds: str | Iterable[str]) -> Units:
    """Return all units of these kinds.

    Raises:
        RequestError: there is no such kind, or the network has no units of it.
    """
    layers: list[Layer] = []
    for kind in [kinds] if isinstance(kinds, str) else dict.fromkeys(kinds):
        check_choice("units", kind, tuple(UNIT_KINDS))
        of_kind = layers_of_kind(generator, kind)
        if not of_kind:
            available = [name for name in UNIT_KINDS if layers_of_kind(generator, name)]
            raise RequestError(
                f"this network has no {kind} to ablate; it has {', '.join(available)}"
            )
        layers += of_kind
    return Units(tuple(layers))


def incoming_weights(generator: Generator, layer: Layer) -> Tensor:
    """Return the weights through which each unit gets its input, [C, N].

    A unit that is a weight has itself; the picture's unit has a one.
    """
    if layer.kind == "channels":
        return generator.incoming(layer)
    parameter_layer = _parameter_layer(generator, layer)
    if parameter_layer is None:
        return torch.ones(layer.channels, 1)
    return generator.get_parameter(parameter_layer.weight).reshape(layer.channels, -1)


def outgoing_weights(generator: Generator, layer: Layer) -> Tensor:
    """Return the weights through which each unit reaches the next layer, [C, M].

    Units that have no such weights have ones.
    """
    if layer.kind == "channels":
        return generator.outgoing(layer)
    parameter_layer = _parameter_layer(generator, layer)
    if parameter_layer is None or parameter_layer.outgoing is None:
        return torch.ones(layer.channels, 1)
    weight = generator.get_parameter(parameter_layer.outgoing)
    # The inputs of a depthwise convolution, [in, 1, k, k], come first.
    if weight.ndim == 4 and weight.shape[1] == 1:
        weight = weight.flatten(1)
    else:
        weight = weight.transpose(0, 1).flatten(1)
    # Each input of a wavelet has four bands.
    return weight.repeat(layer.channels // len(weight), 1)


def bias_only_output(generator: Generator, layer: Layer) -> Tensor:
    """Return the values of units once their incoming weights are zero, [1, C, 1 or H, 1 or W].

    Units without a bias are zero.
    """
    if layer.kind == "channels":
        return generator.bias_only_output(layer)
    parameter_layer = _parameter_layer(generator, layer)
    if parameter_layer is None or parameter_layer.bias is None:
        return torch.zeros(1, layer.channels, 1, 1)
    bias = generator.get_parameter(parameter_layer.bias)[None, :, None, None]
    return F.leaky_relu(bias, SLOPE) * GAIN if layer.kind == "mapping" else bias


def _parameter_layer(generator: Generator, layer: Layer) -> ParameterLayer | None:
    """The parameters of a layer; None for the picture's unit, which has none."""
    return None if layer.kind == PICTURE.kind else generator.parameter_layers[layer.name]
