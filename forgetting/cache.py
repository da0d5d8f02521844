"""The user's cache folder, and files that appear there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from forgetting.errors import FetchError


def folder() -> Path:
    """Where converted models and statistics are kept; ``FORGETTING_CACHE`` moves it."""
    path = Path(os.environ.get("FORGETTING_CACHE") or user_cache_path("forgetting", appauthor=False))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"the cache folder {path} cannot be made ({error.strerror}); set FORGETTING_CACHE to another") from None
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` when the block ends well, and vanishes otherwise."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
