"""Generators around another, which have more in what they are given."""

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
    """``network``, of which everything is passed on but what faces are and how they are bound."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network: Any = network
        self.layers: tuple[Layer, ...] = network.layers
        self.parts: Mapping[str, ParameterLayer] = network.parts
        self.z_dim, self.labels, self.size = network.z_dim, network.labels, network.size
        self.mapping_parameters, self.image_parameters = (
            network.mapping_parameters,
            network.image_parameters,
        )

    def rest(self, layer: Layer) -> Tensor:
        return cast(Tensor, self.network.rest(layer))

    def incoming(self, layer: Layer) -> Tensor:
        return cast(Tensor, self.network.incoming(layer))

    def outgoing(self, layer: Layer) -> Tensor:
        return cast(Tensor, self.network.outgoing(layer))

    def state_dict(self, *arguments: Any, **settings: Any) -> Any:
        return self.network.state_dict(*arguments, **settings)

    def get_parameter(self, target: str) -> nn.Parameter:
        return cast(nn.Parameter, self.network.get_parameter(target))


class WithMapping(GeneratorWrapper):
    """A network of which the mapping is a part like any other, from ``z`` to the picture: its neurons die while that is made.

    ``ws`` [B, 1, z_dim + 1 + labels] is ``z``, psi and the class.
    """

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        parts = (z, torch.full_like(z[:, :1], psi), *(() if label is None else (label,)))
        return torch.cat(parts, dim=1)[:, None]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        check_ws(ws, 1, self.z_dim + 1 + self.labels)
        z, psi, label = ws[:, 0].split([self.z_dim, 1, self.labels], dim=1)  # type: ignore[no-untyped-call]
        found = self.network.mapping(z, psi, label if self.labels else None, edit)
        return cast(Synthesis, self.network.bind(found, edit))


class RotatingNoise(GeneratorWrapper):
    """A network whose noise turns: ``ws`` [B, L + 1, W] ends in a row that begins with the cosine and the sine of its angle.

    Noise n becomes cos n + sin n', where n' is n moved by about half the map: as strong at every angle, and at none the
    picture of the network itself.
    """

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        return with_noise_angle(F.pad(self.network.mapping(z, psi, label, edit), (0, 0, 0, 1)), 0.0)

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        cos, sin = ws[:, -1, :2, None, None, None].unbind(1)

        def grain(x: Tensor, layer: Layer) -> Tensor:
            if layer.kind == "noise":
                x = cos * x + sin * x.roll((layer.size[0] // 2, layer.size[1] // 3), (2, 3))
            return x if edit is None else edit(x, layer)

        return cast(Synthesis, self.network.bind(ws[:, :-1], grain))


def with_noise_angle(ws: Tensor, angle: float) -> Tensor:
    """Faces of a grained network with its noise at ``angle``."""
    ws = ws.clone()
    ws[:, -1] = 0
    ws[:, -1, :2] = torch.tensor([math.cos(angle), math.sin(angle)])
    return ws
