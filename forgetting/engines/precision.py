"""Which precision: the fastest that keeps the picture, measured on frames of the very film."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from forgetting.engines.engine import Engine, Frame, psnr
from forgetting.errors import ForgettingError

E = TypeVar("E", bound=Engine)

MIN_PSNR = 45.0
"""Decibels against float32 that a lower precision must keep on every sampled frame to be chosen by itself."""

MIN_SPEEDUP = 1.25
"""How many times faster a lower precision must be to be chosen: a small gain is not worth a bit."""


def choose_precision(
    start: Callable[[str], E], precisions: Sequence[str], sample: Tensor, intended: Sequence[Frame]
) -> tuple[E, str]:
    """The engine to take, and the decibels of all that were tried; ``precisions`` begin with float32.

    Raises:
        ForgettingError: not even float32 makes the pictures that are ``intended``.
    """
    chosen, best, notes = None, 0.0, []
    for precision in precisions:
        engine = start(precision)
        quality, seconds = psnr(engine(sample), intended), _seconds(engine, sample[:2])
        if chosen is None and quality < MIN_PSNR:
            raise ForgettingError(
                f"{engine.name} in {precision} does not make the picture that torch makes ({quality:.0f} dB)"
            )
        notes.append(f"{precision} {quality:.0f} dB")
        if chosen is None or (quality >= MIN_PSNR and seconds * MIN_SPEEDUP < best):
            chosen, best = engine, seconds
        del engine  # only one too many at a time: a compiled face takes hundreds of megabytes
    assert chosen is not None
    return chosen, f"the fastest that keeps {MIN_PSNR:.0f} dB ({', '.join(notes)})"


def _seconds(engine: Engine, sample: Tensor, repeats: int = 2) -> float:
    """The fastest of a few rounds: what disturbs a measurement only ever makes it slower."""
    found = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in engine(sample):
            pass
        found = min(found, time.perf_counter() - started)
    return found
