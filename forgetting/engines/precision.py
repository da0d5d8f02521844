"""The choice of a precision: by the processor, the size of the network, and the measured error.

No clock is read. Whatever else runs on a machine would change a measured time, and with it the
precision, and two runs of one command would make two films.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from forgetting.engines.engine import Engine, render_rows
from forgetting.engines.pixels import psnr
from forgetting.errors import ForgettingError
from forgetting.models.flops import count_multiply_adds

E = TypeVar("E", bound=Engine)

MIN_PSNR = 45.0
"""Decibels against float32 that a lower precision must keep on every sampled frame."""

MIN_MULTIPLY_ADDS = {"cpu": 200_000_000, "cuda": 1_000_000_000, "mps": 1_000_000_000}
"""Device -> the multiply-adds of a frame from which on a lower precision is worth its error.

On a CPU, ``make precisions`` measured it: with AVX512-BF16, every larger network of convolutions
was at least 1.4 times as fast; of smaller ones, some gained nothing, and a frame takes a
millisecond or two. DCGANs gain and lose nothing at any size. On a GPU it is an estimate: a frame
then takes about as long as launching its kernels.
"""


def choose_precision(
    start: Callable[[str], E],
    precisions: Sequence[str],
    device: str,
    reference: Engine,
    sample: Tensor,
) -> tuple[E, str]:
    """Return the engine in the chosen precision, and why it was chosen.

    Args:
        start: starts an engine in a precision.
        precisions: lower ones that the device computes faster than float32, the best first.
        device: ``cpu``, ``cuda`` or ``mps``.
        reference: the reference engine for the same task.
        sample: rows [N, R] of the film, on which the error is measured.

    Raises:
        ForgettingError: not even float32 makes the pictures of the reference.
    """
    frames, cost = count_multiply_adds(lambda: list(render_rows(reference, sample)))
    cost //= len(frames)
    size, least = f"a frame takes {_millions(cost)} multiply-adds", MIN_MULTIPLY_ADDS[device]
    reasons = []
    if not precisions:
        reasons.append("this processor computes no lower precision faster")
    elif cost < least:
        reasons.append(f"{size}, and a lower precision pays from {_millions(least)} on")
        precisions = ()
    for precision in precisions:
        engine = start(precision)
        quality = psnr(render_rows(engine, sample), frames)
        if quality >= MIN_PSNR:
            reasons += [f"this processor has instructions for {precision}", size]
            reasons.append(f"and it keeps {quality:.0f} dB (at least {MIN_PSNR:.0f})")
            return engine, ", ".join(reasons)
        reasons.append(f"{precision} keeps {quality:.0f} dB only (at least {MIN_PSNR:.0f})")
        del engine  # a compiled face takes hundreds of megabytes
    engine = start("float32")
    quality = psnr(render_rows(engine, sample), frames)
    if quality < MIN_PSNR:
        raise ForgettingError(
            f"{engine.name} in float32 does not make the picture that torch makes "
            f"({quality:.0f} dB); take engine=torch"
        )
    return engine, ", ".join(reasons)


def _millions(count: int) -> str:
    return f"{count / 1e6:,.0f} million"
