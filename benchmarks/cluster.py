"""What a cluster costs and brings: python benchmarks/cluster.py [--seconds 60] [--rounds 1] [--simulate] [--given P,F,R,J]

First the same film is made by this process and by ``cluster=ray`` on this machine alone, from the command to the finished film, in
turn: what Ray adds is what the second takes longer. Then what a film is made of is measured - readiness of a worker, a frame, a
segment on its way into the folder, joining - and with these figures clusters of 1 to 10,000 such machines are simulated, for a film
of twelve hours at 60 frames a second and for a sweep of forty strategies on a thousand faces. ``--simulate`` leaves out the first;
``--given`` takes seconds instead of measuring: until a worker is ready, of a frame, to receive a segment, to join one.
"""

import argparse
import heapq
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forgetting.engines.allocator import keep_memory
from forgetting.film import encoder
from forgetting.jobs import run
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.ray.executor import store_files
from forgetting.jobs.ray.worker import Worker, unpack

SEGMENT = 240
FETCH = 20.0
"""Seconds in which a node brings the model: 38 MB, verified and converted, at what a home connection does."""


@dataclass(frozen=True)
class Figures:
    """Seconds: until a worker is ready, of a frame, of a segment on its way into the folder, of a segment when it is joined."""

    prepare: float
    frame: float
    receive: float
    join: float


def config(*settings: str) -> dict[str, object]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(
            compose("config", ["measure.names=none", *settings]), resolve=True
        )  # type: ignore[return-value]


def overhead(seconds: float, rounds: int) -> None:
    """Print how long the film takes here, and by a cluster of this machine."""
    best = {"this process": float("inf"), "cluster=ray": float("inf")}
    for _ in range(rounds):
        for name in best:
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    sys.executable,
                    "-m",
                    "forgetting",
                    "render",
                    "measure.names=none",
                    f"film.duration={seconds:g}",
                ]
                command += [
                    f"hydra.run.dir={folder}/run",
                    *(["cluster=ray"] if name == "cluster=ray" else []),
                ]
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                best[name] = min(best[name], time.perf_counter() - started)
    print(f"\na film of {seconds:g} seconds, from the command to the film")
    for name, found in best.items():
        print(f"  {name:16}{found:8.1f} s{found / best['this process']:8.3f} times")


def measured() -> Figures:
    """What this machine does, with one segment of the default film."""
    settings = config("film.duration=30")
    Worker().prepare({}, settings, None)  # warms the cache, as on a node from the second film on
    started, worker = time.perf_counter(), Worker()
    plan, _ = worker.prepare({}, settings, None)
    prepare = time.perf_counter() - started
    started = time.perf_counter()
    made = worker.render({}, plan, [range(240, 480)], {}, None)
    frame = (time.perf_counter() - started) / SEGMENT
    with tempfile.TemporaryDirectory() as folder:
        store = run.segment_store(unpack(plan), Path(folder))
        started = time.perf_counter()
        store_files(made, store.folder)
        receive = time.perf_counter() - started
        piece, many = next(store.folder.glob("*.mp4")), 20
        copies = [
            Path(shutil.copy(piece, Path(folder) / f"{number}.mp4")) for number in range(many)
        ]
        started = time.perf_counter()
        encoder.join_segments(
            store.film,
            [(copy, SEGMENT) for copy in copies],
            Path(folder) / "film.mp4",
            store.comment,
        )
        join = (time.perf_counter() - started) / many
        print(f"\na segment has {piece.stat().st_size / 1e6:.1f} MB")
    return Figures(prepare, frame, receive, join)


def simulated(
    figures: Figures, films: int, segments: int, frames: int, workers: int
) -> tuple[float, float]:
    """Seconds until that many films of so many segments of so many frames are made, and the share of them in which workers made frames.

    A worker brings the model once. One makes the plan of a film ready; as many as there are for it share the film then, each of whom
    loads it first. Segments come back to one driver, one after the other, which joins a film when all of it is there.
    """
    free = [(FETCH, number) for number in range(workers)]  # when, who
    heapq.heapify(free)
    work, sharing, back = (
        frames * figures.frame,
        min(segments, max(1, workers // films)),
        list[tuple[float, float]](),
    )
    for _ in range(films):
        team = [heapq.heappop(free) for _ in range(sharing)]
        planned = team[0][0] + figures.prepare
        team = [
            (planned, team[0][1]),
            *((max(when, planned) + figures.prepare, who) for when, who in team[1:]),
        ]
        heapq.heapify(team)
        made = []
        for _ in range(segments):
            when, who = heapq.heappop(team)
            made.append(when + work)
            heapq.heappush(team, (when + work, who))
        back += [(when, figures.receive) for when in made] + [(max(made), segments * figures.join)]
        for one in team:
            heapq.heappush(free, one)
    driver = 0.0
    for when, seconds in sorted(back):
        driver = max(driver, when) + seconds
    return driver, films * segments * work / (workers * driver)


def table(figures: Figures) -> None:
    """Print efficiency by number of workers."""
    frames, films = 12 * 3600 * 60, 40_000
    print(
        f"\na worker is ready after {figures.prepare:.1f} s; a frame takes {1000 * figures.frame:.1f} ms, to receive a segment ",
        end="",
    )
    print(f"{1000 * figures.receive:.1f} ms, to join it {1000 * figures.join:.1f} ms")
    print(
        f"one such machine makes the twelve hours in {frames * figures.frame / 3600:.1f} hours of work\n"
    )
    print(
        f"{'':8}{'twelve hours, segments of 240':>32}{'segments of 60':>26}{'40,000 films of 30 seconds':>34}"
    )
    print(
        f"{'workers':8}"
        + f"{'hours':>16}{'efficiency':>16}"
        + 2 * f"{'hours':>14}{'efficiency':>14}"
    )
    for workers in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000):
        line = f"{workers:<8}"
        for count, length in ((1, SEGMENT), (1, SEGMENT // 4), (films, SEGMENT)):
            segments = 3 if count > 1 else frames // length
            part = Figures(
                figures.prepare,
                figures.frame,
                figures.receive * length / SEGMENT,
                figures.join * length / SEGMENT,
            )
            end, share = simulated(part, count, segments, length, workers)
            line += f"{end / 3600:14.2f}{100 * share:13.1f}%"
        print(line)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--simulate", action="store_true")
    arguments.add_argument("--given", type=lambda text: Figures(*map(float, text.split(","))))
    given = arguments.parse_args()
    keep_memory()
    if not given.simulate:
        overhead(given.seconds, given.rounds)
    table(given.given or measured())


if __name__ == "__main__":
    main()
