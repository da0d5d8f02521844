"""What a cluster costs, and how far it scales.

python benchmarks/cluster.py [--seconds 60] [--rounds 5] [--simulate] [--given P,F,R,J]

First the same film is rendered by one process and with ``cluster=ray`` on this machine alone, in
interleaved rounds (``rounds.py``), from the command to the finished film; the difference is what
Ray costs. Then the parts of a film are measured in as many rounds: the seconds until a worker is
ready, of a frame, of storing a segment that came back, and of joining it. With their medians
clusters of 1 to 10,000 such machines are simulated, for a film of twelve hours at 60 frames per
second and for a sweep of forty strategies on a thousand faces. ``--simulate`` leaves out the first
part; ``--given`` takes these four figures in seconds instead of measuring them.
"""

import argparse
import heapq
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forgetting.cli.hydra_verbs import compose_job
from forgetting.engines.allocator import keep_memory
from forgetting.film import encoder
from forgetting.film.run_folder import RunFolder
from forgetting.jobs.ray.executor import store_files
from forgetting.jobs.ray.worker import Worker, unpack
from paired_ratios import Spread, ratio_text
from rounds import add_rounds, interleave, print_table
from stopwatch import Lap, Stopwatch, other_work_line

SEGMENT = 240
"""Frames of a segment."""

FETCH_SECONDS = 20.0
"""Until a node has the model: 38 MB, verified and converted, over a home connection."""

JOINED_COPIES = 20
"""Segments that are joined to measure how long one takes."""

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True)
class Figures:
    """What the simulation needs to know, in seconds.

    Args:
        prepare: until a worker is ready to render a film.
        frame: to render a frame.
        receive: to store a segment that came back.
        join: to join a segment.
    """

    prepare: float
    frame: float
    receive: float
    join: float


def print_overhead(seconds: float, rounds: int) -> None:
    """Print how long a film takes in one process, and on a cluster of this machine.

    Args:
        seconds: duration of the film.
        rounds: how often both are timed.
    """
    settings = {"one process": [], "cluster=ray": ["cluster=ray"]}

    def film(more: list[str]) -> Lap:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "forgetting", "render", "measure.names=none"]
            command += [f"film.duration={seconds:g}", f"hydra.run.dir={folder}/run", *more]
            watch = Stopwatch()
            subprocess.run(command, check=True, capture_output=True)
            return watch.lap()

    laps = interleave({name: partial(film, more) for name, more in settings.items()}, rounds)
    times = {name: [lap.seconds for lap in row] for name, row in laps.items()}
    print(f"a film of {seconds:g} seconds, from the command to the film\n")
    alone = times["one process"]
    lines = [
        [name, Spread.of(row).text(1), "1" if row is alone else ratio_text(row, alone)]
        for name, row in times.items()
    ]
    print_table(["", "s", "times as long"], lines)
    # Ray's processes end by themselves, so that their work cannot be told from that of others.
    print(other_work_line([[lap] for lap in laps["one process"]]))


def measure(rounds: int) -> Figures:
    """Measure this machine with one segment of the default film; return the medians.

    Args:
        rounds: how often every part is timed.
    """
    config = compose_job(["film.duration=30", "measure.names=none"], "render").config
    # Fills the cache, as on a node that renders its second film.
    plan, _ = Worker().prepare({}, (), config, None)
    laps: dict[str, list[Lap]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds):
            watch, worker = Stopwatch(), Worker()
            worker.prepare({}, (), config, None)
            laps.setdefault("prepare", []).append(watch.lap())
            watch = Stopwatch()
            files = worker.render({}, (), plan, [range(SEGMENT, 2 * SEGMENT)], {}, None)
            laps.setdefault("frame", []).append(watch.lap())
            folder = Path(scratch) / str(number)
            store = RunFolder(folder).store(unpack(plan))
            watch = Stopwatch()
            store_files(files, store.folder)
            laps.setdefault("receive", []).append(watch.lap())
            segment = next(store.folder.glob("*.mp4"))
            copies = [
                Path(shutil.copy(segment, folder / f"{copy}.mp4")) for copy in range(JOINED_COPIES)
            ]
            segments = [(copy, SEGMENT) for copy in copies]
            watch = Stopwatch()
            encoder.join_segments(store.film, segments, folder / "film.mp4", store.comment)
            laps.setdefault("join", []).append(watch.lap())
        print(f"\na segment has {segment.stat().st_size / 1e6:.1f} MB")
    print(other_work_line([*zip(*laps.values(), strict=True)]))
    seconds = {part: Spread.of([lap.seconds for lap in row]).median for part, row in laps.items()}
    return Figures(
        seconds["prepare"],
        seconds["frame"] / SEGMENT,
        seconds["receive"],
        seconds["join"] / JOINED_COPIES,
    )


