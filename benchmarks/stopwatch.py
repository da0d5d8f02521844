"""How long something took, and what else the processors did meanwhile.

Whatever is timed here runs alone among the processes of a benchmark, so what the machine's
processors did beyond that is work of others. Linux lists it in ``/proc/stat``, in steps of a
hundredth of a second; a container may see the figures of its host there.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")


@dataclass(frozen=True)
class MachineTime:
    """What the processors of the machine did, in seconds, of all processors together.

    Args:
        busy: they worked.
        stolen: they would have worked, and the hypervisor gave them to other virtual machines.
        idle: they had nothing to do.
    """

    busy: float
    stolen: float
    idle: float

    @staticmethod
    def read(path: Path = STAT) -> MachineTime | None:
        """Return it since the machine was started, or None where the system does not list it."""
        try:
            with path.open() as file:
                label, *fields = file.readline().split()
            user, nice, system, idle, waiting, irq, soft_irq, stolen = map(int, fields[:8])
        except (OSError, ValueError):
            return None
        tick = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + irq + soft_irq  # user includes the time of guests
        if label != "cpu" or not busy:
            return None
        return MachineTime(busy / tick, stolen / tick, (idle + waiting) / tick)

    def since(self, earlier: MachineTime) -> MachineTime:
        """Return what was done since ``earlier``."""
        return MachineTime(
            self.busy - earlier.busy, self.stolen - earlier.stolen, self.idle - earlier.idle
        )


@dataclass(frozen=True)
class Lap:
    """What a stopwatch measured.

    Args:
        seconds: that passed.
        processor_seconds: of this process and of the processes that it started and that ended, all
            threads together.
        machine: what all processors of the machine did, if the system lists it.
    """

    seconds: float
    processor_seconds: float
    machine: MachineTime | None


class Stopwatch:
    """Measures from the moment when it is made."""

    def __init__(self) -> None:
        self._machine, self._processor = MachineTime.read(), _processor_seconds()
        self._started = time.perf_counter()

    def lap(self) -> Lap:
        """Return what was measured until now."""
        seconds = time.perf_counter() - self._started
        processor = _processor_seconds() - self._processor
        machine = MachineTime.read()
        if machine is not None and self._machine is not None:
            machine = machine.since(self._machine)
        return Lap(seconds, processor, machine)


def _processor_seconds() -> float:
    """Return the processor time of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def other_work(laps: Sequence[Lap]) -> tuple[float, float] | None:
    """Return the shares of the processors' time that other processes and the hypervisor took.

    None where the system does not list it.
    """
    machines = [lap.machine for lap in laps if lap.machine is not None]
    total = sum(machine.busy + machine.stolen + machine.idle for machine in machines)
    if len(machines) < len(laps) or not total:
        return None
    others = sum(machine.busy for machine in machines) - sum(lap.processor_seconds for lap in laps)
    return max(others, 0.0) / total, sum(machine.stolen for machine in machines) / total


def other_work_line(rounds: Sequence[Sequence[Lap]]) -> str:
    """Return a line that says how busy the machine was with other work.

    Args:
        rounds: everything that was timed in each of them.
    """
    whole = other_work([lap for laps in rounds for lap in laps])
    shares = [share for laps in rounds if (share := other_work(laps)) is not None]
    if whole is None or not shares:
        return "How busy the machine was is not known: /proc/stat does not list it here."
    others, stolen = (
        f"{whole[kind]:.0%} (at most {max(share[kind] for share in shares):.0%} in a round)"
        for kind in (0, 1)
    )
    return f"Other processes took {others} of the processors' time, and the hypervisor {stolen}."
