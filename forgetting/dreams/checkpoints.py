"""Checkpoints for resuming films whose frames depend on the frame before."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from forgetting import files
from forgetting.errors import RequestError, one_line
from forgetting.film.segments import HASH

State = tuple[Tensor, ...]
"""Everything that the next frame depends on."""

COUNT = 3
"""Checkpoints that are not deleted. Segments are finished a few frames after they are dreamed, so
the last checkpoint can lie beyond the last finished segment."""

MAX_BYTES = 1 << 30
"""The largest file that is read: several pictures of 64 million pixels."""


@dataclass(frozen=True)
class FrameCheckpoints:
    """The checkpoints in a folder.

    The name of a file holds the number of the frame and the hash of its bytes, so that damaged
    files are ignored.

    Args:
        folder: where they lie; None saves nothing.
        every: frames from one checkpoint to the next.
    """

    folder: Path | None
    every: int

    def save(self, index: int, state: State) -> None:
        """Save the state at a frame, if it is one of every ``every`` frames."""
        if self.folder is None or (index + 1) % self.every:
            return
        data = save({str(number): tensor.cpu().contiguous() for number, tensor in enumerate(state)})
        with files.atomic_write(self.folder / f"state-{index:07d}.{_hash(data)}") as part:
            part.write_bytes(data)
        for _, old in self._paths()[:-COUNT]:
            old.unlink()

    def latest_before(self, index: int) -> tuple[int, State] | None:
        """Return the last intact checkpoint up to a frame: its frame and its state."""
        for number, path in reversed(self._paths()):
            if number > index:
                continue
            with files.open_own(path) as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) <= MAX_BYTES and path.name.endswith(_hash(data)):
                return number, _tensors(data, path)
        return None

    def _paths(self) -> list[tuple[int, Path]]:
        """Return the frames and the files of all checkpoints, in order."""
        paths = self.folder.glob("state-*") if self.folder is not None else ()
        return sorted(
            (int(match[1]), path)
            for path in paths
            if (match := re.fullmatch(rf"state-(\d+)\.[0-9a-f]{{{HASH}}}", path.name))
        )


def _tensors(data: bytes, path: Path) -> State:
    """Return the state in a checkpoint.

    Raises:
        RequestError: a file with the right hash holds none, so it is not ours.
    """
    try:
        tensors = load(data)
        return tuple(tensors[key] for key in sorted(tensors, key=int))
    except (SafetensorError, ValueError, KeyError) as error:
        raise RequestError(
            f"{path} is no checkpoint of a dream ({one_line(error)}); remove it"
        ) from None


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH]
