"""The metrics by name. A metric is a class in a file of its own here; nothing else lists it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from forgetting import dependencies
from forgetting.analysis.metrics.metric import Metric
from forgetting.errors import check_choice
from forgetting.parts import find_part, part_modules

GROUP = "metric/"
"""The group of metrics among the parts."""

PLAIN_MODULE = f"{__package__}.plain"
"""The module of the metrics that ``plain`` selects. This module alone is imported for them."""

ORDER = (
    "structure",
    "flip",
    "features",
    "step",
    "light",
    "colour",
    "hue",
    "detail",
    "face",
    "identity",
)
"""The first columns of curve.csv; other metrics follow by name."""


def metric_names() -> list[str]:
    """Return the names of all metrics, in the order of columns; imports none of them."""
    names = [name.removeprefix(GROUP) for name in part_modules() if name.startswith(GROUP)]
    return sorted(
        names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)
    )


@cache
def find_metric(name: str) -> Metric:
    """Return a metric by its name; only its own module is imported.

    Raises:
        RequestError: there is no such metric.
    """
    check_choice("measure", name, metric_names())
    metric: Metric = find_part(f"{GROUP}{name}", "measure.names")()
    return metric


def known_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """Return the metrics among ``names``, by name, in the order of columns.

    A curve may hold columns of metrics that are not known here.
    """
    wanted = set(names)
    return {name: find_metric(name) for name in metric_names() if name in wanted}


def check_names(names: str | Sequence[str]) -> None:
    """Raise unless names select metrics; imports none of them.

    Raises:
        RequestError: there is no such metric.
    """
    if names not in ("auto", "all", "plain", "none"):
        for name in [names] if isinstance(names, str) else names:
            check_choice("measure", name, metric_names())


def select_metrics(names: str | Sequence[str]) -> list[str]:
    """Return the names of the selected metrics, in the order of columns.

    Args:
        names: one name or several; ``all``; ``none``; ``plain``, which need no network and no other
            package; or ``auto``, which is ``all`` where the packages are installed and else
            ``plain``.

    Raises:
        RequestError: there is no such metric.
    """
    known = metric_names()
    if names == "auto":
        required = {module for name in known for module in find_metric(name).requires}
        names = "all" if all(map(dependencies.is_installed, required)) else "plain"
    match names:
        case "all":
            return known
        case "plain":
            return [name for name in known if part_modules()[f"{GROUP}{name}"] == PLAIN_MODULE]
        case "none":
            return []
    check_names(names)
    selected = [names] if isinstance(names, str) else names
    return [name for name in known if name in selected]
