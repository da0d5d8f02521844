"""How fast the frame of a dream is made, against a plain loop.

python benchmarks/dreams.py [--size 1024] [--rounds 3] [--device cpu]

It is a frame of a dive: three octaves of ten steps, each with jitter, and a gradient that is
equalised over the picture, over frequencies and over colours. The *plain loop* does the same
arithmetic in the most direct way: autograd through the whole network, also of its weights, in
float32, in torch's own memory format. All rows are warmed up and timed in turn, several times. The
fastest round counts, because other work on the machine only makes a round slower. The last column
is the signal-to-noise ratio of the picture against that of the plain loop.
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


class PlainGradient(ObjectiveGradient):
    """The gradient of one objective, computed through the whole network."""

    def gradient(self, picture: Tensor) -> Tensor:
        """Return the gradient [1, 3, H, W] for a picture [1, 3, H, W] in [-1, 1]."""
        ((_, objective),) = self.objectives
        (name,) = objective.layers
        activations = dict[str, Tensor]()

        def record(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
            activations[name] = output

        handle = self.classifier.hooked_layers[name].modules[-1].register_forward_hook(record)
        with torch.enable_grad():
            x = picture.detach().clone().requires_grad_()
            self.classifier.network(self.classifier.prepare(x))
            handle.remove()
            objective.value(activations).backward()
        assert x.grad is not None
        return x.grad


def plain_classifier(name: str) -> Classifier:
    """Return a classifier in torch's own memory format, with gradients of its weights."""
    classifier = NamedClassifier(name).load()
    classifier.network.load_state_dict(load_network(name).state_dict())
    classifier.network.to(memory_format=torch.contiguous_format).requires_grad_(True)
    return classifier


def dreams(name: str, size: int, device: str) -> dict[str, Callable[[], Tensor]]:
    """Return, by name of the row, what dreams the same frame of ``size`` pixels."""
    picture = StaticNoise().open(size).picture(0).to(device)
    ours, plain = NamedClassifier(name).load().to(device), plain_classifier(name).to(device)
    objectives = [(1.0, Energy().bind(ours))]
    plain_gradient = PlainGradient(plain, objectives)
    rows = {"plain loop, float32": lambda: ASCENT.climb(plain_gradient, picture)}
    for precision in ("float32", "bfloat16", *(["float16"] if device == "cuda" else [])):
        dtype = getattr(torch, precision)
        gradient = ObjectiveGradient(ours, objectives, ASCENT.tile, ASCENT.overlap, precision=dtype)
        rows[f"ours, {precision}"] = lambda gradient=gradient: ASCENT.climb(gradient, picture)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classifier", default="squeezenet-imagenet")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_memory()
    on_gpu = options.device == "cuda"
    machine = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads"
    print(
        f"{platform.processor() or platform.machine()}, {machine}; torch {torch.__version__}; "
        f"{options.classifier}, {options.size}x{options.size}\n"
    )
    rows = dreams(options.classifier, options.size, options.device)
    best, pictures = dict[str, float](), dict[str, Tensor]()
    for number in range(options.rounds + 1):
        for name, dream in rows.items():
            started = time.perf_counter()
            pictures[name] = to_bytes(dream())[0].cpu()  # waits for a GPU
            if number:  # the first round warms up
                best[name] = min(best.get(name, 1e9), time.perf_counter() - started)
    first = next(iter(rows))
    print(f"{'':32}{'s a frame':>10}{'times the plain loop':>24}{'dB to it':>10}")
    for name, seconds in best.items():
        ratio = psnr([pictures[name].numpy()], [pictures[first].numpy()])
        print(f"{name:32}{seconds:10.2f}{best[first] / seconds:24.2f}{ratio:10.0f}")


if __name__ == "__main__":
    main()
