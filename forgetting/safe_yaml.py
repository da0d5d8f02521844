"""YAML from strangers: plain values, within limits that are checked before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from forgetting.errors import RequestError, one_line

MAX_BYTES, MAX_DEPTH, MAX_NODES = 2**20, 50, 50_000
"""Limits of a YAML document; nodes are counted after aliases are expanded."""


def strings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string value in a tree, with its dotted key."""
    if isinstance(node, str):
        yield key, node
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    for name, value in items:
        yield from strings(value, f"{key}.{name}" if key else str(name))


def load_yaml(text: str, name: str) -> Any:
    """The value of a YAML document, of plain types only.

    Raises:
        RequestError: it cannot be read, or is larger than the limits.
    """
    if len(text) > MAX_BYTES:
        raise RequestError(
            f"{name} is larger than {MAX_BYTES} bytes, the limit of a config; shorten it"
        )
    try:
        _check_limits(text, name)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{name} cannot be read as YAML ({one_line(error)})") from None


def _check_limits(text: str, name: str) -> None:
    """Refuse a document that is too deep or, with its aliases expanded, too large.

    Reads events and builds nothing.
    """
    sizes, counts, anchors, total = dict[str, int](), [0], list[str | None](), 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        size = 0
        if isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor)
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            size = counts.pop()
            if anchor := anchors.pop():
                sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            size, total = 1, total + 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise RequestError(
                    f"{name} holds an alias, *{event.anchor}, of something that is not complete; "
                    "write it out"
                )
            size = sizes[event.anchor]
            total += size
        counts[-1] += size
        if total > MAX_NODES or len(counts) > MAX_DEPTH:
            raise RequestError(
                f"{name} is larger than a config can be: up to {MAX_NODES} values, {MAX_DEPTH} "
                "deep, are read; shorten it"
            )
