"""YAML from strangers: plain values, within limits that are checked before anything is built."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from forgetting.errors import RequestError, one_line

MAX_BYTES, MAX_DEPTH, MAX_NODES = 2**18, 50, 20_000
"""Limits of a YAML document; nodes are counted after aliases are expanded."""

MAX_DIGITS = 40
"""The most characters of a number."""

_FLOAT = re.compile(
    r"""^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.X,
)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads what Hydra and OmegaConf read: ``1e-3`` is a number, and a date is a text.

    It is written in Python as theirs is, so that both see the same values in every document.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; a key that stands there twice is refused, as OmegaConf does."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key, count in Counter(keys).items() if count > 1 and key != "<<"), "")
        if twice:
            raise ValueError(f"the key {twice} stands there twice")
        values: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return values


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


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

    Args:
        text: the document.
        name: of its file, for messages.

    Raises:
        RequestError: it cannot be read, or is larger than the limits.
    """
    if len(text) > MAX_BYTES:
        raise RequestError(
            f"{name} is larger than {MAX_BYTES:,} characters, the limit of a config; shorten it"
        )
    try:
        _check_limits(text, name)
        tree = yaml.load(text, Loader=_Loader)
        for _, value in strings(tree):
            value.encode()  # raises where no file could hold it as text
        return tree
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
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
        _check_event(event, name)
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


def _is_number(text: str) -> bool:
    """Return whether a text without quotes is read as a number."""
    resolvers = _Loader.yaml_implicit_resolvers.get(text[0], ())
    return any(tag.endswith((":int", ":float")) and exp.match(text) for tag, exp in resolvers)


def _check_event(event: yaml.Event, name: str) -> None:
    """Refuse tags, which ask for types that are not plain, and numbers without end."""
    if getattr(event, "tag", None) is not None:
        raise RequestError(
            f"{name} holds the tag {event.tag}, and a config holds plain values; remove the tag"
        )
    if isinstance(event, yaml.ScalarEvent) and event.style is None:
        digits = len(event.value)
        if digits > MAX_DIGITS and _is_number(event.value):
            raise RequestError(
                f"{name} holds a number of {digits:,} characters, and {MAX_DIGITS} are read; "
                "shorten it, or put it into quotes if it is a text"
            )
