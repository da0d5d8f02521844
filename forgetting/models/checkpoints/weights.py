"""The tensors of a foreign file, none of which a reader may leave out without saying why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor


class NotReadError(ValueError):
    """A network is sound, and of a kind that we do not read."""


class Weights(Mapping[str, Tensor]):
    """Tensors by name, those of half precision in float32; it records which of them were read.

    They are converted before anything is computed with them: scaling in half precision would round
    a second time.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        self._read.add(name)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def unread(self) -> list[str]:
        """Return the names of the tensors that were not read."""
        return [name for name in self._tensors if name not in self._read]


@contextmanager
def read_completely(
    tensors: Mapping[str, Tensor], passive: Mapping[str, str] | None = None
) -> Iterator[Weights]:
    """Lend the tensors to a reader, and raise if it leaves some of them out.

    Args:
        tensors: of the network.
        passive: patterns of names that no picture depends on -> the reason.

    Raises:
        NotReadError: it left out a tensor whose name matches none of the patterns.
    """
    weights = Weights(tensors)
    yield weights
    unread = [
        name
        for name in weights.unread()
        if not any(re.fullmatch(pattern, name) for pattern in passive or ())
    ]
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise NotReadError(
            f"it has {ascii(unread[0][:80])[1:-1]}{more}, which no network that we read has"
        )
