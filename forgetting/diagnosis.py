"""Orderings that look at what units do: who speaks alike, who speaks where, and what the picture owes to whom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from forgetting import statistics
from forgetting.errors import RequestError, one_of, whole, within
from forgetting.generators import Generator
from forgetting.orderings import FIRST, NEVER, Ordering, by_score, check, positions, rank
from forgetting.perception import luma
from forgetting.progress import track
from forgetting.units import PICTURE, Layer, Units

FACES, GRID = 8, 8
"""A unit's signature is what it says for so many faces, in so many places across the picture and down."""

MANY = 100_000
"""More units than this have one place a face in their signature."""


@dataclass(frozen=True)
class Contagion:
    """Death spreads between units whose activations correlate, as misfolded proteins spread in a brain.

    The first are ``seeds``: addresses, or how many are drawn. Then those die whose activations correlate most with those of
    all the dead (the correlation of every pair, summed over the dead: the network diffusion of Raj et al. 2012, "A Network
    Diffusion Model of Disease Progression in Dementia", with units for regions). ``chance`` mixes in luck: 0 is none, 1 is luck alone.
    """

    seeds: int | str | Sequence[str] = 3
    chance: float = 0.1
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed)
        within("ordering.chance", self.chance, 0.0, 1.0)
        if isinstance(self.seeds, int):
            whole("ordering.seeds", self.seeds, 1, 1_000_000)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        chosen, draw = units.select(self.layers), np.random.RandomState(self.seed)
        signature, luck = signatures(generator, units)[chosen], torch.from_numpy(draw.rand(int(chosen.sum()))).float()
        count = len(signature)
        if isinstance(self.seeds, int):
            first = torch.from_numpy(draw.permutation(count)[: min(self.seeds, count)])
        else:
            first = torch.nonzero((units.select(self.seeds) & chosen)[chosen])[:, 0]
            if not len(first):
                raise RequestError(f"ordering.seeds {self.seeds!r} and ordering.layers {self.layers!r} have no unit in common")
        order, alive = [first], torch.ones(count, dtype=torch.bool)
        alive[first] = False
        dead = signature[first].sum(dim=0)
        rounds = min(count, 256)
        for k in range(rounds):
            left = torch.nonzero(alive)[:, 0]
            if not len(left):
                break
            pressure = _spread(signature[left] @ dead) * (1 - self.chance) + luck[left] * self.chance
            fall = left[pressure.argsort(descending=True, stable=True)[: math.ceil(len(left) / (rounds - k))]]
            order.append(fall)
            alive[fall] = False
            dead = dead + signature[fall].sum(dim=0)
        times = torch.empty(count, dtype=torch.float64)
        times[torch.cat(order)] = torch.arange(count, dtype=torch.float64)
        score = torch.zeros(len(units), dtype=torch.float64)
        score[chosen] = times
        return rank(score, units, "network", self.seed, chosen)


@dataclass(frozen=True)
class Cluster:
    """Units that speak alike die together, one group after another.

    Args:
        clusters: how many groups; units are grouped by their signatures (k-means, Lloyd 1982).
        first: ``smallest`` or ``largest`` groups first, ``quietest`` or ``loudest`` (by what they say on average).
        only: the groups that die at all, counted in that order; None is all of them.
    """

    clusters: int = 12
    first: str = "smallest"
    only: Sequence[int] | None = None
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed)
        whole("ordering.clusters", self.clusters, 1, 4096)
        one_of("ordering.first", self.first, (*FIRST, "quietest", "loudest"))
        for one in self.only or ():
            whole("a group in ordering.only", one, 0, self.clusters - 1)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        chosen = units.select(self.layers)
        signature = signatures(generator, units)[chosen]
        group, distance = grouped(signature, self.clusters, self.seed)
        count = max(int(group.max()) + 1, 1)
        sizes = torch.bincount(group, minlength=count).double()
        if self.first in ("quietest", "loudest"):
            loudness = statistics.rms(generator, units)[chosen].double()
            sizes = torch.bincount(group, loudness, minlength=count) / sizes.clamp_min(1)
        turn = sizes.argsort(stable=True, descending=self.first in ("largest", "loudest")).argsort()
        place = turn[group].double()
        score = torch.full((len(units),), NEVER, dtype=torch.float64)
        score[chosen] = place + distance.double() / (distance.max().double() + 1e-9) * 0.999
        if self.only is not None:
            spared = chosen.clone()
            spared[chosen] = ~torch.isin(place.long(), torch.tensor([*self.only]))
            chosen = chosen & ~spared
        return rank(score, units, "network", self.seed, chosen)


