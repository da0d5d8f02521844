"""The precisions that a processor computes faster than float32, by its instructions."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux lists the instructions of a processor."""


@cache
def instruction_sets() -> frozenset[str]:
    """Return the names of the processor's instruction sets, as in ``amx_bf16``.

    It is empty where neither torch nor the system lists them.
    """
    query = getattr(torch.cpu, "get_capabilities", None)  # torch 2.4 does not have it yet
    if query is not None:
        return frozenset(name for name, value in query().items() if value is True)
    if platform.system() == "Linux":
        lines = (line.partition(":") for line in CPUINFO.read_text(errors="replace").splitlines())
        listed = (names for key, _, names in lines if key.strip() in ("flags", "Features"))
        return frozenset(next(listed, "").split())
    return frozenset()


def fast_precisions(device: str) -> tuple[str, ...]:
    """Return the precisions that a device computes faster than float32, the most exact first.

    A precision that a processor merely emulates, or only converts, is not among them. Neither is
    float16 by AVX512-FP16: OpenVINO then took 1.3 times as long as in float32, see
    ``docs/benchmarks.md``.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    if device == "mps":
        return ("float16",)
    if device == "cuda":
        version = torch.cuda.get_device_capability()
        # Tensor cores compute float16 since Volta, bfloat16 since Ampere.
        fast = {"float16": version >= (7, 0), "bfloat16": version >= (8, 0)}
    else:
        # The last two are the names of half precision on ARM, by torch and by Linux.
        float16 = {"amx_fp16", "fp16_arith", "asimdhp"}
        bfloat16 = {"amx_bf16", "avx512_bf16"}
        available = instruction_sets()
        fast = {"float16": bool(available & float16), "bfloat16": bool(available & bfloat16)}
    return tuple(precision for precision, is_fast in fast.items() if is_fast)
