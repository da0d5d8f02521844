"""The recipe in the metadata of a film, which goes wherever the file goes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from forgetting.errors import RequestError
from forgetting.files import parse_json
from forgetting.film.ffmpeg import ffmpeg_command, file_source
from forgetting.film.settings import FilmSettings

MAX_BYTES = 2**20
"""The most metadata that is read of a film."""


def title_frames(path: Path) -> int:
    """Return the number of frames of a film's title, as the recipe in its metadata describes it.

    Args:
        path: of a film, which may come from a stranger; a film without a recipe has no title.
    """
    try:
        film = parse_json(_comment(path))["config"]["film"]
        known = {name: film[name] for name in ("fps", "duration", "every", "title")}
        known["title_duration"] = film.get("title_duration", FilmSettings.title_duration)
        return FilmSettings.from_dict(known).title_frames
    except (ValueError, KeyError, TypeError, AttributeError, RequestError):
        return 0


def _comment(path: Path) -> str:
    """Return the comment in a film's metadata; an empty text if there is none."""
    with subprocess.Popen(
        ffmpeg_command(*file_source(path), "-f", "ffmetadata", "-"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        content = process.stdout.read(MAX_BYTES).decode(errors="replace")
        process.kill()
    match = re.search(r"^comment=((?:\\.|[^\\\n])*)$", content, re.MULTILINE | re.IGNORECASE)
    return re.sub(r"\\(.)", r"\1", match[1]) if match else ""
