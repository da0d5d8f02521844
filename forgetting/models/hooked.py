"""Any other ``nn.Module`` as a generator: hooks edit the activations of its layers.

Which of its modules are layers is recorded once (:mod:`forgetting.models.hooked_layers`). The last
layer, if what it returns has the picture's shape, makes the picture and is not edited. Hooks are
registered only while a picture is made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from forgetting.errors import RequestError, one_line
from forgetting.models.architectures.ops import check_ws, check_z, parameter_count
from forgetting.models.generator import Edit, GeneratorModule, ParameterLayer
from forgetting.models.hooked_layers import HookedLayer, forward_hooks, trace_layers
from forgetting.models.unit_kinds import edit_weight
from forgetting.models.units import Layer


class Hooked(GeneratorModule):
    """A module from latent [B, *shape] to image [B, C, H, W], as a generator.

    ``w`` is ``z`` times psi.

    Args:
        network: the module.
        shape: of the latent; None takes that of the first layer's input.
        low: the value of black in the module's pictures.
        high: the value of white.
        prepare: turns the latent into the module's input.
        to_image: turns what the module returns into a picture [B, C, H, W].

    Raises:
        RequestError: the module cannot be run, does not return pictures, or calls no layers as
        modules.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int] | None = None,
        low: float = -1.0,
        high: float = 1.0,
        prepare: Callable[[Tensor], Tensor] = torch.clone,
        to_image: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.prepare, self.to_image = prepare, to_image or _image
        try:
            if isinstance(network, torch.jit.ScriptModule):
                raise NotImplementedError
            self.network, self.low, self.high = network.eval().requires_grad_(False), low, high
        except NotImplementedError:  # what torch.export makes has no eval()
            raise RequestError(
                "hooks do not reach the layers of a scripted or exported program, which are "
                "functions; return the module it was made from"
            ) from None
        self.shape = tuple(shape) if shape else _latent_shape(network)
        self.z_dim = math.prod(self.shape)
        self.hooked_layers, image = self._trace()
        # The name of a module that is a layer itself is empty.
        last = next(reversed(self.hooked_layers), None)
        makes_image = last is not None and (
            self.hooked_layers[last].shape == tuple(image.shape[1:])
        )
        self.size = (image.shape[2], image.shape[3])
        self.layers = tuple(
            Layer(
                name,
                layer.channels,
                layer.size,
                0 if "@" in name else parameter_count(*layer.modules),
            )
            for name, layer in self.hooked_layers.items()
            if not (makes_image and name == last)
        )
        weighted = {
            layer.weighted: name.partition("@")[0] for name, layer in self.hooked_layers.items()
        }
        self.parameter_layers = {
            f"weights/{name}": ParameterLayer(
                Layer.of_kind("weights", name, module.weight.numel()), f"network.{name}.weight"
            )
            for module, name in weighted.items()
        }
        if not self.layers:
            raise RequestError(
                f"{type(network).__name__} calls no convolution or linear layer as a module "
                "besides the one that makes the picture, so there is nothing to ablate"
            )

    def _trace(self) -> tuple[dict[str, HookedLayer], Tensor]:
        """All layers by name, and a picture."""
        latent = torch.zeros(1, *self.shape)
        try:
            return trace_layers(
                self.network, lambda: self.to_image(self.network(self.prepare(latent)))
            )
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise RequestError(
                f"{type(self.network).__name__} does not take a latent of shape "
                f"{[1, *self.shape]} ({one_line(error)}); set generator.shape=[...]"
            ) from None

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``z`` times ``psi``, [B, 1, z_dim]."""
        check_z(z, self.z_dim)
        if label is not None:
            raise RequestError("a module of your own has no classes; let its factory choose one")
        return (psi * z)[:, None]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> HookedSynthesis:
        """Return the synthesis of the latents ``ws`` [B, 1, z_dim]."""
        check_ws(ws, 1, self.z_dim)
        weights = {} if edit is None else self.edited(edit)
        return HookedSynthesis(self, ws[:, 0].reshape(-1, *self.shape), weights)

    def edited(self, edit: Edit) -> dict[str, Tensor]:
        """Return all weights that have units after an edit, by their names in the module."""
        prefix = len("network.")
        return {
            parameter_layer.weight[prefix:]: edit_weight(
                self.get_parameter(parameter_layer.weight), parameter_layer.layer, edit
            )
            for parameter_layer in self.parameter_layers.values()
        }

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the bias after the modules that follow, [1, C, H, W]."""
        hooked = self.hooked_layers[layer.name]
        bias, x = hooked.weighted.bias, torch.zeros(1, layer.channels, *layer.size)
        x = hooked.from_maps(x if bias is None else x + bias[None, :, None, None])
        for module in hooked.modules[1:]:
            x = module(x)
        return hooked.to_maps(x)

    def incoming(self, layer: Layer) -> Tensor:
        """Return the weights of the layer's module, [C, N]."""
        return self.hooked_layers[layer.name].incoming()

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the weights of the first later layer with as many inputs, [C, M].

        It may also have as many after shuffling pixels or flattening. A module does not record
        which layer reads which; if no layer fits, all weights are one.
        """
        names = list(self.hooked_layers)
        for name in names[names.index(layer.name) + 1 :]:
            weights = self.hooked_layers[name].input_weights()
            if len(weights) == layer.channels:
                return weights
            if len(weights) == layer.channels * math.prod(layer.size):  # flattened
                return weights.reshape(layer.channels, -1)
            if layer.channels % len(weights) == 0:  # shuffled into more pixels
                return weights.repeat_interleave(layer.channels // len(weights), dim=0)
        return torch.ones(layer.channels, 1)


@dataclass(frozen=True)
class HookedSynthesis:
    """The synthesis of a hooked module; every picture runs the whole module.

    Args:
        generator: the module.
        latent: [B, *shape].
        weights: of the module, by name, that replace its own.
    """

    generator: Hooked
    latent: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def steps(self) -> None:
        """None: no picture can start behind the first layer."""
        return None

    @property
    def phased(self) -> bool:
        """False: the module makes the picture itself."""
        return False

    @property
    def bypassed(self) -> bool:
        """True: the way of the activations is not known."""
        return True

    def folded(self) -> HookedSynthesis:
        """Return the same synthesis: nothing can be computed once."""
        return self

    def repeated(self, count: int) -> HookedSynthesis:
        """Return the synthesis of ``count`` equal latents."""
        return replace(self, latent=self.latent.expand(count, *self.latent.shape[1:]))

    def unsorted(self, edit: Edit | None = None) -> Tensor:
        """Return the picture."""
        return self(edit)

    def __call__(self, edit: Edit | None = None) -> Tensor:
        """Return the picture under ``edit``, [B, C, H, W] in [-1, 1]."""
        generator = self.generator
        last_calls = {
            (hooked.modules[-1], hooked.call): (name, hooked)
            for name, hooked in generator.hooked_layers.items()
        }
        layers = {layer.name: layer for layer in generator.layers}
        calls = Counter[nn.Module]()

        def edit_output(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            name, hooked = last_calls.get((module, calls[module]), ("", None))
            calls[module] += 1
            if edit is None or hooked is None or name not in layers:
                return output
            return hooked.from_maps(edit(hooked.to_maps(output), layers[name]))

        modules = {module for module, _ in last_calls}
        # Noise that a module draws is the same in every picture; otherwise the film would flicker.
        with torch.random.fork_rng(devices=[]), forward_hooks(modules, edit_output):
            torch.manual_seed(0)
            network, x = generator.network, generator.prepare(self.latent)
            output = (
                functional_call(network, dict(self.weights), (x,)) if self.weights else network(x)
            )
            image = generator.to_image(output)
        return (image - generator.low) * (2 / (generator.high - generator.low)) - 1


def _image(output: Any) -> Tensor:
    """Return the picture [B, C, H, W] of a module's output, which may be a tuple."""
    image = output[0] if isinstance(output, (tuple, list)) and output else output
    if not isinstance(image, Tensor) or image.ndim != 4 or not image.is_floating_point():
        returned = type(image).__name__
        if isinstance(image, Tensor):
            returned = f"{image.dtype} {list(image.shape)}"
        raise RequestError(
            "a generator must return images as floating-point [B, C, H, W], "
            f"this module returned {returned}"
        )
    return image


def _latent_shape(network: nn.Module) -> tuple[int, ...]:
    """The shape of the latent, guessed from the first layer in the order of registration."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            return (module.in_features,)
        if isinstance(module, _ConvNd):
            return (module.in_channels, *(1,) * len(module.kernel_size))
    raise RequestError(
        f"{type(network).__name__} has no layer that shows the latent's shape; "
        "set generator.shape=[...]"
    )
