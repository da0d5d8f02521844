"""From which size on a lower precision is faster, and what it costs in exactness.

python benchmarks/precisions.py [--rounds 5] [--tables networks dreams]

Networks of growing size with random weights are rendered by OpenVINO in float32 and in every lower
precision that this processor has instructions for, timed as ``rounds.py`` describes. Times are the
processor's, of all threads together, so other work on the machine disturbs them little. This is
where ``MIN_MULTIPLY_ADDS`` in ``forgetting/engines/precision.py`` comes from. The second table has
gradients of dreams, for the one in ``forgetting/dreams/precision.py``.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy
from forgetting.engines.engine import render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.pixels import Frame, psnr
from forgetting.engines.processor import fast_precisions
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.toy import Toy
from forgetting.models.classifier_zoo import NamedClassifier
from forgetting.models.flops import count_multiply_adds
from networks import fill_buffers, stylegan3
from paired_ratios import Spread, ratio_text
from rounds import Timings, add_rounds, laps_of_rounds, print_table, time_rows
from stopwatch import other_work_line

PASSES = 8
"""Different pictures of a round."""

ROUND_MULTIPLY_ADDS = 10_000_000_000
"""A round repeats its pictures until it has computed about as many; it is then long enough."""


def stylegan2(resolution: int, base: int, most: int) -> StyleGAN2:
    """Return a StyleGAN2 with at most ``most`` channels in a layer."""
    sizes = [4 * 2**k for k in range(resolution.bit_length() - 2)]
    return StyleGAN2([min(base // size, most) for size in sizes])


NETWORKS: dict[str, Callable[[], Any]] = {
    "toy 32": Toy,
    "toy 64": lambda: Toy((16, 16, 16, 12, 8)),
    "DCGAN 64, 16 channels": lambda: DCGAN((128, 64, 32, 16)),
    "DCGAN 64, 64 channels": lambda: DCGAN((512, 256, 128, 64)),
    "DCGAN 128, 64 channels": lambda: DCGAN((1024, 512, 256, 128, 64)),
    "StyleGAN2 32, 64 channels": lambda: stylegan2(32, 2048, 64),
    "StyleGAN2 64, 64 channels": lambda: stylegan2(64, 4096, 64),
    "StyleGAN2 64, 128 channels": lambda: stylegan2(64, 8192, 128),
    "StyleGAN2 64, 512 channels": lambda: stylegan2(64, 16384, 512),
    "StyleGAN2 256, 512 channels": lambda: stylegan2(256, 16384, 512),
    "MobileStyleGAN 128, 128 ch.": lambda: MobileStyleGAN((128,) * 5),
    "MobileStyleGAN 256, 128 ch.": lambda: MobileStyleGAN((128,) * 5 + (64,)),
    "MobileStyleGAN 512": lambda: MobileStyleGAN((512,) * 5 + (256, 128)),
    "MobileStyleGAN 1024": MobileStyleGAN,
    "StyleGAN3-T 128": lambda: stylegan3(128, 8192, 256, 3),
}

CLASSIFIERS = ("squeezenet-imagenet", "efficientnet-lite2")

SIZES = (64, 128, 224, 320, 512)
"""Sides of the pictures that the classifiers see."""


def repetitions(multiply_adds: int) -> int:
    """Return how often a round repeats pictures that cost so much together."""
    return max(1, min(500, ROUND_MULTIPLY_ADDS // multiply_adds))


def task_and_rows(name: str) -> tuple[AblationTask, torch.Tensor]:
    """Return the task of a network with random weights, and rows that ablate some of its units."""
    torch.manual_seed(0)
    network = fill_buffers(NETWORKS[name]())
    z = torch.from_numpy(np.random.RandomState(0).randn(1, network.z_dim)).float()
    with torch.inference_mode():
        task = AblationTask.of(network, network.mapping(z), Zero())
    draws = torch.Generator().manual_seed(0)
    return task, (torch.rand(PASSES, len(task), generator=draws) < 0.3).float()


@dataclass(frozen=True)
class Network:
    """A network by OpenVINO in one precision; ``repeated`` is how often a round renders it all."""

    name: str
    precision: str
    repeated: int

    @property
    def count(self) -> int:
        """The number of frames in a round."""
        return PASSES * self.repeated

    def start(self) -> Callable[[], list[Frame]]:
        """Start the engine; return a function that returns the frames."""
        task, rows = task_and_rows(self.name)
        engine, _ = OpenVINOConfig(self.precision, reuse=False).choose(task, rows)

        def render(repeated: int = self.repeated) -> list[Frame]:
            return [[*render_rows(engine, rows)] for _ in range(repeated)][-1]

        render(1)
        return render


def objective_gradient(classifier_name: str, precision: str) -> ObjectiveGradient:
    """Return the gradient of a classifier's middle layer in one precision."""
    classifier = NamedClassifier(classifier_name).load()
    middle = classifier.layer_sequence[len(classifier.layer_sequence) // 2]
    gradient = ObjectiveGradient(classifier, [(1.0, Energy(middle).bind(classifier))])
    return replace(gradient, precision=getattr(torch, precision))


def drawn_picture(size: int) -> torch.Tensor:
    """Return a picture of noise [1, 3, size, size]."""
    draws = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, size, size, generator=draws) * 2 - 1


