"""Generators around another generator, whose ``ws`` hold more than those of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from forgetting.models.architectures.ops import check_label, check_ws, check_z
from forgetting.models.generator import Edit, Generator, ParameterLayer, Synthesis
from forgetting.models.units import Layer


class GeneratorWrapper(nn.Module):
    """A generator that passes everything on to ``network``, except ``mapping`` and ``bind``."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network: Any = network
        self.layers: tuple[Layer, ...] = network.layers
        self.parameter_layers: Mapping[str, ParameterLayer] = network.parameter_layers
        self.z_dim, self.labels, self.size = network.z_dim, network.labels, network.size
        self.settings: Mapping[str, object] = network.settings
        self.mapping_parameters: int = network.mapping_parameters
        self.image_parameters: int = network.image_parameters

    def bind_remaining(self, ws: Tensor, remaining: Mapping[str, Tensor]) -> Synthesis | None:
        """Return None: every frame binds the network anew."""
        return None

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return that of the network."""
        return cast(Tensor, self.network.bias_only_output(layer))

    def incoming(self, layer: Layer) -> Tensor:
        """Return that of the network."""
        return cast(Tensor, self.network.incoming(layer))

    def outgoing(self, layer: Layer) -> Tensor:
        """Return that of the network."""
        return cast(Tensor, self.network.outgoing(layer))

    def state_dict(self, *arguments: Any, **settings: Any) -> Any:
        """Return the weights of the network, by the names they have there."""
        return self.network.state_dict(*arguments, **settings)

    def get_parameter(self, target: str) -> nn.Parameter:
        """Return the network's parameter of that name."""
        return cast(nn.Parameter, self.network.get_parameter(target))


class WithMapping(GeneratorWrapper):
    """A network that computes its mapping when a face is bound, so that its units can be ablated.

    ``ws`` [B, 1, z_dim + 1 + labels] is ``z``, psi and the class.
    """

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``z``, psi and the class in one row, [B, 1, z_dim + 1 + labels]."""
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        self.network.mapping(z, psi, label)  # refuses a psi that the network cannot have
        row = (z, torch.full_like(z[:, :1], psi), *(() if label is None else (label,)))
        return torch.cat(row, dim=1)[:, None]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        """Map ``ws`` under the edit, and bind the result."""
        check_ws(ws, 1, self.z_dim + 1 + self.labels)
        z, psi, label = ws[:, 0].split([self.z_dim, 1, self.labels], dim=1)  # type: ignore[no-untyped-call]
        network_ws = self.network.mapping(z, psi, label if self.labels else None, edit)
        return cast(Synthesis, self.network.bind(network_ws, edit))


class RotatingNoise(GeneratorWrapper):
    """A network whose noise turns by an angle.

    ``ws`` [B, L + 1, W] ends in a row that begins with the cosine and the sine of the angle.
    Noise n becomes cos n + sin n', where n' is n shifted by about half the map. So it is equally
    strong at every angle, and at angle 0 the picture is that of the network itself.
    """

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``ws`` of the network and the row of angle 0, [B, L + 1, W]."""
        return with_noise_angle(F.pad(self.network.mapping(z, psi, label, edit), (0, 0, 0, 1)), 0.0)

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        """Bind the faces, with their noise turned."""
        cos, sin = ws[:, -1, :2, None, None, None].unbind(1)

        def turn_noise(x: Tensor, layer: Layer) -> Tensor:
            if layer.kind == "noise":
                x = cos * x + sin * x.roll((layer.size[0] // 2, layer.size[1] // 3), (2, 3))
            return x if edit is None else edit(x, layer)

        return cast(Synthesis, self.network.bind(ws[:, :-1], turn_noise))


def with_noise_angle(ws: Tensor, angle: float) -> Tensor:
    """Return faces of a network with rotating noise, with its noise at ``angle`` in radians."""
    ws = ws.clone()
    ws[:, -1] = 0
    ws[:, -1, :2] = torch.tensor([math.cos(angle), math.sin(angle)])
    return ws
