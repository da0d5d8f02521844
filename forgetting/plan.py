"""The plan: how far gone every unit is at every frame.

Everything that decides about a film ends here, as ablation [F, U] in [0, 1]; the renderer knows nothing else. It is
held as what makes it - a rank for every unit, a fraction for every frame - and a frame's row is computed when it is
asked for, so the plan of a film of hours is small. A plan can be saved, edited with numpy, and rendered again: change
``rank`` or ``fraction``, or put in an ``ablation`` of your own, which is then all that counts.

Layout of the file (``.npz``, numpy's own format, no pickles):

| array            | type, shape       | what                                                              |
|------------------|-------------------|-------------------------------------------------------------------|
| ``rank``         | float32 [U]       | who dies when: 0 first, 1 last, infinity never                    |
| ``fraction``     | float64 [F]       | share of the units' ranks that has been reached at each frame     |
| ``softness``     | float64 []        | share of the ranks' axis that a unit takes to fade                |
| ``ablation``     | float32 [F, U]    | only where somebody made it: 0 intact, 1 gone                     |
| ``layers``       | str [K]           | names of the layers, in the order of the units                    |
| ``channels``     | int64 [K]         | units in each layer; they add up to U                             |
| ``resolutions``  | int64 [K]         | size of each layer's maps                                         |
| ``recipe``       | str []            | the recipe (YAML) the plan was made by, or empty                  |
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting import cache
from forgetting.engines import Engine, from_bytes
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, whole, within
from forgetting.generators import Generator
from forgetting.operators import Operator
from forgetting.orderings import Ordering
from forgetting.pacing import Pacing
from forgetting.scene import Scene
from forgetting.schedules import Schedule
from forgetting.units import Layer, Units

MAX_FRAMES = 10_000_000
MAX_BYTES = 16 * 2**30
"""A plan file that unpacks to more than this is refused unread."""


@dataclass(frozen=True)
class Plan:
    """Ablation [F, U] over the units of ``layers``: that of ``rank`` and ``fraction``, or ``own`` where it is given."""

    rank: Tensor
    fraction: Tensor
    softness: float
    layers: tuple[Layer, ...]
    recipe: str = ""
    own: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rank.shape != (len(Units(self.layers)),) or self.fraction.ndim != 1:
            raise RequestError(
                f"a plan for {len(Units(self.layers))} units has rank {list(self.rank.shape)} and fraction {list(self.fraction.shape)}; "
                "they must be [U] and [F]"
            )
        if bool(self.rank.isnan().any()) or not bool(((self.fraction >= 0) & (self.fraction <= 1)).all()):
            raise RequestError("the plan's fraction must lie in [0, 1] everywhere, and no rank may be NaN")
        within("the plan's softness", self.softness, 0, 1)
        if self.own is None:
            return
        if self.own.shape != (len(self.fraction), len(self.rank)):
            raise RequestError(f"the plan's ablation is {list(self.own.shape)}; it must be {[len(self.fraction), len(self.rank)]}")
        if not bool(((self.own >= 0) & (self.own <= 1)).all()):
            raise RequestError("the plan's ablation must lie in [0, 1] everywhere")

    def __len__(self) -> int:
        return len(self.fraction)

    def rows(self, indices: Sequence[int]) -> Tensor:
        """The ablation [N, U] of those frames."""
        for index in indices:
            if not 0 <= index < len(self):
                raise RequestError(f"there is no frame {index}; the plan has frames 0-{len(self) - 1}")
        if self.own is not None:
            return self.own[list(indices)]
        return ablation(self.rank, self.fraction[list(indices)], self.softness)

    def row(self, index: int) -> Tensor:
        """The ablation [U] of a frame."""
        return self.rows([index])[0]

    @property
    def ablation(self) -> Tensor:
        """All of it, [F, U]: four bytes a frame and unit."""
        return self.rows(range(len(self)))

    @property
    def units(self) -> Units:
        return Units(self.layers)

    def share(self, index: int) -> float:
        """Share of all units that are gone at a frame, in [0, 1]."""
        return float(self.row(index).mean())

    def digest(self) -> str:
        """SHA-256 over everything that decides about the ablation."""
        found = hashlib.sha256(repr((self.softness, [(layer.name, layer.channels) for layer in self.layers])).encode())
        for tensor in (self.rank, self.fraction, self.own):
            found.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def check(self, generator: Generator) -> None:
        """Raise unless the plan was made for a network like ``generator``."""
        ours = [(layer.name, layer.channels) for layer in self.layers]
        theirs = [(layer.name, layer.channels) for layer in generator.layers]
        if ours != theirs:
            raise RequestError(
                f"the plan is for another network: it has {len(self.units)} units in {len(ours)} layers from {ours[0][0]}, "
                f"the generator {len(Units(generator.layers))} in {len(theirs)} from {theirs[0][0]}"
            )


def ablation(rank: Tensor, fraction: Tensor, softness: float) -> Tensor:
    """[U] ranks, [F] fractions -> [F, U] float32 in [0, 1].

    A unit fades while the fraction passes ``softness`` of the axis; with softness 0 it is gone once its rank is
    reached. Nothing is gone at fraction 0 and everything at 1.
    """
    p, r = fraction.double()[:, None], rank.double()[None]
    if softness == 0:
        return (r < p).float()
    return ((p * (1 + softness) - r) / softness).clamp(0.0, 1.0).float()


def faded(rank: Tensor, fraction: Tensor, operator: Operator, schedule: Schedule) -> Tensor:
    """[F, U]: the ablation at those fractions; an operator's softness is a share of the way to ``until``."""
    return ablation(rank, fraction, operator.softness * schedule.until)


