"""The plan: how far gone every unit is at every frame.

Everything that decides about a film ends here, as one tensor ``ablation`` [F, U] in [0, 1]; the renderer knows
nothing else. A plan can be saved, edited with numpy, and rendered again.

Layout of the file (``.npz``, numpy's own format, no pickles):

| array            | type, shape       | what                                                              |
|------------------|-------------------|-------------------------------------------------------------------|
| ``ablation``     | float32 [F, U]    | 0 intact, 1 gone                                                  |
| ``fraction``     | float64 [F]       | share of the units' ranks that has been reached at each frame     |
| ``rank``         | float32 [U]       | who dies when: 0 first, 1 last, infinity never                    |
| ``layers``       | str [K]           | names of the layers, in the order of the units                    |
| ``channels``     | int64 [K]         | units in each layer; they add up to U                             |
| ``resolutions``  | int64 [K]         | size of each layer's maps                                         |
| ``recipe``       | str []            | the recipe (YAML) the plan was made by, or empty                  |
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting import cache
from forgetting.engines import Engine, from_bytes
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, whole
from forgetting.generators import Generator
from forgetting.operators import Operator
from forgetting.orderings import Ordering
from forgetting.pacing import Pacing
from forgetting.schedules import Schedule
from forgetting.units import Layer, Units

MAX_FRAMES = 1_000_000
MAX_BYTES = 16 * 2**30
"""A plan file that unpacks to more than this is refused unread."""


@dataclass(frozen=True)
class Plan:
    """``ablation`` [F, U] over the units of ``layers``; see the module for the other fields."""

    ablation: Tensor
    fraction: Tensor
    rank: Tensor
    layers: tuple[Layer, ...]
    recipe: str = ""

    def __post_init__(self) -> None:
        if self.ablation.ndim != 2 or self.ablation.shape[1] != len(Units(self.layers)):
            raise RequestError(f"a plan for {len(Units(self.layers))} units has ablation {list(self.ablation.shape)}; it must be [F, U]")
        if self.fraction.shape != self.ablation.shape[:1] or self.rank.shape != self.ablation.shape[1:]:
            raise RequestError(f"the plan's fraction must have {len(self.ablation)} entries and its rank {self.ablation.shape[1]}")
        if not bool(((self.ablation >= 0) & (self.ablation <= 1)).all()):
            raise RequestError("the plan's ablation must lie in [0, 1] everywhere")

    def __len__(self) -> int:
        return len(self.ablation)

    @property
    def units(self) -> Units:
        return Units(self.layers)

    def share(self, index: int) -> float:
        """Share of all units that are gone at a frame, in [0, 1]."""
        return float(self.ablation[index].mean())

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
    engine = engine or Torch().start(generator, ws, operator)

    def picture(p: float) -> Tensor:
        return from_bytes(engine(faded(rank, torch.tensor([p], dtype=torch.float64), operator, schedule)[0]))

    fraction = pacing(schedule.loss(frames), schedule.until, picture)
    return Plan(faded(rank, fraction, operator, schedule), fraction, rank, generator.layers, recipe)


def save(plan: Plan, path: Path) -> None:
    """Write ``path`` whole or not at all."""
    with cache.whole(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            ablation=plan.ablation.numpy(),
            fraction=plan.fraction.numpy(),
            rank=plan.rank.numpy(),
            layers=np.array([layer.name for layer in plan.layers]),
            channels=np.array([layer.channels for layer in plan.layers]),
            resolutions=np.array([layer.resolution for layer in plan.layers]),
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
            arrays: dict[str, Any] = {
                name: file[name] for name in ("ablation", "fraction", "rank", "layers", "channels", "resolutions", "recipe")
            }
        rows = zip(arrays["layers"], arrays["channels"], arrays["resolutions"], strict=True)
        return Plan(
            torch.from_numpy(arrays["ablation"].astype(np.float32)),
            torch.from_numpy(arrays["fraction"].astype(np.float64)),
            torch.from_numpy(arrays["rank"].astype(np.float32)),
            tuple(Layer(str(name), int(channels), int(size)) for name, channels, size in rows),
            str(arrays["recipe"]),
        )
    except FileNotFoundError:
        raise RequestError(f"there is no plan at {path}; a render writes one as plan.npz in its folder") from None
    except (OSError, ValueError, KeyError, TypeError, MemoryError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path} is not a plan of ours ({type(error).__name__}: {error})") from None