@dataclass(frozen=True)
class Gradient:
    """Gradients of a dream in one thread and in one precision."""

    classifier: str
    size: int
    precision: str
    count: int

    def start(self) -> Callable[[], np.ndarray]:
        """Load the classifier; return a function that returns the gradient."""
        torch.set_num_threads(1)
        gradient = objective_gradient(self.classifier, self.precision)
        picture = drawn_picture(self.size)

        def climb(count: int = self.count) -> np.ndarray:
            return [gradient.gradient(picture) for _ in range(count)][-1].numpy()

        climb(1)
        return climb


def line(
    name: str, cost: int, timings: Mapping[str, Timings], error: Callable[[Any], str]
) -> list[str]:
    """Return a network's work, its time in float32, and speed and error of lower precisions."""
    exact, *lower = timings.values()
    cells = [f"{cost / 1e6:,.0f}", Spread.of(exact.processor_seconds).text(2, 1000)]
    for row in lower:
        cells += [ratio_text(exact.processor_seconds, row.processor_seconds), error(row.result)]
    return [name, *cells]


def heads(precisions: tuple[str, ...], error: str) -> list[str]:
    """Return the heads of a table."""
    columns = [head for name in precisions for head in (f"{name}: times as fast", error)]
    return ["", "MMAC", "float32 ms", *columns]


def print_networks(rounds: int) -> None:
    """Print the table of networks."""
    precisions, lines, laps = fast_precisions("cpu"), [], []
    for name in NETWORKS:
        task, rows = task_and_rows(name)
        reference = REFERENCE.start(task)
        frames, cost = count_multiply_adds(lambda e=reference, r=rows: [*render_rows(e, r)])
        timings = time_rows(
            {p: Network(name, p, repetitions(cost)) for p in ("float32", *precisions)}, rounds
        )
        laps += laps_of_rounds(timings)
        lines.append(
            line(name, cost // len(rows), timings, lambda made, f=frames: f"{psnr(made, f):.0f}")
        )
    print_table(heads(precisions, "dB"), lines)
    print(other_work_line(laps))


def print_dreams(rounds: int) -> None:
    """Print the table of gradients of dreams."""
    lines, laps = [], []
    for name in CLASSIFIERS:
        for size in SIZES:
            gradient, picture = objective_gradient(name, "float32"), drawn_picture(size)
            exact, cost = count_multiply_adds(lambda g=gradient, x=picture: g.gradient(x))

            def cosine(made: np.ndarray, exact: torch.Tensor = exact) -> str:
                pair = exact.flatten(), torch.from_numpy(made).flatten()
                return f"{float(torch.cosine_similarity(*pair, dim=0)):.2f}"

            rows = {p: Gradient(name, size, p, repetitions(cost)) for p in ("float32", "bfloat16")}
            timings = time_rows(rows, rounds)
            laps += laps_of_rounds(timings)
            lines.append(line(f"{name} {size}", cost, timings, cosine))
    print_table(heads(("bfloat16",), "cosine"), lines)
    print(other_work_line(laps))


TABLES: dict[str, Callable[[int], None]] = {"networks": print_networks, "dreams": print_dreams}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rounds(parser)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    options = parser.parse_args()
    for number, table in enumerate(options.tables):
        print("\n" * bool(number), end="")
        TABLES[table](options.rounds)


if __name__ == "__main__":
    main()