def simulate(
    figures: Figures, films: int, segments: int, frames: int, workers: int
) -> tuple[float, float]:
    """Simulate a cluster.

    Every worker downloads the model once. One worker makes the plan of a film; then as many as
    there are for it share the film, and each loads it first. Segments come back to one driver, one
    after another, which joins a film when all of it is there.

    Args:
        figures: of every machine.
        films: number of films.
        segments: in every film.
        frames: in every segment.
        workers: number of machines.

    Returns:
        The seconds until all films are made, and the share of the workers' time in which they
        rendered frames.
    """
    free = [(FETCH_SECONDS, number) for number in range(workers)]  # (moment, worker)
    heapq.heapify(free)
    segment_seconds = frames * figures.frame
    sharing = min(segments, max(1, workers // films))
    arrivals = list[tuple[float, float]]()  # (moment, seconds of the driver's work)
    for _ in range(films):
        first, *others = (heapq.heappop(free) for _ in range(sharing))
        planned = first[0] + figures.prepare
        team = [(planned, first[1])]
        team += [(max(moment, planned) + figures.prepare, worker) for moment, worker in others]
        heapq.heapify(team)
        finished = []
        for _ in range(segments):
            moment, worker = heapq.heappop(team)
            finished.append(moment + segment_seconds)
            heapq.heappush(team, (moment + segment_seconds, worker))
        arrivals += [(moment, figures.receive) for moment in finished]
        arrivals.append((max(finished), segments * figures.join))
        for state in team:
            heapq.heappush(free, state)
    driver = 0.0
    for moment, seconds in sorted(arrivals):
        driver = max(driver, moment) + seconds
    return driver, films * segments * segment_seconds / (workers * driver)


def print_scaling(figures: Figures) -> None:
    """Print hours and efficiency by number of workers."""
    frames, films = 12 * 3600 * 60, 40_000
    print(
        f"\na worker is ready after {figures.prepare:.1f} s; a frame takes "
        f"{1000 * figures.frame:.1f} ms, to receive a segment {1000 * figures.receive:.1f} ms, "
        f"to join it {1000 * figures.join:.1f} ms"
    )
    hours = frames * figures.frame / 3600
    print(f"one such machine renders the twelve hours in {hours:.1f} hours of work\n")
    print(
        f"{'':8}{'twelve hours, segments of 240':>32}{'segments of 60':>26}"
        f"{'40,000 films of 30 seconds':>34}"
    )
    columns = 2 * f"{'hours':>14}{'efficiency':>14}"
    print(f"{'workers':8}{'hours':>16}{'efficiency':>16}{columns}")
    for workers in WORKERS:
        line = f"{workers:<8}"
        for count, length in ((1, SEGMENT), (1, SEGMENT // 4), (films, SEGMENT)):
            segments = 3 if count > 1 else frames // length
            scale = length / SEGMENT
            scaled = Figures(
                figures.prepare, figures.frame, figures.receive * scale, figures.join * scale
            )
            seconds, efficiency = simulate(scaled, count, segments, length, workers)
            line += f"{seconds / 3600:14.2f}{100 * efficiency:13.1f}%"
        print(line)


def main() -> None:
    """Print what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    add_rounds(parser)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--given", type=lambda text: Figures(*map(float, text.split(","))))
    options = parser.parse_args()
    keep_memory()
    if not options.simulate:
        print_overhead(options.seconds, options.rounds)
    print_scaling(options.given or measure(options.rounds))


if __name__ == "__main__":
    main()
