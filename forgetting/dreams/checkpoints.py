"""What a film in which every frame sequential from the one before needs to be gone on with: pictures, kept beside its segments."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from forgetting import files
from forgetting.film.segments import HASH

State = tuple[Tensor, ...]
"""All that the next frame sequential from."""

COUNT = 3
"""States that are kept: the writing is a few frames behind the dreaming, so that of the last segment may not be finished."""


@dataclass(frozen=True)
class FrameCheckpoints:
    """States in a ``folder``, one of every ``every`` frames; without a folder none.

    A file's name holds the number of the frame and the hash of its bytes: what was damaged is not gone on with.
    """

    folder: Path | None
    every: int

    def keep(self, index: int, state: State) -> None:
        """Keep the state at a frame, if it is its turn."""
        if self.folder is None or (index + 1) % self.every:
            return
        data = save({str(number): tensor.cpu().contiguous() for number, tensor in enumerate(state)})
        with files.atomic_write(self.folder / f"state-{index:07d}.{_hash(data)}") as piece:
            piece.write_bytes(data)
        for _, old in self._found()[:-COUNT]:
            old.unlink()

    def before(self, index: int) -> tuple[int, State] | None:
        """The last frame up to ``index`` whose state is there, and this."""
        for number, path in reversed(self._found()):
            data = path.read_bytes()
            if number <= index and path.name.endswith(_hash(data)):
                tensors = load(data)
                return number, tuple(tensors[key] for key in sorted(tensors, key=int))
        return None

    def _found(self) -> list[tuple[int, Path]]:
        paths = self.folder.glob("state-*") if self.folder is not None else ()
        return sorted(
            (int(match[1]), path)
            for path in paths
            if (match := re.fullmatch(rf"state-(\d+)\.[0-9a-f]{{{HASH}}}", path.name))
        )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH]
