"""How fast a dream's frame is made, against a plain loop: python benchmarks/dreams.py [--size 1024] [--rounds 3] [--device cpu]

A frame of a dive: three octaves of ten steps, each with jitter, the gradient made even in place, in frequency and in colour. The
*plain loop* does the same arithmetic as one would write it first: autograd through the whole network, of its weights too, in
float32, as torch lays it out. All of them are warmed up, and timed in turn, several times round; the fastest round counts,
because what else the machine does only ever makes a round slower. The last column says how alike the pictures are.
"""

import argparse
import platform
import time
from collections.abc import Callable

import torch
from torch import Tensor

from forgetting.dreams.ascent import GradientAscent
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy
from forgetting.dreams.sources import StaticNoise
from forgetting.engines.allocator import keep_memory
from forgetting.engines.engine import psnr, to_bytes
from forgetting.models.classifier import Classifier
from forgetting.models.classifier_zoo import NamedClassifier, load_network

ASCENT = GradientAscent(iterations=10, octaves=3)


class PlainWay(ObjectiveGradient):
    """The gradient as one would first write it."""

    def gradient(self, picture: Tensor) -> Tensor:
        with torch.enable_grad():
            x, heard = picture.detach().clone().requires_grad_(), {}
            (name,) = self.objectives[0][1].layers
            place = self.classifier.places[name]
            handle = place.modules[-1].register_forward_hook(
                lambda module, inputs, output: heard.update({name: output})
            )
            self.classifier.network(self.classifier.enter(x))
            handle.remove()
            self.objectives[0][1].value(heard).backward()
        assert x.grad is not None
        return x.grad


def plain(name: str) -> Classifier:
    """The network as torch has it."""
    classifier = NamedClassifier(name)()
    classifier.network.load_state_dict(load_network(name).state_dict())
    classifier.network.to(memory_format=torch.contiguous_format).requires_grad_(True)
    return classifier


def rows(name: str, size: int, device: str) -> dict[str, Callable[[], Tensor]]:
    """What is timed: each makes the same picture."""
    picture = StaticNoise().open(size).picture(0).to(device)
    ours, theirs = NamedClassifier(name)().to(device), plain(name).to(device)
    part = [(1.0, Energy().bind(ours))]
    found: dict[str, Callable[[], Tensor]] = {
        "plain loop, float32": lambda: ASCENT.climb(PlainWay(theirs, part), picture)
    }
    for precision in ("float32", "bfloat16", *(["float16"] if device == "cuda" else [])):
        way = ObjectiveGradient(
            ours, part, ASCENT.tile, ASCENT.overlap, precision=getattr(torch, precision)
        )
        found[f"ours, {precision}"] = lambda way=way: ASCENT.climb(way, picture)
    return found


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--size", type=int, default=1024)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--classifier", default="squeezenet-imagenet")
    arguments.add_argument("--device", default="cpu")
    given = arguments.parse_args()
    keep_memory()
    what = (
        torch.cuda.get_device_name()
        if given.device == "cuda"
        else f"{torch.get_num_threads()} threads"
    )
    print(
        f"{platform.processor() or platform.machine()}, {what}; torch {torch.__version__}; {given.classifier}, {given.size}x{given.size}\n"
    )
    timed, best, made = (
        rows(given.classifier, given.size, given.device),
        dict[str, float](),
        dict[str, Tensor](),
    )
    for number in range(given.rounds + 1):
        for name, dream in timed.items():
            started = time.perf_counter()
            made[name] = to_bytes(dream())[0].cpu()
            if number:  # the first is to warm up
                best[name] = min(best.get(name, 1e9), time.perf_counter() - started)
    first = next(iter(timed))
    print(f"{'':32}{'s a frame':>10}{'times the plain loop':>24}{'dB to it':>10}")
    for name, seconds in best.items():
        alike = psnr([made[name].numpy()], [made[first].numpy()])
        print(f"{name:32}{seconds:10.2f}{best[first] / seconds:24.2f}{alike:10.0f}")


if __name__ == "__main__":
    main()
