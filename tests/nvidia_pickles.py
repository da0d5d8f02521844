"""Writes pickles as NVIDIA's persistence layer does, without its code: for tests alone."""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import foreign_layouts
from helpers import TINY

SOURCE = "raise SystemExit('the source of a checkpoint was run')\n"


@dataclass(frozen=True)
class PersistentNetwork:
    """What is to be written: names of a flat state dict become nested objects.

    ``classes`` maps 'synthesis.b4' to a class.
    """

    class_name: str
    state: Mapping[str, Tensor]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[str, ...] = (
        "resample_filter",
        "noise_const",
        "w_avg",
    )  # last parts of names that are buffers
    classes: Mapping[str, str] = field(default_factory=dict)
    source: str = SOURCE
    attributes: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # 'synthesis.b4' -> what else the object has


class _Object:
    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta = meta

    def __reduce__(self) -> Any:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextmanager
def fake_modules() -> Iterator[type[dict[str, Any]]]:
    """``torch_utils.persistence`` and ``dnnlib.util`` as far as pickling needs them.

    Returns ``EasyDict``.
    """

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("nobody may call this")

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    found = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
    }
    found |= {"dnnlib": {}, "dnnlib.util": {"EasyDict": EasyDict}}
    before = {name: sys.modules.get(name) for name in found}
    for name, things in found.items():
        module = types.ModuleType(name)
        sys.modules[name] = module
        for key, thing in things.items():
            thing.__module__, thing.__qualname__ = name, key
            setattr(module, key, thing)
    try:
        yield EasyDict
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def _object(network: PersistentNetwork, easy: type[dict[str, Any]], prefix: str = "") -> _Object:
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in network.state.items()
        if name.startswith(prefix)
    }
    plain = {name: tensor for name, tensor in own.items() if "." not in name}
    buffers = OrderedDict(
        (name, tensor) for name, tensor in plain.items() if name in network.buffers
    )
    parts = dict.fromkeys(name.partition(".")[0] for name in own if "." in name)
    state = {
        "training": False,
        "_parameters": OrderedDict(
            (name, nn.Parameter(tensor)) for name, tensor in plain.items() if name not in buffers
        ),
        "_buffers": buffers,
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict(
            (part, _object(network, easy, f"{prefix}{part}.")) for part in parts
        ),
        "_init_args": (),
        "_init_kwargs": {}
        if prefix
        else easy(
            {
                key: easy(one) if isinstance(one, dict) else one
                for key, one in network.kwargs.items()
            }
        ),
    }
    state |= network.attributes.get(prefix[:-1], {})
    name = network.classes.get(prefix[:-1], "Part") if prefix else network.class_name
    return _Object(
        {
            "type": "class",
            "version": 6,
            "module_src": network.source,
            "class_name": name,
            "state": state,
        }
    )


def write_nvidia(
    path: Path, networks: Mapping[str, PersistentNetwork | Any], protocol: int = 4, **more: Any
) -> Path:
    """Write ``{"G_ema": network, ...}``.

    What is no ``PersistentNetwork`` is pickled as it is, dicts as ``EasyDict``.
    """
    with fake_modules() as easy:
        values = {
            key: _object(one, easy) if isinstance(one, PersistentNetwork) else one
            for key, one in (dict(networks) | more).items()
        }
        values = {key: easy(one) if isinstance(one, dict) else one for key, one in values.items()}
        path.write_bytes(pickle.dumps(values, protocol))
    return path


def small_network(channels: int = 4, dtype: torch.dtype = torch.float32) -> PersistentNetwork:
    """A small one, with everything that real ones have."""
    numbers = torch.Generator().manual_seed(channels)
    state = {
        "mapping.w_avg": torch.randn(8, generator=numbers),
        "mapping.fc0.weight": torch.randn(8, 8, generator=numbers),
        "mapping.fc0.bias": torch.randn(8, generator=numbers),
        "synthesis.b4.resample_filter": torch.ones(4, 4) / 16,
        "synthesis.b4.const": torch.randn(channels, 4, 4, generator=numbers),
        "synthesis.b4.conv1.weight": torch.randn(channels, channels, 3, 3, generator=numbers).to(
            dtype
        ),
        "synthesis.b4.conv1.noise_strength": torch.tensor(0.25),
        "synthesis.b4.conv1.noise_const": torch.randn(4, 4, generator=numbers),
    }
    kwargs = {
        "z_dim": 8,
        "img_resolution": 4,
        "mapping_kwargs": {"num_layers": 1},
        "conv_clamp": None,
    }
    return PersistentNetwork(
        "Generator",
        state,
        kwargs,
        classes={"synthesis": "SynthesisNetwork", "synthesis.b4": "SynthesisBlock"},
    )


def write_tiny_network(
    path: Path, name: str, protocol: int = 4, more: Any = (), **how: Any
) -> tuple[nn.Module, Path]:
    """Write the network ``TINY[name]`` as ``G_ema``, beside two small ones.

    Returns it and the path.
    """
    network = TINY[name]()
    layout = (
        foreign_layouts.nvidia_stylegan2
        if name.startswith("stylegan2")
        else foreign_layouts.nvidia_stylegan3
    )
    state, made_with = layout(network, **how)
    networks = {
        "G": small_network(),
        "D": small_network(),
        "G_ema": PersistentNetwork("Generator", state, made_with),
    }
    return network, write_nvidia(path, networks | dict(more), protocol)