REGIONS: Mapping[str, Sequence[Sequence[float]]] = {
    "eyes": ((0.385, 0.48, 0.09), (0.615, 0.48, 0.09)),
    "mouth": ((0.5, 0.72, 0.12),),
    "nose": ((0.5, 0.6, 0.08),),
    "face": ((0.5, 0.58, 0.28),),
    "hair": ((0.5, 0.15, 0.28),),
    "left": ((0.0, 0.5, 0.5),),
    "right": ((1.0, 0.5, 0.5),),
}
"""Discs (x, y, radius), in shares of the picture, where they are in faces that are cut out as FFHQ's are."""


@dataclass(frozen=True)
class Spatial:
    """Units that speak in a region of this very picture die first.

    Args:
        region: a name (``eyes``, ``mouth``, ``nose``, ``face``, ``hair``, ``left``, ``right``) or discs [x, y, radius].
        spread: ``share`` ranks by the share of its energy that a unit has in the region; ``wound`` by how far from it, on
            average, its energy lies: a stroke that grows from there.
    """

    region: str | Sequence[Sequence[float]] = "eyes"
    spread: str = "share"
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed, self.scope)
        one_of("ordering.spread", self.spread, ("share", "wound"))
        discs(self.region)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        found: dict[str, Tensor] = {}

        def hear(x: Tensor, layer: Layer) -> None:
            energy = (x - x.amin(dim=(2, 3), keepdim=True)).square().mean(dim=0).double() + 1e-12  # [C, H, W]
            far = outside(discs(self.region), *x.shape[2:])
            if self.spread == "share":
                inside = torch.sigmoid(-far * 40)  # soft at the rim, so that coarse layers have a say
                found[layer.name] = -(energy * inside).sum(dim=(1, 2)) / energy.sum(dim=(1, 2)) / inside.mean()
            else:
                found[layer.name] = (energy * far.clamp_min(0)).sum(dim=(1, 2)) / energy.sum(dim=(1, 2))

        statistics.listen(generator, units, ws, hear)
        score = torch.cat([found[layer.name] for layer in units.layers])
        return rank(score, units, self.scope, self.seed, units.select(self.layers))


EFFECTS = ("brightness", "warmth", "green", "colour", "contrast", "detail", "region")


@dataclass(frozen=True)
class Semantic:
    """Units are ranked by what their loss does to the picture: to its brightness, its hue, its detail, or to a region.

    The effect of a unit is the integral of the quantity's derivative along the way on which all units fade together
    (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks"), in ``steps`` places.

    Args:
        effect: ``brightness`` (luma), ``warmth`` (red against blue), ``green`` (against red and blue), ``colour``
            (saturation), ``contrast``, ``detail`` (what a small blur takes away), or ``region`` (contrast in one).
        towards: ``less``, ``more``: units whose loss changes it that way most go first; ``either``: most either way.
    """

    effect: str = "brightness"
    towards: str = "less"
    region: str | Sequence[Sequence[float]] = "eyes"
    steps: int = 4
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed, self.scope)
        one_of("ordering.effect", self.effect, EFFECTS)
        one_of("ordering.towards", self.towards, ("less", "more", "either"))
        whole("ordering.steps", self.steps, 1, 1000)
        discs(self.region)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        change = torch.zeros(len(units), dtype=torch.float64)
        for k in track(range(self.steps), "asking what each unit is for", self.steps):
            gates = torch.full((len(units),), 1 - 0.5 * (k + 0.5) / self.steps)
            change -= slopes(generator, units, ws, gates, lambda image: quantity(image, self.effect, self.region)).double()
        score = {"less": change, "more": -change, "either": -change.abs()}[self.towards]
        return rank(score, units, self.scope, self.seed, units.select(self.layers))


