"""What is to happen: which units die in what order, of what, and when. Intents become the tracks of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.removal import Level, Operator
from forgetting.ablation.orderings.basic import Ordering, Together
from forgetting.ablation.pacing import Pacing, UnitPacing
from forgetting.ablation.plan import MAX_FRAMES, Plan, Track, ablation
from forgetting.ablation.schedules import Ease, Schedule
from forgetting.engines.engine import Engine, from_bytes
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError, check_int
from forgetting.film.compositor import Caption
from forgetting.film.settings import ENDINGS, FilmSettings
from forgetting.models.generator import Generator
from forgetting.models.unit_kinds import units_of_kinds


@dataclass(frozen=True)
class TrackSpec:
    """One track of a film: its ``units`` are a kind, or several."""

    ordering: Ordering
    operator: Operator
    schedule: Schedule
    pacing: Pacing
    units: str | Sequence[str] = "channels"
    name: str = ""

    def target(self, generator: Generator) -> Target:
        return Target(self.operator, units_of_kinds(generator, self.units))

    @property
    def softness(self) -> float:
        """An operator's softness is a share of the way to the schedule's far end."""
        return self.operator.softness * max(self.schedule.way)

    def rank(self, generator: Generator, ws: Tensor) -> Tensor:
        """[U]: who dies when."""
        return self.ordering(generator, units_of_kinds(generator, self.units), ws)


def ablation_task(generator: Generator, ws: Tensor, intents: Sequence[TrackSpec]) -> AblationTask:
    """The scene in which all of them happen."""
    return AblationTask(generator, ws, tuple(intent.target(generator) for intent in intents))


ENDING = 0.08
"""Share of a film that its ending takes, where the schedule leaves no more."""


def add_ending(intents: Sequence[TrackSpec], ending: str) -> list[TrackSpec]:
    """The same with an ending: what moves until the end stops before it, and the picture itself fades where it should."""
    if ending == "smudge":
        return list(intents)
    first, *others = intents
    schedule = first.schedule
    back = schedule.direction == "remember"
    if schedule.rest < ENDING:
        near, far = schedule.holds[::-1] if back else schedule.holds
        schedule = _holding(schedule, near, max(far, ENDING))
    found = [replace(first, schedule=schedule), *others]
    level = ENDINGS[ending]
    if level is None and ending != "clear":
        return found
    rest = max(schedule.rest, ENDING)
    fade = _holding(Schedule(Ease(), direction=schedule.direction), 1 - rest, 0.25 * rest)
    # A picture that becomes clear keeps its colours: how far it is gone becomes the frame's alpha.
    fading = Amplify(factor=1.0) if level is None else Level(level)
    return [*found, TrackSpec(Together(), fading, fade, UnitPacing(), "picture", "ending")]


def act_captions(intents: Sequence[TrackSpec], film: FilmSettings) -> list[Caption]:
    """What the acts of a film have to say, and when."""
    found = []
    for schedule in (intent.schedule for intent in intents):
        start, end = schedule.holds
        for act, begin, then in zip(
            schedule.acts, schedule.begins, schedule.begins[1:], strict=False
        ):
            if not act.caption:
                continue
            times = [film.duration * (start + (1 - start - end) * share) for share in (begin, then)]
            if schedule.direction == "remember":
                times = [film.duration - time for time in times[::-1]]
            found.append(Caption(act.caption, *times))
    return found


def _holding(schedule: Schedule, near: float, far: float) -> Schedule:
    """The same, standing still for these shares of the film where nothing is gone yet, and at the far end."""
    return replace(
        schedule, window=None, hold=(far, near) if schedule.direction == "remember" else (near, far)
    )


def sample_rows(intents: Sequence[TrackSpec], ranks: Sequence[Tensor], count: int) -> Tensor:
    """[count, R]: rows on the way, from nothing to the far end."""
    found = []
    for intent, rank in zip(intents, ranks, strict=True):
        far = max(intent.schedule.way)
        found.append(
            ablation(rank, torch.linspace(0, far, count, dtype=torch.float64), intent.softness)
        )
    return torch.cat(found, dim=1)


@torch.no_grad()
def make_plan(
    generator: Generator,
    intents: Sequence[TrackSpec],
    ranks: Sequence[Tensor],
    frames: int,
    engine: Engine | None,
) -> Plan:
    """The plan of a film of ``frames`` frames. Pacings look at pictures made by ``engine``, in which all else is intact.

    Raises:
        RequestError: a pacing wants to look, and there is no engine: what is dreamed at one moment nobody knows before.
    """
    check_int("the number of frames (film.fps x film.duration)", frames, 1, MAX_FRAMES)
    tracks, widths = [], [len(rank) for rank in ranks]
    for number, (intent, rank) in enumerate(zip(intents, ranks, strict=True)):

        def picture(
            p: float, number: int = number, rank: Tensor = rank, softness: float = intent.softness
        ) -> Tensor:
            if engine is None:
                raise RequestError(
                    "a pacing that looks at pictures has none to look at in a dream; take pacing=units"
                )
            parts = [torch.zeros(1, width) for width in widths]
            parts[number] = ablation(rank, torch.tensor([p], dtype=torch.float64), softness)
            return from_bytes(*engine(torch.cat(parts, dim=1)))

        fraction = intent.pacing(intent.schedule.loss(frames), intent.schedule.way, picture)
        layers = units_of_kinds(generator, intent.units).layers
        tracks.append(Track(rank, fraction, intent.softness, layers, intent.name))
    return Plan(tuple(tracks))


@torch.no_grad()
def make_simple_plan(
    generator: Generator,
    ws: Tensor,
    frames: int,
    ordering: Ordering,
    operator: Operator,
    schedule: Schedule,
    pacing: Pacing,
    engine: Engine | None = None,
) -> Plan:
    """The plan of a simple film: one track, of channels, of the face ``ws`` [1, L, W].

    Without an ``engine`` the pacing looks at pictures of the reference: torch in float32.
    """
    intent = TrackSpec(ordering, operator, schedule, pacing)
    engine = engine or TorchConfig().start(ablation_task(generator, ws, [intent]))
    return make_plan(generator, [intent], [intent.rank(generator, ws)], frames, engine)
