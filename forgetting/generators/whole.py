"""A generator of which the mapping network is a part like any other: its face is what the mapping is given.

``ws`` [B, 1, z_dim + 1 + labels] is then ``z``, psi and the class, and neurons of the mapping die while the picture is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from forgetting.generators import Edit, Generator, Part, Synthesis
from forgetting.generators.ops import check_label, check_ws, check_z
from forgetting.units import Layer


class Whole(nn.Module):
    """``network`` from ``z`` to the picture."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network: Any = network
        self.layers: tuple[Layer, ...] = network.layers
        self.parts: Mapping[str, Part] = network.parts
        self.z_dim, self.labels, self.size = network.z_dim, network.labels, network.size
        self.mapping_parameters, self.image_parameters = network.mapping_parameters, network.image_parameters

    def mapping(self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None) -> Tensor:
        check_z(z, self.z_dim)
        label = check_label(label, self.labels, len(z))
        parts = (z, torch.full_like(z[:, :1], psi), *(() if label is None else (label,)))
        return torch.cat(parts, dim=1)[:, None]

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        check_ws(ws, 1, self.z_dim + 1 + self.labels)
        z, psi, label = ws[:, 0].split([self.z_dim, 1, self.labels], dim=1)  # type: ignore[no-untyped-call]
        found = self.network.mapping(z, psi, label if self.labels else None, edit)
        return cast(Synthesis, self.network.bind(found, edit))

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
