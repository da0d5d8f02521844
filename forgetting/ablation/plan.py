"""Plans: how far every unit is ablated in every frame.

A plan has one *track* or several. Every track ablates units of its own. It holds a rank for every
unit and a fraction for every frame; the ablation [F, U] follows from them. A row is computed only
when a frame needs it, so the plan of a film of several hours is small.

A plan can be saved, edited with numpy and rendered again: change ``rank`` or ``fraction``, or add
an array ``ablation``, which then replaces both.

Layout of the file (``.npz``, numpy's own format, without pickles). The names of a track's arrays
begin with the track's name and a slash; they have no prefix where the only track has no name.

| array           | type, shape      | content                                                     |
|-----------------|------------------|-------------------------------------------------------------|
| ``rank``        | float32 [U]      | order of ablation: near 0 first, 1 last, infinity never, 0  |
|                 |                  | together with all others of rank 0                          |
| ``fraction``    | float64 [F]      | share of the ranks that every frame has reached             |
| ``softness``    | float64 []       | share of the ranks' axis that a unit takes to fade          |
| ``ablation``    | float32 [F, U]   | optional, instead of the above: 0 intact, 1 ablated         |
| ``layers``      | str [K]          | names of the layers, in the order of the units              |
| ``channels``    | int64 [K]        | units of every layer; their sum is U                        |
| ``resolutions`` | int64 [K, 2]     | height and width of every layer's maps                      |
| ``tracks``      | str [T]          | names of the tracks; only if there are several              |
| ``recipe``      | str []           | the recipe (YAML) that made the plan, or empty              |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting import files
from forgetting.ablation.plan_html import tracks_html
from forgetting.errors import RequestError, check_range, one_line
from forgetting.models.generator import Generator
from forgetting.models.unit_kinds import layers_of_kind
from forgetting.models.units import UNIT_KINDS, Layer, Units, kind_of_name
from forgetting.safe_npz import load_arrays

MAX_FRAMES = 24 * 3600 * 240
"""The most frames of a plan: a day at the highest rate."""

MAX_TRACKS, MAX_LAYERS = 100, 10_000
"""The most tracks of a plan, and layers of a track."""

MAX_NAME, MAX_SIDE = 200, 65_536
"""The most letters in the name of a layer, and the largest height and width of its maps."""

MAX_POINTS = 240
"""Frames whose fraction a notebook draws."""


@dataclass(frozen=True)
class Track:
    """The ablation [F, U] of the units of some layers.

    Args:
        rank: of every unit, [U].
        fraction: of every frame, [F] in [0, 1].
        softness: share of the ranks' axis that a unit takes to fade.
        layers: the layers of its units.
        name: of the track; empty for the only track of a film.
        explicit: the ablation [F, U] itself, instead of ``rank`` and ``fraction``; None derives it
            from them.

    Raises:
        RequestError: shapes or values that are impossible.
    """

    rank: Tensor
    fraction: Tensor
    softness: float
    layers: tuple[Layer, ...]
    name: str = ""
    explicit: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.units)
        if self.rank.shape != (count,) or self.fraction.ndim != 1:
            raise RequestError(
                f"a plan for {count} units has rank {list(self.rank.shape)} and fraction "
                f"{list(self.fraction.shape)}; they must be [U] and [F]"
            )
        if bool(self.rank.isnan().any()) or not _in_unit_range(self.fraction):
            raise RequestError(
                "the plan's fraction must lie in [0, 1] everywhere, and no rank may be NaN"
            )
        check_range("the plan's softness", self.softness, 0, 1)
        if self.explicit is None:
            return
        shape = (len(self.fraction), len(self.rank))
        if self.explicit.shape != shape:
            raise RequestError(
                f"the plan's ablation is {list(self.explicit.shape)}; it must be {list(shape)}"
            )
        if not _in_unit_range(self.explicit):
            raise RequestError("the plan's ablation must lie in [0, 1] everywhere")

    def __len__(self) -> int:
        """The number of frames F."""
        return len(self.fraction)

    @property
    def units(self) -> Units:
        """The units that the track ablates."""
        return Units(self.layers)

    def rows(self, indices: Sequence[int]) -> Tensor:
        """Return the ablation [N, U] of the frames ``indices``."""
        if self.explicit is not None:
            return self.explicit[list(indices)]
        return ablation(self.rank, self.fraction[list(indices)], self.softness)

    def mean_ablation(self, index: int) -> float:
        """Return the fraction of a frame; the mean of its ablation if that is explicit."""
        values = self.fraction[index] if self.explicit is None else self.explicit[index].mean()
        return float(values)


@dataclass(frozen=True, repr=False)
class Plan:
    """How far every unit is ablated in every frame.

    A row [R] holds the units of all tracks in turn.

    Args:
        tracks: of equal length, with different names.
        recipe: the recipe (YAML) that made the plan, or empty.

    Raises:
        RequestError: no tracks, or tracks that do not fit together.
    """

    tracks: tuple[Track, ...]
    recipe: str = ""

    def __post_init__(self) -> None:
        lengths = {track.name: len(track) for track in self.tracks}
        if not self.tracks or len(lengths) != len(self.tracks) or len(set(lengths.values())) != 1:
            raise RequestError(
                f"a plan needs tracks of equal length with names of their own, got {lengths}"
            )

    def __len__(self) -> int:
        """The number of frames F."""
        return len(self.tracks[0])

    def rows(self, indices: Sequence[int]) -> Tensor:
        """Return the rows [N, R] of the frames ``indices``.

        Raises:
            RequestError: an index outside of the plan.
        """
        for index in indices:
            if not 0 <= index < len(self):
                raise RequestError(
                    f"there is no frame {index}; the plan has frames 0-{len(self) - 1}"
                )
        return torch.cat([track.rows(indices) for track in self.tracks], dim=1)

    def row(self, index: int) -> Tensor:
        """Return the row [R] of a frame."""
        return self.rows([index])[0]

    @property
    def ablation(self) -> Tensor:
        """All rows, [F, R]: four bytes for every frame and unit."""
        return self.rows(range(len(self)))

    def ablation_by_layer(self, index: int) -> dict[str, Tensor]:
        """Return how far all tracks together ablate the units of a frame: layer name -> [C]."""
        layers: dict[str, Tensor] = {}
        for track in self.tracks:
            for name, part in track.units.split(track.rows([index])[0]).items():
                layers[name] = 1 - (1 - layers[name]) * (1 - part) if name in layers else part
        return layers

    def ablated_share(self, index: int) -> float:
        """Return the share of all units but the picture's that is ablated in a frame, in [0, 1]."""
        return share_of_units(self.ablation_by_layer(index))

    def digest(self) -> str:
        """Return the SHA-256 of everything that decides about the rows."""
        digest = hashlib.sha256()
        for track in self.tracks:
            layers = [(layer.name, layer.channels) for layer in track.layers]
            digest.update(repr((track.name, track.softness, layers)).encode())
            for tensor in (track.rank, track.fraction, track.explicit):
                digest.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check(self, generator: Generator) -> None:
        """Raise unless the plan fits ``generator``.

        Raises:
            RequestError: a layer that the generator does not have, or one with other units.
        """
        layers = (layers_of_kind(generator, kind) for kind in UNIT_KINDS)
        available = {layer.name: layer.channels for layer in chain.from_iterable(layers)}
        for track in self.tracks:
            planned = {layer.name: layer.channels for layer in track.layers}
            if not planned.items() <= available.items():
                raise RequestError(
                    f"the plan is for another network: it has {len(track.units)} units in "
                    f"{len(planned)} layers from {track.layers[0].name}, the generator "
                    f"{len(Units(generator.layers))} in {len(generator.layers)} from "
                    f"{generator.layers[0].name}"
                )

    def __repr__(self) -> str:
        tracks = ", ".join(
            f"{track.name + ': ' * bool(track.name)}{_described(track)}" for track in self.tracks
        )
        return f"<plan of {len(self)} frames: {tracks}>"

    def _repr_html_(self) -> str:
        """Return a table of the tracks, which a notebook shows."""
        step = (len(self) - 1) / max(min(len(self), MAX_POINTS) - 1, 1)
        indices = [round(step * number) for number in range(min(len(self), MAX_POINTS))]
        tracks = [
            (track.name, _described(track), [track.mean_ablation(index) for index in indices])
            for track in self.tracks
        ]
        return tracks_html(f"plan of {len(self)} frames", tracks)


