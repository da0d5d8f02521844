"""The choice of a precision.

The fastest one that keeps the picture, measured on frames of the film itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from forgetting.engines.engine import Engine, Frame, psnr, render_rows
from forgetting.errors import ForgettingError

E = TypeVar("E", bound=Engine)

MIN_PSNR = 45.0
"""Decibels against float32 that a lower precision must keep on every sampled frame."""

MIN_SPEEDUP = 1.25
"""How many times faster a lower precision must be: a small gain is not worth a lower precision."""


def choose_precision(
    start: Callable[[str], E], precisions: Sequence[str], sample: Tensor, reference: Sequence[Frame]
) -> tuple[E, str]:
    """Return the engine in the chosen precision, and the decibels of all that were compared.

    Args:
        start: starts an engine in a precision.
        precisions: the first one is float32.
        sample: rows [N, R] of the film.
        reference: the frames of these rows, by the reference engine.

    Raises:
        ForgettingError: not even float32 makes the pictures of the ``reference``.
    """
    chosen, best, notes = None, 0.0, []
    for precision in precisions:
        engine = start(precision)
        quality = psnr(render_rows(engine, sample), reference)
        seconds = _fastest_seconds(engine, sample[:2])
        if chosen is None and quality < MIN_PSNR:
            raise ForgettingError(
                f"{engine.name} in {precision} does not make the picture that torch makes "
                f"({quality:.0f} dB); take engine=torch"
            )
        notes.append(f"{precision} {quality:.0f} dB")
        if chosen is None or (quality >= MIN_PSNR and seconds * MIN_SPEEDUP < best):
            chosen, best = engine, seconds
        del engine  # a compiled face takes hundreds of megabytes: keep at most two at a time
    assert chosen is not None
    return chosen, f"the fastest that keeps {MIN_PSNR:.0f} dB ({', '.join(notes)})"


def _fastest_seconds(engine: Engine, sample: Tensor, repeats: int = 2) -> float:
    """Return the seconds of the fastest of a few rounds.

    Disturbances only ever make a round slower.
    """
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in render_rows(engine, sample):
            pass
        best = min(best, time.perf_counter() - started)
    return best
