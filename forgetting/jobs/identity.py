"""What the frames of a task depend on, as a hash under which results are kept between runs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting.film import input_files
from forgetting.film.recipe import EXECUTION_KEYS, EXPERIMENT
from forgetting.jobs.configs import runs_code_of_others
from forgetting.models.checkpoints.native import fingerprint
from forgetting.models.generator import Generator
from forgetting.result_cache import code_fingerprint, digest

OTHER_KEYS = (*EXECUTION_KEYS, EXPERIMENT, "plan", "recipe", "schedule", "engine", "film")
"""Keys of a config on which no picture of a row depends, except for the ending of the film."""


def task_identity(config: Mapping[str, Any], generator: Generator, ws: Tensor) -> str | None:
    """Return the hash of all that pictures of rows depend on.

    That is weights, face, units, operators, files, and the versions of code and packages.

    Args:
        config: resolved, as plain values.
        generator: the network.
        ws: the face [1, L, W].

    Returns:
        The hash; None where code of others takes part, whose changes are not seen.
    """
    if runs_code_of_others(config):
        return None
    parts = {key: value for key, value in config.items() if key not in OTHER_KEYS}
    versions = [str(torch.__version__), np.__version__, platform.python_version()]
    return digest(
        code_fingerprint(),
        versions,
        fingerprint(generator),
        ws.numpy().tobytes(),
        parts,
        config["film"].get("ending"),
        input_files.record(config),
    )
