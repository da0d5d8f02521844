"""The types of settings: a part gets what its fields are annotated with, or a sentence says what.

Parts check the ranges of their settings themselves. Configs may come from strangers and hold
anything anywhere, so types are checked here, once for all parts.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from forgetting.errors import ForgettingError, RequestError, one_line

_PLAIN = (str, int, float, list, tuple, dict, type(None))

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


_PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


def construct(cls: type, settings: Mapping[str, Any], where: str) -> Any:
    """Return an instance of a part, or of other settings.

    Args:
        cls: a dataclass.
        settings: field -> value; only names of fields.
        where: dotted key of the part in the config, for messages.

    Raises:
        RequestError: a setting is missing, or is of a type that the part cannot have.
        ForgettingError: the part refuses a value.
    """
    for field in dataclasses.fields(cls):
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.init and field.name not in settings:
            raise RequestError(f"{where}.{field.name} is missing; set it")
    try:
        part = cls(**settings)
    except ForgettingError:
        raise
    except Exception as error:  # values of a wrong type do anything
        _check_types(cls, settings, where)
        raise RequestError(
            f"{where} has settings that it cannot have ({one_line(error)}); check them"
        ) from None
    _check_types(cls, settings, where)
    return part


def _check_types(cls: type, settings: Mapping[str, Any], where: str) -> None:
    hints = _hints(cls)
    for name, value in settings.items():
        hint = hints.get(name, Any)
        if not _fits(value, hint):
            raise RequestError(f"{where}.{name} must be {_described(hint)}, got {value!r}")


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Return field -> type; empty for a part of others whose annotations cannot be resolved."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type; a whole number is a number too."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in arguments)
    if origin is Literal:
        return value in arguments
    if hint in (int, float):
        accepted = int if hint is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool)
    if origin is not None:
        if isinstance(value, str) or not isinstance(value, origin):
            return False
        item = arguments[0] if issubclass(origin, Sequence) else Any
        return all(_fits(part, item) for part in value)
    if getattr(hint, "_is_protocol", False):
        return not isinstance(value, _PLAIN) and _members(hint) <= _members_of(value)
    return not isinstance(hint, type) or isinstance(value, hint)


@cache
def _members(protocol: type) -> frozenset[str]:
    names = {*vars(protocol), *getattr(protocol, "__annotations__", {})}
    return frozenset(name for name in names if not name.startswith("_"))


def _members_of(value: Any) -> set[str]:
    return {*dir(type(value)), *getattr(type(value), "__dataclass_fields__", {})}


def _described(hint: Any) -> str:
    """Return a type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(choice) for choice in arguments))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is not None and issubclass(origin, Sequence):
        return f"a list of {_PLURALS.get(arguments[0], 'values')}"
    return f"a part (_target_: GROUP/NAME) of the kind {getattr(hint, '__name__', hint)}"
