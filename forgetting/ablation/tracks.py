"""Track specs: which units are ablated, by what, in which order and when.

They become the tracks of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.ablation.curves import Ease
from forgetting.ablation.edits import AblationTask, Target
from forgetting.ablation.operators.bending import Amplify
from forgetting.ablation.operators.operator import Operator
from forgetting.ablation.operators.removal import Level
from forgetting.ablation.orderings.basic import Together
from forgetting.ablation.orderings.ordering import Ordering, RankRequest
from forgetting.ablation.pacing import Pacing, UnitPacing
from forgetting.ablation.plan import MAX_FRAMES, Plan, Track, ablation
from forgetting.ablation.schedules import Schedule
from forgetting.errors import RequestError, check_int
from forgetting.models.generator import Generator
from forgetting.models.unit_kinds import units_of_kinds
from forgetting.result_cache import digest

RenderRow = Callable[[Tensor], Tensor]
"""A row of ablation [1, R] -> the picture [1, 3, H, W] in [-1, 1] under it."""


@dataclass(frozen=True)
class TrackSpec:
    """One track of a film before its plan is made.

    Args:
        ordering: decides in which order its units are ablated.
        operator: what replaces them.
        schedule: when they are ablated.
        pacing: what the schedule counts: units, or visible change.
        units: the kind of its units, or several kinds.
        name: of the track; empty for the only track of a film.
    """

    ordering: Ordering
    operator: Operator
    schedule: Schedule
    pacing: Pacing
    units: str | Sequence[str] = "channels"
    name: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its units."""
        return (self.units,) if isinstance(self.units, str) else tuple(self.units)

    @property
    def softness(self) -> float:
        """The share of the ranks' axis that a unit takes to fade.

        The operator counts it up to the schedule's end.
        """
        return self.operator.softness * max(self.schedule.waypoints)

    def target(self, generator: Generator) -> Target:
        """Return the operator with the units of ``generator`` that it applies to."""
        return Target(self.operator, units_of_kinds(generator, self.units))

    def rank(self, generator: Generator, ws: Tensor) -> Tensor:
        """Return the ranks [U] of its units for the faces ``ws`` [B, L, W]."""
        units = units_of_kinds(generator, self.units)
        return self.ordering.rank(RankRequest(generator, units, ws))


def ablation_task(generator: Generator, ws: Tensor, specs: Sequence[TrackSpec]) -> AblationTask:
    """Return the task that applies the operators of all tracks to the face ``ws`` [1, L, W]."""
    return AblationTask(generator, ws, tuple(spec.target(generator) for spec in specs))


ENDINGS: Mapping[str, float | None] = {
    "smudge": None,
    "hold": None,
    "black": -1.0,
    "white": 1.0,
    "clear": None,
}
"""How a film can end -> the level in [-1, 1] that the picture fades to, or None."""

ENDING_SHARE = 0.08
"""Share of a film that its ending takes where the schedule leaves less."""


def add_ending(specs: Sequence[TrackSpec], ending: str) -> list[TrackSpec]:
    """Return the specs with an ending, a key of ``ENDINGS``.

    The first track stops before the end of the film. Where the picture fades, a track for the unit
    ``picture/`` follows the others.
    """
    if ending == "smudge":
        return list(specs)
    first, *others = specs
    schedule = first.schedule
    if schedule.still_share < ENDING_SHARE:
        near, far = schedule.holds[::-1] if schedule.direction == "remember" else schedule.holds
        schedule = _with_holds(schedule, near, max(far, ENDING_SHARE))
    ended = [replace(first, schedule=schedule), *others]
    level = ENDINGS[ending]
    if level is None and ending != "clear":
        return ended
    share = max(schedule.still_share, ENDING_SHARE)
    fade = Schedule(Ease(), direction=schedule.direction)
    # A picture that becomes clear keeps its colours: its ablation becomes the alpha of the frame.
    operator = Amplify(factor=1.0) if level is None else Level(level)
    fade = _with_holds(fade, 1 - share, 0.25 * share)
    return [*ended, TrackSpec(Together(), operator, fade, UnitPacing(), "picture", "ending")]


def _with_holds(schedule: Schedule, near: float, far: float) -> Schedule:
    """Return the schedule with these shares of stillness at the intact end and at the far end."""
    holds = (far, near) if schedule.direction == "remember" else (near, far)
    return replace(schedule, window=None, hold=holds)


def sample_rows(specs: Sequence[TrackSpec], ranks: Sequence[Tensor], count: int) -> Tensor:
    """Return ``count`` rows [count, R], spread evenly from intact to the schedules' far ends."""
    rows = []
    for spec, rank in zip(specs, ranks, strict=True):
        fraction = torch.linspace(0, max(spec.schedule.waypoints), count, dtype=torch.float64)
        rows.append(ablation(rank, fraction, spec.softness))
    return torch.cat(rows, dim=1)


@torch.no_grad()
def make_plan(
    generator: Generator,
    specs: Sequence[TrackSpec],
    ranks: Sequence[Tensor],
    frames: int,
    render_row: RenderRow | None,
    identity: str | None = None,
) -> Plan:
    """Return the plan of a film.

    Args:
        generator: the network that is ablated.
        specs: one for every track.
        ranks: of every track, [U].
        frames: number of frames.
        render_row: renders a row for pacings that look at pictures; only the units of one track are
            ablated in it. None where nothing can be rendered before the film.
        identity: hash of all that rendered rows depend on, under which measurements may be kept
            between runs; None keeps nothing.

    Raises:
        RequestError: too many frames, or a pacing needs ``render_row`` and there is none.
    """
    check_int("the number of frames (film.fps x film.duration)", frames, 1, MAX_FRAMES)
    tracks, widths = [], [len(rank) for rank in ranks]
    for number, (spec, rank) in enumerate(zip(specs, ranks, strict=True)):

        def picture(
            fraction: float, number: int = number, rank: Tensor = rank, spec: TrackSpec = spec
        ) -> Tensor:
            if render_row is None:
                raise RequestError(
                    "pacing=perceptual cannot look at the pictures of a dream before it is "
                    "dreamed; "
                    "take pacing=units"
                )
            rows = [torch.zeros(1, width) for width in widths]
            rows[number] = ablation(
                rank, torch.tensor([fraction], dtype=torch.float64), spec.softness
            )
            return render_row(torch.cat(rows, dim=1))

        schedule = spec.schedule
        of_track = None
        if identity is not None:
            of_track = digest(identity, number, rank.numpy().tobytes(), spec.softness)
        fraction = spec.pacing.fractions(
            schedule.progress(frames), schedule.waypoints, picture, of_track
        )
        layers = units_of_kinds(generator, spec.units).layers
        tracks.append(Track(rank, fraction, spec.softness, layers, spec.name))
    return Plan(tuple(tracks))
