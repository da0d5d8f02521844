"""Small files in which a run or a sweep notes something about itself, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forgetting import cache


def write(path: Path, told: Mapping[str, Any]) -> None:
    """Note it; the file is there whole, or as it was."""
    with cache.whole(path) as part:
        part.write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """What is noted there; nothing, if it is not there or somebody wrote into it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
