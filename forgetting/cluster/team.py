"""The workers of a Ray cluster: actors, pinned to their nodes; the only file that knows Ray."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from forgetting.cluster.painter import Painter
from forgetting.cluster.queue import Outcome, Task
from forgetting.errors import ForgettingError, RequestError, one_line

LOOK = 1.0
"""Seconds from one look at which nodes there are to the next."""

FEW = 4
"""Processors of a worker where nobody says how many: one network makes little of more."""


class RayTeam:
    """As many workers as fit the nodes that there are, begun when there is work for them."""

    def __init__(
        self, address: str | None, cpus: float | None, per_gpu: int, workers: int = 0
    ) -> None:
        self.ours = not ray.is_initialized()
        if self.ours:
            try:
                ray.init(
                    address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=False,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = f"at {address}" if address else "where RAY_ADDRESS says"
                raise ForgettingError(
                    f"there is no Ray cluster {where} ({one_line(error)}); begin one with: ray start --head"
                ) from None
        self.cpus, self.per_gpu = cpus, per_gpu
        self.actors: dict[str, Any] = {}
        self.at: dict[Any, tuple[str, Task]] = {}  # what they are at
        self.looked, self.found = 0.0, dict[str, str]()
        self.asked = workers
        if workers:
            request_resources(bundles=[{"CPU": cpus or FEW}] * workers)
        elif not self.seats():
            self.close()
            raise RequestError(
                f"no node of the cluster has room for a worker of {self.cpus:g} processors; say cluster.cpus=N"
            )

    def shared(self, data: bytes) -> Any:
        """Data that many tasks are given: it travels to a node once."""
        return ray.put(data)

    def seats(self) -> Mapping[str, str]:
        if time.monotonic() - self.looked > LOOK:
            self.found, self.looked = self._seats(), time.monotonic()
        return self.found

    def _seats(self) -> dict[str, str]:
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        gpus = any(resources.get("GPU") for resources in nodes.values())
        processors = [resources["CPU"] for resources in nodes.values() if resources.get("CPU")]
        self.cpus = self.cpus or min([FEW, *processors])
        self.share = (
            {"num_cpus": 0, "num_gpus": 1 / self.per_gpu} if gpus else {"num_cpus": self.cpus}
        )
        found = dict[str, str]()
        for name, resources in nodes.items():
            room = (
                resources.get("GPU", 0) * self.per_gpu
                if gpus
                else resources.get("CPU", 0) / self.cpus
            )
            found |= {f"{name}/{number}": name for number in range(int(room + 1e-6))}
        return found

    def give(self, worker: str, task: Task) -> None:
        if worker not in self.actors:
            where = NodeAffinitySchedulingStrategy(self.seats()[worker], soft=False)
            self.actors[worker] = (
                ray.remote(Painter).options(scheduling_strategy=where, **self.share).remote()
            )
        ref = getattr(self.actors[worker], task.method).remote(*task.arguments)
        self.at[ref] = (worker, task)

    def outcomes(self, seconds: float) -> Sequence[tuple[str, Outcome]]:
        if not self.at:
            time.sleep(seconds)
            return []
        # One at a time: what many have made need not be in the memory of one machine.
        ready, _ = ray.wait(list(self.at), num_returns=1, timeout=seconds)
        found = []
        for ref in ready:
            worker, task = self.at.pop(ref)
            found.append((worker, self._outcome(ref, worker, task)))
        return found

    def _outcome(self, ref: Any, worker: str, task: Task) -> Outcome:
        try:
            return Outcome(task, ray.get(ref))
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            return Outcome(
                task,
                error=cause
                if isinstance(cause, Exception)
                else ForgettingError(one_line(error, 500)),
            )
        except RayError:  # its process, its node, or what it made
            self.dismiss([worker])
            return Outcome(task, lost=True)

    def dismiss(self, workers: Iterable[str]) -> None:
        for worker in workers:
            self.at = {ref: held for ref, held in self.at.items() if held[0] != worker}
            if (actor := self.actors.pop(worker, None)) is not None:
                ray.kill(actor)

    def close(self) -> None:
        """Leave the cluster, if it was entered here."""
        if self.asked:
            request_resources(bundles=[])
        if self.ours:
            ray.shutdown()
