"""Runs that cannot be read: they are left out, and named with their reasons at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from forgetting.errors import ForgettingError, Interrupted, one_line

MOST = 400
"""The most letters of a reason."""


@dataclass(frozen=True)
class UnreadableRuns:
    """The runs that something was to be made of and that cannot be read.

    Args:
        reasons: why, by the folder of the run.
    """

    reasons: dict[Path, str] = field(default_factory=dict)

    @contextmanager
    def leave_out(self, folder: Path) -> Iterator[None]:
        """Record the error that the block raises as the reason for leaving out the run.

        Errors of the operating system are raised: reading turns them into errors of ours, so they
        are about what is written.
        """
        try:
            yield
        except (OSError, Interrupted):
            raise
        except ForgettingError as error:
            self.reasons[folder] = one_line(error, MOST)
        except Exception as error:  # whatever a stranger's file does, the other runs go on
            self.reasons[folder] = one_line(f"{type(error).__name__}: {error}", MOST)

    def sentences(self) -> list[str]:
        """Return a sentence about every run."""
        return [f"{folder} is left out: {reason}" for folder, reason in self.reasons.items()]
