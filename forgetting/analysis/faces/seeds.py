"""The seeds that a user writes, as a range or a list."""

from __future__ import annotations

import re
from collections.abc import Sequence

from forgetting.errors import RequestError, check_seed

MOST = 1024
"""The most faces of a sheet."""

_SPAN = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?")


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text names, each once, in its order.

    >>> parse_seeds("0-3,23,[41]")
    [0, 1, 2, 3, 23, 41]

    Raises:
        RequestError: it names none, too many, or something else.
    """
    seeds: dict[int, None] = {}
    for span in re.sub(r"[\[\]\s'\"]", "", text).split(","):
        match = _SPAN.fullmatch(span)
        if match is None:
            raise RequestError(
                "latent.seed must be a range or a list of seeds, as in latent.seed=0-63 or "
                f"latent.seed=3,23,41, got {text!r}"
            )
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        for end in (first, last):
            check_seed("latent.seed", end)
        if last < first:
            raise RequestError(
                f"the range {span} ends before it begins; write latent.seed={last}-{first}"
            )
        if len(seeds) + last - first + 1 > MOST:
            raise RequestError(
                f"a sheet has at most {MOST:,} faces, and latent.seed={text} asks for more; "
                f"begin with latent.seed={first}-{first + MOST - 1}"
            )
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)


def spans(seeds: Sequence[int]) -> str:
    """Return seeds as a text that :func:`parse_seeds` reads.

    >>> spans([0, 1, 2, 23, 41])
    '0-2, 23, 41'
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)