def _in_unit_range(values: Tensor) -> bool:
    """Return whether all values lie in [0, 1]; takes no memory, as plans may be large."""
    if not values.numel():
        return True
    low, high = values.aminmax()  # NaN where any value is
    return bool(low >= 0) and bool(high <= 1)


def _described(track: Track) -> str:
    """Return how many units a track ablates."""
    units, layers = len(track.units), len(track.layers)
    return f"{units:,} unit{'s' * (units != 1)} in {layers} layer{'s' * (layers != 1)}"


def share_of_units(ablation_by_layer: Mapping[str, Tensor]) -> float:
    """Return the share of units that is ablated in [0, 1], given the ablation [C] of every layer.

    Units of kinds that do not count, such as the picture's own, are left out, unless there are no
    others.
    """
    parts = [
        part for name, part in ablation_by_layer.items() if UNIT_KINDS[kind_of_name(name)].counted
    ]
    return float(torch.cat(parts or list(ablation_by_layer.values())).mean())


def ablation(rank: Tensor, fraction: Tensor, softness: float) -> Tensor:
    """Return how far units are ablated, [F, U] float32 in [0, 1].

    A unit fades while the fraction passes ``softness`` of the axis; with softness 0 it is ablated
    once the fraction exceeds its rank. All units are intact at fraction 0 and ablated at 1.
    Units of rank 0 are outside of the order: all of them are ablated by the fraction itself.

    Args:
        rank: of every unit, [U].
        fraction: of every frame, [F] in [0, 1].
        softness: share of the ranks' axis that a unit takes to fade.
    """
    p, r = fraction.double()[:, None], rank.double()[None]
    turns = (
        (r < p).double() if softness == 0 else ((p * (1 + softness) - r) / softness).clamp(0.0, 1.0)
    )
    return torch.where(r == 0, p, turns).float() if bool((rank == 0).any()) else turns.float()


