"""Packages that only some parts of the project need, and the extras that install them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from types import ModuleType

from forgetting.errors import RequestError

LAUNCHERS: Mapping[str, str] = {
    "joblib": "joblib",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
}
"""Hydra's launchers -> the extras that install them."""


def is_installed(module: str) -> bool:
    """Return whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module of an extra.

    Raises:
        RequestError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise missing_extra(package, extra) from None


def missing_extra(what: str, extra: str) -> RequestError:
    """Return the error for something that an extra would install."""
    return RequestError(
        f'this needs {what}, which is not installed; pip install "forgetting[{extra}]" installs it'
    )
