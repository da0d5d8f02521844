"""The settings of a Ray cluster, as ``configs/cluster/ray.yaml`` holds them."""

from __future__ import annotations

from dataclasses import dataclass

from forgetting.errors import check_int, check_range
from forgetting.parts import part


@part("cluster/ray")
@dataclass(frozen=True)
class Ray:
    """A Ray cluster that renders segments.

    Args:
        address: Address of the cluster. None takes ``RAY_ADDRESS``, a cluster that runs on this
            machine, or starts a new one on this machine.
        cpus: Processors of a worker. None takes four, or all of the smallest node.
        per_gpu: Workers that share a GPU. If any node has a GPU, only GPU nodes render.
        workers: Workers to ask the autoscaler for. None uses the nodes that exist.
        shared: All nodes see the run's folder under the same path, so workers write their
            segments there instead of sending them back.
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
