"""From which size on a lower precision is faster, and what it costs in exactness.

python benchmarks/precisions.py [--seconds 6]

Networks of growing size with random weights are rendered by OpenVINO, in turn in float32 and in
every lower precision that this processor has instructions for. Times are the processor's, of all
threads together, so other work on the machine disturbs them little; the fastest round counts. This
is where ``MIN_MULTIPLY_ADDS`` in ``forgetting/engines/precision.py`` comes from. The second table
has gradients of dreams, for the one in ``forgetting/dreams/precision.py``.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy
from forgetting.engines.allocator import keep_memory
from forgetting.engines.engine import psnr, render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.processor import fast_precisions
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.toy import Toy
from forgetting.models.classifier_zoo import NamedClassifier
from forgetting.models.flops import count_multiply_adds
from forgetting.models.units import Units
from networks import fill_buffers, stylegan3


def stylegan2(resolution: int, base: int, most: int) -> StyleGAN2:
    """Return a StyleGAN2 with at most ``most`` channels in a layer."""
    sizes = [4 * 2**k for k in range(resolution.bit_length() - 2)]
    return StyleGAN2([min(base // size, most) for size in sizes])


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
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


def alternated(runs: Sequence[Callable[[], None]], seconds: float) -> list[float]:
    """Return the least time of the processor for each of some functions, called in turn."""
    best, started = [float("inf")] * len(runs), time.monotonic()
    rounds = 0
    while rounds < 5 or time.monotonic() - started < seconds:
        for number, run in enumerate(runs):
            before = time.process_time()
            run()
            best[number] = min(best[number], time.process_time() - before)
        rounds += 1
    return best


def print_row(name: str, cost: int, times: Sequence[float], errors: Sequence[str]) -> None:
    """Print a network's work, its time in float32, and speed and error of lower precisions."""
    lower = "".join(
        f"{times[0] / time:8.2f} x {error}" for time, error in zip(times[1:], errors, strict=True)
    )
    print(f"{name:28}{cost / 1e6:8,.0f}{1000 * times[0]:12.2f}{lower}", flush=True)


def print_networks(precisions: Sequence[str], seconds: float) -> None:
    """Print the table of networks."""
    print(f"{'':28}{'MMAC':>8}{'float32 ms':>12}{''.join(f'{p:>18}' for p in precisions)}")
    for name, build in NETWORKS.items():
        torch.manual_seed(0)
        network = fill_buffers(build())
        z = torch.from_numpy(np.random.RandomState(0).randn(1, network.z_dim)).float()
        with torch.inference_mode():
            task = AblationTask.of(network, network.mapping(z), Zero())
        draws = torch.Generator().manual_seed(0)
        rows = (torch.rand(8, len(Units(network.layers)), generator=draws) < 0.3).float()
        reference = REFERENCE.start(task)
        frames, cost = count_multiply_adds(lambda r=reference, s=rows: [*render_rows(r, s)])
        engines = [
            OpenVINOConfig(precision, reuse=False).choose(task, rows)[0]
            for precision in ("float32", *precisions)
        ]
        kept = [f"{psnr(render_rows(engine, rows), frames):4.0f} dB" for engine in engines[1:]]
        runs = [lambda e=engine, s=rows: [*render_rows(e, s)] for engine in engines]
        times = [best / len(rows) for best in alternated(runs, seconds)]
        print_row(name, cost // len(rows), times, kept)


def print_dreams(seconds: float) -> None:
    """Print the table of gradients of dreams."""
    torch.set_num_threads(1)
    print(f"\n{'':28}{'MMAC':>8}{'float32 ms':>12}{'bfloat16':>18}")
    for name in CLASSIFIERS:
        classifier = NamedClassifier(name).load()
        middle = classifier.layer_sequence[len(classifier.layer_sequence) // 2]
        gradient = ObjectiveGradient(classifier, [(1.0, Energy(middle).bind(classifier))])
        for size in (64, 128, 224, 320, 512):
            draws = torch.Generator().manual_seed(0)
            picture = torch.rand(1, 3, size, size, generator=draws) * 2 - 1
            rough = replace(gradient, precision=torch.bfloat16)
            exact, cost = count_multiply_adds(lambda g=gradient, x=picture: g.gradient(x))
            cosine = torch.cosine_similarity(
                exact.flatten(), rough.gradient(picture).flatten(), dim=0
            )
            runs = [lambda g=g, x=picture: g.gradient(x) for g in (gradient, rough)]
            times = alternated(runs, seconds)
            print_row(f"{name} {size}", cost, times, [f"cos {float(cosine):.2f}"])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="for each row")
    options = parser.parse_args()
    keep_memory()
    print_networks(fast_precisions("cpu"), options.seconds)
    print_dreams(options.seconds)


if __name__ == "__main__":
    main()
