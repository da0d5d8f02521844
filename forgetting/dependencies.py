"""Packages that only a part of the project needs: each part says which extra brings its own."""

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
"""Hydra's launchers, and the extras that bring them."""


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def import_extra(module: str, extra: str) -> ModuleType:
    """The module, imported.

    Raises:
        RequestError: it is not installed; the extra that brings it is named.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise missing_extra(module.partition(".")[0], extra) from None


def missing_extra(what: str, extra: str) -> RequestError:
    """What to say of a package that is not there."""
    return RequestError(
        f"this needs {what}, which is not installed; pip install 'forgetting[{extra}]' brings it"
    )