@torch.inference_mode()
def make(
    generator: Generator,
    ws: Tensor,
    frames: int,
    ordering: Ordering,
    operator: Operator,
    schedule: Schedule,
    pacing: Pacing,
    engine: Engine | None = None,
    recipe: str = "",
) -> Plan:
    """Decide about a film of ``frames`` frames of the face ``ws`` [1, L, W].

    The pacing looks at pictures made by ``engine``; without one, by the reference: torch in float32.
    """
    whole("the number of frames (film.fps x film.duration)", frames, 1, MAX_FRAMES)
    units = Units(generator.layers)
    rank = ordering(generator, units, ws)
    engine = engine or Torch().start(Scene.of(generator, ws, operator))

    def picture(p: float) -> Tensor:
        return from_bytes(*engine(faded(rank, torch.tensor([p], dtype=torch.float64), operator, schedule)))

    fraction = pacing(schedule.loss(frames), schedule.until, picture)
    return Plan(rank, fraction, operator.softness * schedule.until, generator.layers, recipe)


def save(plan: Plan, path: Path) -> None:
    """Write ``path`` whole or not at all."""
    own: dict[str, Any] = {} if plan.own is None else {"ablation": plan.own.numpy()}
    with cache.whole(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            **own,
            rank=plan.rank.numpy(),
            fraction=plan.fraction.numpy(),
            softness=np.array(plan.softness),
            layers=np.array([layer.name for layer in plan.layers]),
            channels=np.array([layer.channels for layer in plan.layers]),
            resolutions=np.array([layer.size for layer in plan.layers]),
            recipe=np.array(plan.recipe),
        )


def load(path: Path) -> Plan:
    """Read a plan.

    Raises:
        RequestError: no such file, or not a plan; nothing in the file is ever executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise RequestError(f"plan {path} claims to unpack to {size} bytes; the limit is {MAX_BYTES}")
        with np.load(path, allow_pickle=False) as file:
            needed = ("rank", "fraction", "softness", "layers", "channels", "resolutions", "recipe")
            arrays: dict[str, Any] = {name: file[name] for name in needed}
            own = torch.from_numpy(file["ablation"].astype(np.float32)) if "ablation" in file else None
        sizes = np.broadcast_to(arrays["resolutions"].reshape(len(arrays["layers"]), -1), (len(arrays["layers"]), 2))  # one number: square
        rows = zip(arrays["layers"], arrays["channels"], sizes.tolist(), strict=True)
        return Plan(
            torch.from_numpy(arrays["rank"].astype(np.float32)),
            torch.from_numpy(arrays["fraction"].astype(np.float64)),
            float(arrays["softness"]),
            tuple(Layer(str(name), int(channels), (int(height), int(width))) for name, channels, (height, width) in rows),
            str(arrays["recipe"]),
            own,
        )
    except FileNotFoundError:
        raise RequestError(f"there is no plan at {path}; a render writes one as plan.npz in its folder") from None
    except (OSError, ValueError, KeyError, TypeError, MemoryError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} is not a plan of ours ({type(error).__name__}: {error})") from None
