"""How fast the frame of a dream is made, against a plain loop.

python benchmarks/dreams.py [--size 1024] [--rounds 5] [--device cpu]

It is a frame of a dive: three octaves of ten steps, each with jitter, and a gradient that is
equalised over the picture, over frequencies and over colours. The *plain loop* does the same
arithmetic in the most direct way: autograd through the whole network, also of its weights, in
float32, in torch's own memory format. Rows are timed as ``rounds.py`` describes. The last column is
the signal-to-noise ratio of the picture against that of the plain loop.
"""

import argparse
import platform
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetting.dreams.ascent import GradientAscent
from forgetting.dreams.objective_gradient import ObjectiveGradient
from forgetting.dreams.objectives import Energy
from forgetting.dreams.sources import StaticNoise
from forgetting.engines.pixels import Frame, psnr, to_bytes
from forgetting.models.classifier import Classifier
from forgetting.models.classifier_zoo import NamedClassifier, load_network
from rounds import Row, Timings, add_rounds, busy_line, print_table, time_rows, times_as_fast

ASCENT = GradientAscent(iterations=10, octaves=3)

PLAIN = "plain loop, float32"


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


@dataclass(frozen=True)
class Dream:
    """A frame of ``size`` pixels; ``precision`` None is the plain loop."""

    classifier: str
    size: int
    device: str
    precision: str | None
    count: int = 1

    def start(self) -> Callable[[], Frame]:
        """Load the classifier and dream once."""
        picture = StaticNoise().open(self.size).picture(0).to(self.device)
        classifier = NamedClassifier(self.classifier).load().to(self.device)
        objectives = [(1.0, Energy().bind(classifier))]
        if self.precision is None:
            plain = plain_classifier(self.classifier).to(self.device)
            gradient: ObjectiveGradient = PlainGradient(plain, objectives)
        else:
            dtype, (tile, overlap) = getattr(torch, self.precision), (ASCENT.tile, ASCENT.overlap)
            gradient = ObjectiveGradient(classifier, objectives, tile, overlap, precision=dtype)

        def dream() -> Frame:
            frame: Frame = to_bytes(ASCENT.climb(gradient, picture))[0].cpu().numpy()
            return frame  # in the processor's memory: a GPU has finished

        dream()
        return dream


def distance(row: Timings, plain: Timings) -> str:
    """Return the dB of a row's picture against that of the plain loop."""
    return f"{psnr([row.result], [plain.result]):.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1024)
    add_rounds(parser)
    parser.add_argument("--classifier", default="squeezenet-imagenet")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    machine = torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads"
    print(
        f"{platform.processor() or platform.machine()}, {machine}; torch {torch.__version__}; "
        f"{options.classifier}, {options.size}x{options.size}, {options.rounds} rounds\n"
    )
    settings = options.classifier, options.size, options.device
    rows: dict[str, Row] = {PLAIN: Dream(*settings, None)}
    for precision in ("float32", "bfloat16", *(["float16"] if on_gpu else [])):
        rows[f"ours, {precision}"] = Dream(*settings, precision)
    timings = time_rows(rows, options.rounds)
    plain = timings[PLAIN]
    print_table(
        ["", "s a frame", "times the plain loop", "dB to it", "peak GiB"],
        [
            [
                name,
                row.spread.text(2),
                times_as_fast(plain, row),
                distance(row, plain),
                f"{row.peak_memory / 2**30:.1f}",
            ]
            for name, row in timings.items()
        ],
    )
    print(busy_line(timings))


if __name__ == "__main__":
    main()
