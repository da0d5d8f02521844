"""What looks at the frames of a film while it is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from forgetting.engines.pixels import Frame


class FrameObserver(Protocol):
    """Sees frames as the network makes them, before they are composed.

    It is called in the thread that writes the film, beside the network. What it raises ends the
    film.
    """

    @property
    def indices(self) -> Sequence[int]:
        """The frames of the plan that it observes, ascending.

        It sees each of them right after the one before it in this list, whichever segments a
        process renders: if that one is in none of them, it is rendered for the observer alone.
        """
        ...

    def observe(self, index: int, frame: Frame, intact: Frame) -> None:
        """Look at a frame [H, W, 3], and at the picture that it is compared with."""
        ...

    def keep(self, segment: range) -> None:
        """Keep what was observed of a segment, all of whose frames have been seen.

        The segment gets its name afterwards, so that what was observed of a finished segment is
        never lost.

        Args:
            segment: the range of positions in the film.
        """
        ...


class FrameObservers:
    """The observers of the frames that a process renders.

    Args:
        observers: any number.
        own: the frames of the plan that belong to the segments of this process, ascending.
    """

    def __init__(self, observers: Sequence[FrameObserver], own: Sequence[int]) -> None:
        self._own = own
        self._indices = [(observer, frozenset(observer.indices)) for observer in observers]

    @cached_property
    def added(self) -> frozenset[int]:
        """The frames that are rendered for observers alone: each precedes an observed frame."""
        own, added = frozenset(self._own), set[int]()
        for observer, indices in self._indices:
            before = dict(zip(observer.indices[1:], observer.indices, strict=False))
            added |= {before[index] for index in own & indices if index in before}
        return frozenset(added - own)

    @cached_property
    def observed(self) -> frozenset[int]:
        """The frames that are observed, of its own and added."""
        rendered = frozenset((*self._own, *self.added))
        return rendered.intersection(set[int]().union(*(indices for _, indices in self._indices)))

    def observe(self, index: int, frame: Frame, intact: Frame) -> None:
        """Show an observed frame to those that observe it."""
        for observer, indices in self._indices:
            if index in indices:
                observer.observe(index, frame, intact)

    def keep(self, segment: range) -> None:
        """Let all observers keep what they observed of a segment."""
        for observer, _ in self._indices:
            observer.keep(segment)
