"""How evenly every experiment's film changes: python benchmarks/evenness.py [--fps 6] [NAME ...]

Prints, over the moving part of each film, the coefficient of variation of the perceptual distance
between successive frames, the largest distance as a multiple of the median, and the standard
deviation of luma (of 255) in the last frame.
"""

import argparse

import numpy as np

from forgetting.ablation.perceptual_distance import luma, steps
from forgetting.cli.hydra_verbs import compose_job
from forgetting.engines.allocator import keep_memory
from forgetting.engines.pixels import from_bytes
from forgetting.jobs.config_groups import group_options


def measure(name: str, fps: float) -> tuple[int, float, float, float]:
    """Measure the film of an experiment.

    Returns:
        The number of frames, the coefficient of variation, the largest distance as a multiple of
        the median, and the standard deviation of luma in the last frame.
    """
    source = compose_job([f"experiment={name}", f"film.fps={fps}"], "render").prepare()
    plan = source.compositor.plan
    indices = range(len(plan))
    pictures = (from_bytes(rendered.frame) for rendered in source.frames(indices))
    distances = np.array(steps(pictures))
    moving = distances[plan.tracks[0].fraction.diff().numpy() != 0]
    (last,) = (from_bytes(rendered.frame) for rendered in source.frames(indices[-1:]))
    deviation = 255 * luma((last + 1) / 2).std()
    variation, largest = moving.std() / moving.mean(), moving.max() / np.median(moving)
    return len(plan), variation, largest, float(deviation)


def main() -> None:
    """Print the table."""
    experiments = {option.name for option in group_options("experiment")}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(experiments - {"study"}))
    parser.add_argument("--fps", type=float, default=6)
    options = parser.parse_args()
    keep_memory()
    print(f"{'experiment':14} frames  variation  largest/median  last frame's luma deviation")
    for name in options.names:
        frames, variation, largest, last = measure(name, options.fps)
        print(
            f"{name:14} {frames:6} {variation:10.2f} {largest:15.2f} {last:28.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
