"""How evenly every experiment's film changes: python benchmarks/evenness.py [--fps 6] [NAME ...]

Prints, over the moving part of each film, the coefficient of variation of the perceptual distance between successive
frames, the largest step against the median, and the standard deviation of luma (of 255) in the last frame.
"""

import argparse
import time

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from forgetting.ablation.perceptual_distance import luma, steps
from forgetting.engines.allocator import keep_memory
from forgetting.engines.engine import from_bytes
from forgetting.film.render import plan_frames
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.portrait import prepare


def measure(name: str, fps: float) -> tuple[int, float, float, float]:
    """Frames, coefficient of variation, largest step / median step, luma deviation at the end."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        run = prepare(
            OmegaConf.to_container(
                compose("config", [f"experiment={name}", f"film.fps={fps}"]), resolve=True
            )
        )
    found = np.array(
        steps(map(from_bytes, plan_frames(run.engine, run.plan, range(len(run.plan)))))
    )
    moving = found[run.plan.tracks[0].fraction.diff().numpy() != 0]
    last = (
        255
        * luma(
            torch.from_numpy(*plan_frames(run.engine, run.plan, [len(run.plan) - 1]))
            .permute(2, 0, 1)[None]
            .float()
            / 255
        ).std()
    )
    return (
        len(run.plan),
        moving.std() / moving.mean(),
        moving.max() / np.median(moving),
        float(last),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        default=sorted({path.stem for path in (CONFIGS / "experiment").glob("*.yaml")} - {"study"}),
    )
    parser.add_argument("--fps", type=float, default=6)
    options = parser.parse_args()
    keep_memory()
    print(
        f"{'experiment':14} frames  variation  largest/median  last frame's luma deviation  seconds"
    )
    for name in options.names:
        started = time.monotonic()
        frames, variation, largest, last = measure(name, options.fps)
        print(
            f"{name:14} {frames:6} {variation:10.2f} {largest:15.2f} {last:28.1f} {time.monotonic() - started:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
