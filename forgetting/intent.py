"""What is to happen: which units die in what order, of what, and when. Intents become the tracks of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.bends import Amplify
from forgetting.engines import Engine, from_bytes
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, whole
from forgetting.film import ENDINGS, Film
from forgetting.generators import Generator
from forgetting.generators.parts import anatomy
from forgetting.layout import Caption
from forgetting.operators import Level, Operator
from forgetting.orderings import Ordering, Together
from forgetting.pacing import Pacing, Units
from forgetting.plan import MAX_FRAMES, Plan, Track, ablation
from forgetting.scene import Knob, Scene
from forgetting.schedules import Ease, Schedule


@dataclass(frozen=True)
class Intent:
    """One track of a film: its ``units`` are a kind, or several."""

    ordering: Ordering
    operator: Operator
    schedule: Schedule
    pacing: Pacing
    units: str | Sequence[str] = "channels"
    name: str = ""

    def knob(self, generator: Generator) -> Knob:
        return Knob(self.operator, anatomy(generator, self.units))

    @property
    def softness(self) -> float:
        """An operator's softness is a share of the way to the schedule's far end."""
        return self.operator.softness * max(self.schedule.way)

    def rank(self, generator: Generator, ws: Tensor) -> Tensor:
        """[U]: who dies when."""
        return self.ordering(generator, anatomy(generator, self.units), ws)


def scene(generator: Generator, ws: Tensor, intents: Sequence[Intent]) -> Scene:
    """The scene in which all of them happen."""
    return Scene(generator, ws, tuple(intent.knob(generator) for intent in intents))


ENDING = 0.08
"""Share of a film that its ending takes, where the schedule leaves no more."""


def ended(intents: Sequence[Intent], ending: str) -> list[Intent]:
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
    return [*found, Intent(Together(), fading, fade, Units(), "picture", "ending")]


def captions(intents: Sequence[Intent], film: Film) -> list[Caption]:
    """What the acts of a film have to say, and when."""
    found = []
    for schedule in (intent.schedule for intent in intents):
        start, end = schedule.holds
        for act, begin, then in zip(schedule.acts, schedule.begins, schedule.begins[1:], strict=False):
            if not act.caption:
                continue
            times = [film.duration * (start + (1 - start - end) * share) for share in (begin, then)]
            if schedule.direction == "remember":
                times = [film.duration - time for time in times[::-1]]
            found.append(Caption(act.caption, *times))
    return found


def _holding(schedule: Schedule, near: float, far: float) -> Schedule:
    """The same, standing still for these shares of the film where nothing is gone yet, and at the far end."""
    return replace(schedule, window=None, hold=(far, near) if schedule.direction == "remember" else (near, far))


def sample(intents: Sequence[Intent], ranks: Sequence[Tensor], count: int) -> Tensor:
    """[count, R]: rows on the way, from nothing to the far end."""
    found = []
    for intent, rank in zip(intents, ranks, strict=True):
        far = max(intent.schedule.way)
        found.append(ablation(rank, torch.linspace(0, far, count, dtype=torch.float64), intent.softness))
    return torch.cat(found, dim=1)


@torch.no_grad()
def planned(generator: Generator, intents: Sequence[Intent], ranks: Sequence[Tensor], frames: int, engine: Engine | None) -> Plan:
    """The plan of a film of ``frames`` frames. Pacings look at pictures made by ``engine``, in which all else is intact.

    Raises:
        RequestError: a pacing wants to look, and there is no engine: what is dreamed at one moment nobody knows before.
    """
    whole("the number of frames (film.fps x film.duration)", frames, 1, MAX_FRAMES)
    tracks, widths = [], [len(rank) for rank in ranks]
    for number, (intent, rank) in enumerate(zip(intents, ranks, strict=True)):

        def picture(p: float, number: int = number, rank: Tensor = rank, softness: float = intent.softness) -> Tensor:
            if engine is None:
                raise RequestError("a pacing that looks at pictures has none to look at in a dream; take pacing=units")
            parts = [torch.zeros(1, width) for width in widths]
            parts[number] = ablation(rank, torch.tensor([p], dtype=torch.float64), softness)
            return from_bytes(*engine(torch.cat(parts, dim=1)))

        fraction = intent.pacing(intent.schedule.loss(frames), intent.schedule.way, picture)
        layers = anatomy(generator, intent.units).layers
        tracks.append(Track(rank, fraction, intent.softness, layers, intent.name))
    return Plan(tuple(tracks))


@torch.no_grad()
def make(
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
    intent = Intent(ordering, operator, schedule, pacing)
    engine = engine or Torch().start(scene(generator, ws, [intent]))
    return planned(generator, [intent], [intent.rank(generator, ws)], frames, engine)