@dataclass(frozen=True)
class Importance:
    """By how much the picture would miss a unit: the first-order score of Molchanov et al. 2017, "Pruning Convolutional
    Neural Networks for Resource Efficient Inference", section 2.2, of the square difference from the intact picture.

    At the intact picture itself that has no slope; it is taken at ``draws`` pictures in which every unit is faded by a
    random amount, as much as ``fade``.
    """

    first: str = "smallest"
    draws: int = 8
    fade: float = 0.5
    scope: str = "layer"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed, self.scope, self.first)
        whole("ordering.draws", self.draws, 1, 1000)
        within("ordering.fade", self.fade, 0.01, 1.0)

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        draw, total = np.random.RandomState(self.seed), torch.zeros(len(units), dtype=torch.float64)
        with torch.no_grad():
            intact = generator.bind(ws.clone())()
        for _ in track(range(self.draws), "asking what each unit is worth", self.draws):
            gates = 1 - self.fade * torch.from_numpy(draw.rand(len(units))).float()
            slope = slopes(generator, units, ws, gates, lambda image: (image - intact).square().mean())
            total += (gates.double() * slope.double()).square()
        return by_score(total, units, self)


@dataclass(frozen=True)
class Sequenced:
    """Several orderings one after another: who was in an earlier one is not in a later one.

    ``take`` is how much of its way each is followed, in [0, 1]; without, to its end. ``shares`` are how long each takes,
    against the others; without, as long as it has units.
    """

    orderings: Sequence[Ordering] = ()
    take: Sequence[float] | None = None
    shares: Sequence[float] | None = None
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed)
        if not self.orderings:
            raise RequestError("ordering=sequence needs orderings: a list of them, each with its _target_")
        if self.take is not None and (len(self.take) != len(self.orderings) or not all(0 <= one <= 1 for one in self.take)):
            raise RequestError(f"ordering.take must be {len(self.orderings)} shares in [0, 1], got {[*self.take]}")
        if self.shares is not None and (len(self.shares) != len(self.orderings) or min(self.shares) <= 0):
            raise RequestError(f"ordering.shares must be {len(self.orderings)} positive numbers, got {[*self.shares]}")

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        free, groups = units.select(self.layers), []
        for ordering, take in zip(self.orderings, self.take or [1.0] * len(self.orderings), strict=True):
            ranks = ordering(generator, units, ws)
            mine = free & (ranks <= take)
            free &= ~mine
            groups.append((mine, ranks))
        shares = [float(mine.sum()) for mine, _ in groups] if self.shares is None else [float(share) for share in self.shares]
        ends = np.cumsum([0.0, *shares]) / max(sum(shares), 1e-9)
        found, draw = torch.full((len(units),), NEVER), np.random.RandomState(self.seed)
        for (mine, ranks), (begin, end) in zip(groups, pairwise(ends), strict=True):
            found[mine] = (begin + (end - begin) * positions(ranks[mine].double(), draw)).float()
        return found


@dataclass(frozen=True)
class File:
    """Scores from a file: .npy, or text with a number a line, one for every unit; the smallest die first."""

    path: str
    first: str = "smallest"
    scope: str = "network"
    seed: int = 0
    layers: str | Sequence[str] = "*"

    def __post_init__(self) -> None:
        check(self.seed, self.scope, self.first)
        if not self.path:
            raise RequestError("ordering=file needs a file of scores: say ordering.path=scores.npy")

    def __call__(self, generator: Generator, units: Units, ws: Tensor) -> Tensor:
        path = Path(self.path).expanduser()
        try:
            if path.stat().st_size > 64 * len(units) + 4096:
                raise ValueError(f"{path.stat().st_size} bytes are far too many")
            score = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=None, ndmin=1)
            score = score.astype(np.float64)
        except (OSError, ValueError, TypeError, EOFError) as error:
            told = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise RequestError(f"ordering.path {path} holds no scores ({told}); write .npy or a number a line") from None
        if score.shape != (len(units),) or np.isnan(score).any():
            raise RequestError(f"ordering.path {path} must hold {len(units)} numbers, one for every unit, got {list(score.shape)}")
        return by_score(torch.from_numpy(score), units, self)


