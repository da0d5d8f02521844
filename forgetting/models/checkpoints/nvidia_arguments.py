"""How a network of NVIDIA's was made: the arguments of its constructor and what its objects hold.

Every argument is read, or is known to change no picture; any other one is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forgetting.models.checkpoints.pickle_records import Persistent
from forgetting.models.checkpoints.weights import NotReadError

_GENERATOR = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_NESTED = ("mapping_kwargs", "synthesis_kwargs")

# Widths, which the weights show, and what matters in training alone.
_MAPPING = {"embed_features", "layer_features", "w_avg_beta"}
_MAPPING |= {"num_layers", "activation", "lr_multiplier"}

# Numbers of channels, which the weights show, and how the same values are computed.
_SYNTHESIS = {"channel_base", "channel_max", "num_fp16_res", "fused_modconv_default"}
_STYLEGAN2 = _SYNTHESIS | {
    *("use_fp16", "fp16_channels_last", "channels_last"),
    *("kernel_size", "resample_filter"),  # the weights and the filters show them
    *("architecture", "activation", "conv_clamp", "use_noise"),
}
_STYLEGAN3 = _SYNTHESIS | {
    "magnitude_ema_beta",
    *("conv_kernel", "use_radial_filters"),  # the weights and the filters show them
    *("num_layers", "num_critical", "first_cutoff", "first_stopband", "last_stopband_rel"),
    *("margin_size", "output_scale", "filter_size", "lrelu_upsampling", "conv_clamp"),
}

_NUMBERS = {
    *("num_critical", "first_cutoff", "first_stopband", "last_stopband_rel", "margin_size"),
    *("output_scale", "filter_size", "lrelu_upsampling", "conv_clamp", "lr_multiplier"),
}


@dataclass(frozen=True)
class MadeWith:
    """How a network was made.

    Args:
        arguments: of the generator's constructor by name.
        objects: what the objects of the network hold besides tensors and other objects, by path.
    """

    arguments: Mapping[str, Any]
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def mapping(self) -> Mapping[str, Any]:
        """The arguments of the mapping network."""
        return _checked("its mapping network", self._nested("mapping_kwargs"), _MAPPING)

    def synthesis(self, stylegan3: bool) -> Mapping[str, Any]:
        """Return the arguments of the synthesis network.

        Args:
            stylegan3: whether it is a StyleGAN3.
        """
        # StyleGAN3's code has no dictionary for them.
        known = (*_GENERATOR, *_NESTED)
        own = {name: value for name, value in self.arguments.items() if name not in known}
        settings = {**own, **self._nested("synthesis_kwargs")}
        return _checked("it", settings, _STYLEGAN3 if stylegan3 else _STYLEGAN2)

    def common(self, paths: str, name: str, default: Any) -> Any:
        """Return what all objects hold under ``name``, or the default if none holds it.

        Args:
            paths: a pattern of their paths.
            name: of the attribute.
            default: the argument of the constructor.

        Raises:
            NotReadError: they differ.
        """
        values = [
            attributes[name]
            for path, attributes in self.objects.items()
            if name in attributes and re.fullmatch(paths, path)
        ]
        if any(value != values[0] for value in values):
            raise NotReadError(f"its layers differ in {name}; we read one for all of them")
        return values[0] if values else default

    def _nested(self, name: str) -> dict[str, Any]:
        value = self.arguments.get(name, {})
        if not isinstance(value, dict) or not all(type(key) is str for key in value):
            raise ValueError(f"its {name} are no arguments")
        return value


def read_arguments(
    value: Persistent, positional: Sequence[Any], keywords: Mapping[str, Any]
) -> MadeWith:
    """Return how the network in a file was made.

    Args:
        value: the network.
        positional: the positional arguments of its constructor.
        keywords: the keyword arguments.

    Raises:
        NotReadError: it has more positional arguments than we know.
    """
    if len(positional) > len(_GENERATOR):
        raise NotReadError(f"its constructor has {len(positional)} positional arguments")
    named = dict(zip(_GENERATOR, positional, strict=False))
    return MadeWith({**named, **keywords}, dict(_objects(value, "")))


def _objects(value: Persistent, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        path,
        {
            str(name): held
            for name, held in value.state.items()
            if held is None or type(held) in (bool, int, float, str)
        },
    )
    modules = value.state.get("_modules")
    for name, child in modules.items() if isinstance(modules, dict) else ():
        if isinstance(child, Persistent):
            yield from _objects(child, f"{path}.{name}" if path else str(name))


def _checked(what: str, settings: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """Return the settings if all of them are known, and numbers where there must be numbers."""
    for name, value in settings.items():
        if name not in known:
            raise NotReadError(f"{what} was made with {ascii(name[:60])[1:-1]}={_short(value)}")
        if (
            name in _NUMBERS
            and not (type(value) in (int, float) and math.isfinite(value))
            and not (value is None and name == "conv_clamp")
        ):
            raise ValueError(f"its {name} is no number")
    return settings


def _short(value: Any) -> str:
    """Return a short text of a value from a file."""
    return ascii(value)[:40] if type(value) in (bool, int, float, str) else "..."
