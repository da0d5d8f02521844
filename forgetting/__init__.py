"""Films of a neural network forgetting.

A trained image generator loses its units one after another, by a chosen strategy; every degraded state is a frame.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgetting.intent import make as make_plan
    from forgetting.latents import Seed
    from forgetting.operators import Average, Mean, Prune, Zero
    from forgetting.orderings import Activation, Contribution, Layers, Magnitude, Random
    from forgetting.pacing import Perceptual
    from forgetting.plan import Plan, Track
    from forgetting.plan import load as load_plan
    from forgetting.plan import save as save_plan
    from forgetting.render import frames
    from forgetting.schedules import Ease, Exponential, Gompertz, Linear, Schedule, Sigmoid, Steps
    from forgetting.zoo import load

__version__ = version("forgetting")

__all__ = [
    "Activation", "Average", "Contribution", "Ease", "Exponential", "Gompertz", "Layers", "Linear", "Magnitude", "Mean",
    "Perceptual", "Plan", "Prune", "Random", "Schedule", "Seed", "Sigmoid", "Steps", "Track", "Zero", "frames", "load", "load_plan",
    "make_plan", "save_plan",
]  # fmt: skip

_ROOMS = {
    "intent": ("make_plan",),
    "latents": ("Seed",),
    "operators": ("Average", "Mean", "Prune", "Zero"),
    "orderings": ("Activation", "Contribution", "Layers", "Magnitude", "Random"),
    "pacing": ("Perceptual",),
    "plan": ("Plan", "Track", "load_plan", "save_plan"),
    "render": ("frames",),
    "schedules": ("Ease", "Exponential", "Gompertz", "Linear", "Schedule", "Sigmoid", "Steps"),
    "zoo": ("load",),
}


def __getattr__(name: str) -> Any:
    """Bring a name when it is first asked for: torch takes seconds to import, and help needs none of it."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"forgetting.{room}"), name.removesuffix("_plan"))
    raise AttributeError(f"module 'forgetting' has no attribute {name!r}")