def signatures(generator: Generator, units: Units) -> Tensor:
    """[U, D] of unit length and zero mean: what each unit says for a few faces, place by place; a product is a correlation."""
    grid = GRID if len(units) <= MANY else 1
    heard: dict[str, list[Tensor]] = {layer.name: [] for layer in units.layers}

    def hear(x: Tensor, layer: Layer) -> None:
        heard[layer.name].append(
            F.adaptive_avg_pool2d(x[0], grid).flatten(1) if x.shape[2] * x.shape[3] > 1 else x[0, :, :, 0].expand(-1, grid**2)
        )

    for ws in track(statistics.faces(generator, FACES), "listening to who speaks alike", FACES):
        statistics.listen(generator, units, ws, hear)
    found = torch.cat([torch.cat(parts, dim=1) for parts in heard.values()])  # [U, FACES * grid * grid]
    still = found.std(dim=1, keepdim=True) <= 1e-6 * found.abs().mean(dim=1, keepdim=True)
    centred = torch.where(still, found, found - found.mean(dim=1, keepdim=True))  # a synapse says the same to everybody: its sign is left
    return F.normalize(centred, dim=1)


def grouped(points: Tensor, count: int, seed: int, rounds: int = 30) -> tuple[Tensor, Tensor]:
    """[N] numbers of groups, and how far each of the ``points`` [N, D] is from the middle of its own (k-means)."""
    draw = np.random.RandomState(seed)
    centres = points[torch.from_numpy(draw.permutation(len(points))[:count].copy())]
    for _ in range(rounds):
        group = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, group, points)
        sizes = torch.bincount(group, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
    group = (points @ centres.T - centres.square().sum(dim=1) / 2).argmax(dim=1)
    return group, (points - centres[group]).norm(dim=1)


def discs(region: str | Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
    """The discs (x, y, radius) of a region."""
    if isinstance(region, str):
        one_of("ordering.region", region, REGIONS)
        region = REGIONS[region]
    found = []
    for disc in region:
        if isinstance(disc, (int, float)) or len(disc) != 3:
            raise RequestError(f"ordering.region must be a name or a list of discs [x, y, radius], got {region!r}")
        for name, value in zip(("x", "y", "radius"), disc, strict=True):
            within(f"{name} of a disc in ordering.region", value, -1.0, 2.0)
        found.append((float(disc[0]), float(disc[1]), float(disc[2])))
    return found


def outside(region: Sequence[tuple[float, float, float]], height: int, width: int) -> Tensor:
    """[H, W] float64: how far each place is from the nearest disc, in shares of the picture; negative inside."""
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.stack([((x[None] - cx) ** 2 + (y[:, None] - cy) ** 2).sqrt() - radius for cx, cy, radius in region]).amin(dim=0)


def quantity(image: Tensor, effect: str, region: str | Sequence[Sequence[float]]) -> Tensor:
    """[B, C, H, W] in [-1, 1] -> a number: what an ordering by effect looks at."""
    if image.shape[1] < 3:
        image = image[:, :1].expand(-1, 3, -1, -1)
    red, green, blue = image[:, :3].unbind(1)
    y = luma(image[:, :3])
    match effect:
        case "brightness":
            return y.mean()
        case "warmth":
            return (red - blue).mean()
        case "green":
            return (green - (red + blue) / 2).mean()
        case "colour":
            return (image[:, :3] - y[:, None]).square().mean().add(1e-12).sqrt()
        case "contrast":
            return y.std()
        case "detail":
            return (y - F.avg_pool2d(y[:, None], 5, 1, 2, count_include_pad=False)[:, 0]).square().mean().add(1e-12).sqrt()
    inside = torch.sigmoid(-outside(discs(region), *y.shape[1:]) * 40).to(y)
    mean = (y * inside).sum() / inside.sum()
    return ((y - mean).square() * inside).sum().div(inside.sum()).add(1e-12).sqrt()


def slopes(generator: Generator, units: Units, ws: Tensor, gates: Tensor, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """[U]: the derivative of a measure of the picture by every unit's gate [U] (1: as it is, 0: silent)."""
    with torch.inference_mode(False), torch.enable_grad():
        gates = gates.clone().requires_grad_(True)
        parts = units.split(gates)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            return x * parts[layer.name].view(1, -1, 1, 1) if layer.name in parts else x

        image = edit(generator.bind(ws.clone(), edit)(edit), PICTURE)
        (slope,) = torch.autograd.grad(measure(image), gates, allow_unused=True)
    return torch.zeros_like(gates.detach()) if slope is None else slope


def _spread(values: Tensor) -> Tensor:
    """In [0, 1], by place: how much more is not asked."""
    return values.argsort(stable=True).argsort().float() / max(len(values) - 1, 1)
