"""How the time of a frame grows: with frames, ablated units, resolution, units and the memory map.

python benchmarks/growth.py [--rounds 5] [--precision bfloat16]

The engine is OpenVINO, nothing is encoded but in the last table. The rows of every table are timed
as ``rounds.py`` describes.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from films import EVEN, Film
from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines.engine import render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.processor import fast_precisions
from forgetting.film.memory_map import MemoryMap
from forgetting.models import generator_zoo
from forgetting.models.activity import MAX_CELLS
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.flops import multiply_adds
from forgetting.models.latents import Seed
from forgetting.models.units import Layer, Units
from paired_ratios import paired_ratio
from rounds import Row, add_rounds, busy_line, print_table, time_rows


@dataclass(frozen=True)
class Frames:
    """Frames of a network of the face model's first blocks and some of its channels.

    Args:
        precision: of the engine.
        count: number of frames.
        ablated: share of the units that is ablated in them.
        blocks: of the network, each of which doubles the resolution, from 8 pixels on.
        width: share of the channels.
    """

    precision: str
    count: int = 8
    ablated: float = 0.3
    blocks: int = 8
    width: float = 1

    def network(self) -> MobileStyleGAN:
        """Return the network.

        Unless it is the whole one, its pictures show nothing; it costs what such a network would
        cost.
        """
        generator = generator_zoo.load("ffhq-mobile")
        assert isinstance(generator, MobileStyleGAN)
        channels = generator.hyperparameters["channels"][: self.blocks]
        network = MobileStyleGAN(tuple(max(16, int(c * self.width)) for c in channels))
        network.eval().requires_grad_(False)
        source = generator.state_dict()
        for name, tensor in network.state_dict().items():
            values = source[name]
            for dimension, n in enumerate(tensor.shape):
                indices = torch.arange(n) % values.shape[dimension]
                values = values.index_select(dimension, indices)
            tensor.copy_(values)
        return network

    def start(self) -> Callable[[], None]:
        """Start the engine."""
        network = self.network()
        task = AblationTask.of(network, Seed().sample(network), Zero())
        draws = torch.Generator().manual_seed(0)
        rows = (torch.rand(self.count, len(task), generator=draws) < self.ablated).float()
        engine, _ = OpenVINOConfig(self.precision).choose(task, torch.zeros(1, len(task)))

        def render() -> None:
            for _ in render_rows(engine, rows):
                pass

        render()
        return render

    def million_multiply_adds(self) -> str:
        """Return those of a frame."""
        network = self.network()
        return f"{sum(multiply_adds(network, Seed().sample(network)).values()) / 1e6:.0f}"


def print_growth(title: str, rows: Mapping[str, Frames], rounds: int, costs: bool = False) -> None:
    """Print how long all frames of some rows take, and one of them."""
    timings = time_rows(rows, rounds)
    heads = [title, "frames", "ms in all", "ms a frame"] + (["million MACs"] if costs else [])
    lines = []
    for name, row in timings.items():
        times = [row.spread.text(0, 1000 * row.count), row.spread.text(1, 1000)]
        cost = [rows[name].million_multiply_adds()] if costs else []
        lines.append([name, str(row.count), *times, *cost])
    print()
    print_table(heads, lines)
    print(busy_line(timings))


@dataclass(frozen=True)
class Drawing:
    """Drawings of the memory map of some layers.

    Args:
        layers: of a network.
        count: number of drawings.
    """

    layers: tuple[Layer, ...]
    count: int = 20

    @property
    def cells(self) -> int:
        """The number of cells in the map."""
        return sum(layer.channels for layer in self.layers)

    def start(self) -> Callable[[], None]:
        """Draw a state of the network."""
        activity = np.linspace(0, 1, self.cells, dtype=np.float32)
        memory_map = MemoryMap.of(self.layers, activity, (1024, 1024))
        ablation = {layer.name: torch.rand(layer.channels) for layer in self.layers}

        def draw() -> None:
            for _ in range(self.count):
                memory_map.draw(activity, ablation)

        draw()
        return draw


def print_drawing(film: Row, rounds: int) -> None:
    """Print what drawing a memory map costs, alone and as a share of a frame of ``film``."""
    large = tuple(Layer(f"l{k}", MAX_CELLS) for k in range(12))
    maps = [Drawing(layers) for layers in (generator_zoo.load("ffhq-mobile").layers, large)]
    timings = time_rows({**{str(row.cells): row for row in maps}, "film": film}, rounds)
    frame = timings["film"]
    lines = []
    for drawing in maps:
        row = timings[str(drawing.cells)]
        share = paired_ratio(row.seconds, frame.seconds)
        lines.append([str(drawing.cells), row.spread.text(1, 1000), share.text(1, 100)])
    print()
    print_table(["cells of the map", "ms to draw", "percent of a frame of the diptych"], lines)
    print(busy_line(timings))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rounds(parser)
    parser.add_argument("--precision", default=["float32", *fast_precisions("cpu")][-1])
    options = parser.parse_args()
    precision, rounds = options.precision, options.rounds
    print(f"openvino {precision}, {rounds} rounds")
    counts = {str(count): Frames(precision, count) for count in (1, 4, 16, 64)}
    print_growth("number of frames", counts, rounds)
    ablated = {f"{p:.0%}": Frames(precision, ablated=p) for p in (0.001, 0.25, 0.5, 0.75, 0.95)}
    print_growth("share of ablated units", ablated, rounds)
    sizes = {str(8 * 2**k): Frames(precision, blocks=k + 1) for k in range(3, 8)}
    print_growth("resolution", sizes, rounds, costs=True)
    widths = [Frames(precision, width=width) for width in (0.25, 0.5, 0.75, 1)]
    units = {str(len(Units(row.network().layers))): row for row in widths}
    print_growth("units", units, rounds, costs=True)
    engine = ("engine=openvino", f"engine.precision={precision}")
    print_drawing(Film((*engine, *EVEN, "film.layout=diptych"), 48), rounds)


if __name__ == "__main__":
    main()