def save_plan(plan: Plan, path: Path | str) -> None:
    """Write a plan file atomically: either the whole file appears at ``path``, or nothing does."""
    arrays: dict[str, Any] = {"recipe": np.array(plan.recipe)}
    if len(plan.tracks) > 1:
        arrays["tracks"] = np.array([track.name for track in plan.tracks])
    for track in plan.tracks:
        track_arrays = {} if track.explicit is None else {"ablation": track.explicit.numpy()}
        track_arrays |= {
            "rank": track.rank.numpy(),
            "fraction": track.fraction.numpy(),
            "softness": np.array(track.softness),
            "layers": np.array([layer.name for layer in track.layers]),
            "channels": np.array([layer.channels for layer in track.layers]),
            "resolutions": np.array([layer.size for layer in track.layers]),
        }
        prefix = _prefix(track.name)
        arrays |= {f"{prefix}{name}": array for name, array in track_arrays.items()}
    with files.atomic_write(Path(path)) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_plan(path: Path | str, links: bool = True) -> Plan:
    """Return the plan in a file; nothing in the file is ever executed.

    Args:
        path: of the file.
        links: whether it may be a link; in folders that may be a stranger's, links are refused.

    Raises:
        RequestError: there is no such file, or it holds no plan.
    """
    try:
        arrays = load_arrays(Path(path), links)
        names = [str(name) for name in arrays["tracks"]] if "tracks" in arrays else [""]
        if len(names) > MAX_TRACKS:
            raise ValueError(f"it has {len(names)} tracks; the limit is {MAX_TRACKS}")
        recipe = str(arrays["recipe"])
        "".join((recipe, *names)).encode()  # raises where no file could hold it as text
        return Plan(tuple(_read_track(name, arrays) for name in names), recipe)
    except FileNotFoundError:
        raise RequestError(
            f"there is no plan at {path}; a render writes one as plan.npz in its folder"
        ) from None
    except RequestError:
        raise
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
        raise RequestError(
            f"{path} is not a plan of this program ({type(error).__name__}: {one_line(error)}); "
            "choose the plan.npz of a run"
        ) from None


def _read_track(name: str, file: Mapping[str, Any]) -> Track:
    """Return the track whose arrays in ``file`` begin with its name."""
    fields = ("rank", "fraction", "softness", "layers", "channels", "resolutions")
    arrays = {field: file[f"{_prefix(name)}{field}"] for field in fields}
    explicit = f"{_prefix(name)}ablation"
    # Arrays of text convert to anything, so the kinds are checked by name.
    for field in fields:
        if (arrays[field].dtype.kind == "U") != (field == "layers"):
            raise ValueError(f"{field} is of the type {arrays[field].dtype}")
    count = len(arrays["layers"])
    if count > MAX_LAYERS or len(arrays["fraction"]) > MAX_FRAMES:
        raise ValueError(f"{count} layers, {len(arrays['fraction'])} frames: no plan has so many")
    # A layer with a single number is square.
    sizes = np.broadcast_to(arrays["resolutions"].reshape(count, -1), (count, 2))
    rows = zip(arrays["layers"], arrays["channels"], sizes.tolist(), strict=True)
    layers = tuple(
        Layer.from_name(str(layer), int(channels), (int(height), int(width)))
        for layer, channels, (height, width) in rows
    )
    _check_layers(layers)
    return Track(
        torch.from_numpy(arrays["rank"].astype(np.float32, copy=False)),
        torch.from_numpy(arrays["fraction"].astype(np.float64, copy=False)),
        float(arrays["softness"]),
        layers,
        name,
        torch.from_numpy(file[explicit].astype(np.float32, copy=False))
        if explicit in file
        else None,
    )


def _check_layers(layers: Sequence[Layer]) -> None:
    """Raise unless a network could have these layers."""
    names = [layer.name for layer in layers]
    if not names or len(set(names)) != len(names):
        raise ValueError("its layers have no names of their own")
    for layer in layers:
        layer.name.encode()  # raises where no file could hold it as text
        if layer.kind not in UNIT_KINDS or len(layer.name) > MAX_NAME:
            raise ValueError(f"{layer.name[:MAX_NAME]!r} is no name of a layer")
        if layer.channels < 1 or not all(1 <= side <= MAX_SIDE for side in layer.size):
            raise ValueError(
                f"the layer {layer.name!r} has {layer.channels} units of {layer.size[0]} x "
                f"{layer.size[1]}"
            )


def _prefix(name: str) -> str:
    return f"{name}/" if name else ""
