"""Films made by many machines: the segments of a film are tasks on a Ray cluster, and come back to the folder of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting.dependencies import import_extra
from forgetting.errors import check_int, check_range

if TYPE_CHECKING:
    from forgetting.crew import Crew


@dataclass(frozen=True)
class Ray:
    """A Ray cluster.

    Args:
        address: of the cluster; None is what ``RAY_ADDRESS`` names, one that runs on this machine, or a new one of this machine alone.
        cpus: processors of a worker; None is four, or all of the smallest node.
        per_gpu: workers that share a GPU, where there are any; all work is done on nodes that have one then.
        workers: for how many to ask an autoscaler, where the cluster has one; None takes what is there.
        shared: the folder of the run is the same for all nodes: segments are written there, and do not travel.
    """

    address: str | None = None
    cpus: float | None = None
    per_gpu: int = 1
    workers: int | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.cpus is not None:
            check_range("cluster.cpus", self.cpus, 0.1, 10_000)
        check_int("cluster.per_gpu", self.per_gpu, 1, 64)
        if self.workers is not None:
            check_int("cluster.workers", self.workers, 1, 100_000)

    @contextmanager
    def hired(self) -> Iterator[Crew]:
        """The crew of that cluster, until nobody needs it any more; everything that is unfinished then is dropped.

        Raises:
            RequestError: Ray is not installed.
            ForgettingError: there is no such cluster.
        """
        import_extra("ray", "ray")
        from forgetting.cluster.hired import Hired
        from forgetting.cluster.queue import Queue
        from forgetting.cluster.team import RayTeam

        queue = Queue(RayTeam(self.address, self.cpus, self.per_gpu, self.workers or 0))
        try:
            yield Hired(queue, self.shared)
        finally:
            queue.close()
