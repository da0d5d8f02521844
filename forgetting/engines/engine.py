"""The contract of engines: rows of ablation in, frames of bytes out.

An engine is started once for an ablation task and then renders rows of a plan. ``torch`` in
float32 on the CPU is the reference that all others are compared with; the other engines run the
same network as one torch module that is traced, captured or batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.engines.pixels import Frame, Planes
from forgetting.models.activity import Activity

PRECISIONS = ("float32", "float16", "bfloat16")


class Outputs(NamedTuple):
    """What is wanted of a frame.

    Args:
        rgb: the picture as RGB.
        planes: the picture as the planes of 4:2:0; only of engines that make them.
        activity: the activity of units.
    """

    rgb: bool = True
    planes: bool = False
    activity: bool = False


class FrameRequest(NamedTuple):
    """A frame to render.

    Args:
        row: how far units are ablated, [R] in [0, 1].
        ws: the face [1, L, W], where it moves.
        outputs: what is wanted of the frame. No output depends on which others are wanted.
    """

    row: Tensor
    ws: Tensor | None = None
    outputs: Outputs = Outputs()


class Rendered(NamedTuple):
    """What was wanted of a frame.

    Args:
        frame: [H, W, 3], RGB.
        planes: the same picture as the planes of 4:2:0.
        activity: [M, A, A] of the memory map's cells; A x A areas of each map.
    """

    frame: Frame | None = None
    planes: Planes | None = None
    activity: Activity | None = None

    @property
    def rgb(self) -> Frame:
        """The frame as RGB, of requests that asked for it."""
        assert self.frame is not None
        return self.frame


class EngineInfo(Protocol):
    """What rendered a film, as its recipe records it."""

    @property
    def name(self) -> str:
        """The engine's name in the registry: ``torch`` is the part ``engine/torch``."""
        ...

    @property
    def precision(self) -> str:
        """One of ``PRECISIONS``."""
        ...

    @property
    def device(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions of packages that its frames depend on, besides torch's."""
        ...


class Engine(EngineInfo, Protocol):
    """An engine that was started for a task."""

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames in the order of the requests.

        A frame depends on its own request alone. Requests are taken as they are needed, at most a
        batch ahead, so that films of any length need no more memory than short ones.
        """
        ...

    @property
    def makes_planes(self) -> bool:
        """Whether requests may ask for planes."""
        ...

    def skipping(self, dead: Tensor) -> Engine:
        """Return the same engine, which may compute less where dead units are ablated.

        It may do so in frames whose row is 1 for all of them, decided by the row alone. What it
        leaves out is added up in another order, so the last bits of such frames may differ.

        Args:
            dead: which units [R] are dead.
        """
        ...


class EngineConfig(Protocol):
    """The settings of an engine."""

    def choose(self, task: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Start an engine for a task.

        Args:
            task: what is rendered.
            sample: some rows [N, R] of the film, on which precisions are compared.

        Returns:
            The engine, and a sentence about which one was chosen and why.
        """
        ...


def render_rows(engine: Engine, rows: Iterable[Tensor]) -> Iterator[Frame]:
    """Render rows [R] of ablation of the task's own face."""
    return (rendered.rgb for rendered in engine.render(FrameRequest(row) for row in rows))
