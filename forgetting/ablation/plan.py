"""The plan: how far gone every unit is at every frame.

Everything that decides about a film ends here, as rows of numbers in [0, 1]; the renderer knows nothing else. A plan has one
*track* or several: each moves units of its own, held as what makes their ablation [F, U] - a rank for every unit, a
fraction for every frame -, and a frame's row is computed when it is asked for, so the plan of a film of hours is small.
A plan can be saved, edited with numpy, and rendered again: change ``rank`` or ``fraction``, or put in an ``ablation`` of
your own, which is then all that counts.

Layout of the file (``.npz``, numpy's own format, no pickles). The names of a track's arrays begin with the track's name and
a slash; the only track of a simple film has neither.

| array            | type, shape       | what                                                              |
|------------------|-------------------|-------------------------------------------------------------------|
| ``rank``         | float32 [U]       | who dies when: near 0 first, 1 last, infinity never, 0 all at once |
| ``fraction``     | float64 [F]       | share of the units' ranks that has been reached at each frame     |
| ``softness``     | float64 []        | share of the ranks' axis that a unit takes to fade                |
| ``ablation``     | float32 [F, U]    | only where somebody made it: 0 intact, 1 gone                     |
| ``layers``       | str [K]           | names of the layers, in the order of the units                    |
| ``channels``     | int64 [K]         | units in each layer; they add up to U                             |
| ``resolutions``  | int64 [K, 2]      | size of each layer's maps                                         |
| ``tracks``       | str [T]           | names of the tracks, where there are several                      |
| ``recipe``       | str []            | the recipe (YAML) the plan was made by, or empty                  |
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting import files
from forgetting.errors import RequestError, check_range
from forgetting.models.generator import Generator
from forgetting.models.units import PICTURE, Layer, Units

MAX_FRAMES = 10_000_000
MAX_BYTES = 16 * 2**30
"""A plan file that unpacks to more than this is refused unread."""


@dataclass(frozen=True)
class Track:
    """Ablation [F, U] over the units of ``layers``: that of ``rank`` and ``fraction``, or ``own`` where it is given."""

    rank: Tensor
    fraction: Tensor
    softness: float
    layers: tuple[Layer, ...]
    name: str = ""
    own: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rank.shape != (len(Units(self.layers)),) or self.fraction.ndim != 1:
            raise RequestError(
                f"a plan for {len(Units(self.layers))} units has rank {list(self.rank.shape)} and fraction {list(self.fraction.shape)}; "
                "they must be [U] and [F]"
            )
        if bool(self.rank.isnan().any()) or not bool(
            ((self.fraction >= 0) & (self.fraction <= 1)).all()
        ):
            raise RequestError(
                "the plan's fraction must lie in [0, 1] everywhere, and no rank may be NaN"
            )
        check_range("the plan's softness", self.softness, 0, 1)
        if self.own is None:
            return
        if self.own.shape != (len(self.fraction), len(self.rank)):
            raise RequestError(
                f"the plan's ablation is {list(self.own.shape)}; it must be {[len(self.fraction), len(self.rank)]}"
            )
        if not bool(((self.own >= 0) & (self.own <= 1)).all()):
            raise RequestError("the plan's ablation must lie in [0, 1] everywhere")

    def __len__(self) -> int:
        return len(self.fraction)

    @property
    def units(self) -> Units:
        return Units(self.layers)

    def rows(self, indices: Sequence[int]) -> Tensor:
        """The ablation [N, U] of those frames."""
        if self.own is not None:
            return self.own[list(indices)]
        return ablation(self.rank, self.fraction[list(indices)], self.softness)


@dataclass(frozen=True)
class Plan:
    """Tracks of equal length; a row [R] has the units of one after the other."""

    tracks: tuple[Track, ...]
    recipe: str = ""

    def __post_init__(self) -> None:
        lengths = {track.name: len(track) for track in self.tracks}
        if not self.tracks or len(lengths) != len(self.tracks) or len(set(lengths.values())) != 1:
            raise RequestError(
                f"a plan needs tracks of equal length with names of their own, got {lengths}"
            )

    def __len__(self) -> int:
        return len(self.tracks[0])

    def rows(self, indices: Sequence[int]) -> Tensor:
        """The rows [N, R] of those frames."""
        for index in indices:
            if not 0 <= index < len(self):
                raise RequestError(
                    f"there is no frame {index}; the plan has frames 0-{len(self) - 1}"
                )
        return torch.cat([track.rows(indices) for track in self.tracks], dim=1)

    def row(self, index: int) -> Tensor:
        """The row [R] of a frame."""
        return self.rows([index])[0]

    @property
    def ablation(self) -> Tensor:
        """All rows, [F, R]: four bytes a frame and unit."""
        return self.rows(range(len(self)))

    def gone(self, index: int) -> dict[str, Tensor]:
        """Layer name -> [C]: how far gone each unit is at a frame, by whatever moves it."""
        found: dict[str, Tensor] = {}
        for track in self.tracks:
            for name, part in track.units.split(track.rows([index])[0]).items():
                found[name] = 1 - (1 - found[name]) * (1 - part) if name in found else part
        return found

    def share(self, index: int) -> float:
        """Share of all units that are gone at a frame, in [0, 1]; what fades the picture itself does not count."""
        return ablated_share(self.gone(index))

    def digest(self) -> str:
        """SHA-256 over everything that decides about the rows."""
        found = hashlib.sha256()
        for track in self.tracks:
            found.update(
                repr(
                    (
                        track.name,
                        track.softness,
                        [(layer.name, layer.channels) for layer in track.layers],
                    )
                ).encode()
            )
            for tensor in (track.rank, track.fraction, track.own):
                found.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def check(self, generator: Generator) -> None:
        """Raise unless the plan was made for a network like ``generator``."""
        theirs = {layer.name: layer.channels for layer in generator.layers}
        theirs |= {name: part.layer.channels for name, part in generator.parts.items()} | {
            PICTURE.name: PICTURE.channels
        }
        for track in self.tracks:
            ours = {layer.name: layer.channels for layer in track.layers}
            if not ours.items() <= theirs.items():
                first = track.layers[0]
                raise RequestError(
                    f"the plan is for another network: it has {len(track.units)} units in {len(ours)} layers from {first.name}, "
                    f"the generator {len(Units(generator.layers))} in {len(generator.layers)} from {generator.layers[0].name}"
                )


def ablated_share(gone: Mapping[str, Tensor]) -> float:
    """Share of all units in :meth:`Plan.gone` that are gone."""
    return float(torch.cat([part for name, part in gone.items() if name != PICTURE.name]).mean())


def ablation(rank: Tensor, fraction: Tensor, softness: float) -> Tensor:
    """[U] ranks, [F] fractions -> [F, U] float32 in [0, 1].

    A unit fades while the fraction passes ``softness`` of the axis; with softness 0 it is gone once its rank is
    reached. Nothing is gone at fraction 0 and everything at 1. Units of rank 0 have no place in any order: they are as far
    gone as the fraction, all of them together.
    """
    p, r = fraction.double()[:, None], rank.double()[None]
    turns = (
        (r < p).double() if softness == 0 else ((p * (1 + softness) - r) / softness).clamp(0.0, 1.0)
    )
    return torch.where(r == 0, p, turns).float() if bool((rank == 0).any()) else turns.float()


def save_plan(plan: Plan, path: Path) -> None:
    """Write ``path`` whole or not at all."""
    arrays: dict[str, Any] = {"recipe": np.array(plan.recipe)}
    if len(plan.tracks) > 1:
        arrays["tracks"] = np.array([track.name for track in plan.tracks])
    for track in plan.tracks:
        own = {} if track.own is None else {"ablation": track.own.numpy()}
        found = own | {
            "rank": track.rank.numpy(),
            "fraction": track.fraction.numpy(),
            "softness": np.array(track.softness),
            "layers": np.array([layer.name for layer in track.layers]),
            "channels": np.array([layer.channels for layer in track.layers]),
            "resolutions": np.array([layer.size for layer in track.layers]),
        }
        arrays |= {f"{_prefix(track.name)}{name}": array for name, array in found.items()}
    with files.atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        RequestError: no such file, or not a plan; nothing in the file is ever executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise RequestError(
                f"plan {path} claims to unpack to {size} bytes; the limit is {MAX_BYTES}"
            )
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["tracks"]] if "tracks" in file else [""]
            return Plan(tuple(_track(name, file) for name in names), str(file["recipe"]))
    except FileNotFoundError:
        raise RequestError(
            f"there is no plan at {path}; a render writes one as plan.npz in its folder"
        ) from None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        MemoryError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"{path} is not a plan of ours ({type(error).__name__}: {error})"
        ) from None


def _track(name: str, file: Mapping[str, Any]) -> Track:
    needed = ("rank", "fraction", "softness", "layers", "channels", "resolutions")
    arrays = {field: file[f"{_prefix(name)}{field}"] for field in needed}
    own = f"{_prefix(name)}ablation"
    sizes = np.broadcast_to(
        arrays["resolutions"].reshape(len(arrays["layers"]), -1), (len(arrays["layers"]), 2)
    )  # one number: square
    rows = zip(arrays["layers"], arrays["channels"], sizes.tolist(), strict=True)
    return Track(
        torch.from_numpy(arrays["rank"].astype(np.float32)),
        torch.from_numpy(arrays["fraction"].astype(np.float64)),
        float(arrays["softness"]),
        tuple(
            Layer(str(layer), int(channels), (int(height), int(width)))
            for layer, channels, (height, width) in rows
        ),
        name,
        torch.from_numpy(file[own].astype(np.float32)) if own in file else None,
    )


def _prefix(name: str) -> str:
    return f"{name}/" if name else ""
