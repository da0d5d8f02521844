"""Packages that only a part of the project needs: each part says which extra brings its own."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from forgetting.errors import RequestError


def here(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def needed(module: str, extra: str) -> ModuleType:
    """The module, imported.

    Raises:
        RequestError: it is not installed; the extra that brings it is named.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise RequestError(
            f"this needs {module.partition('.')[0]}, which is not installed; pip install 'forgetting[{extra}]' brings it"
        ) from None
