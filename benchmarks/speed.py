"""How fast films of the face model are, against plain methods.

python benchmarks/speed.py [--frames 240] [--rounds 5] [--rows PATTERN ...] [--device cuda]

Rows are timed as ``rounds.py`` describes. Ratios are against the best plain forward pass of
OpenVINO on the original network, undamaged and without encoding, in the same round. The second
table is what the machine allows at most. ``--rows`` chooses rows by their names, as in
``--rows "default film*"``; the plain passes are timed with them. ``--device`` adds rows for a GPU.
"""

import argparse
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import openvino
import torch

from films import EVEN, Film
from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.ordering import RankRequest
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.plan import Plan, Track
from forgetting.engines.engine import EngineConfig, render_rows
from forgetting.engines.openvino import CAPABILITIES, OpenVINOConfig
from forgetting.engines.pixels import to_bytes
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.models import downloads, generator_zoo
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.flops import multiply_adds
from forgetting.models.latents import Seed
from forgetting.models.units import Layer, Units
from paired_ratios import Spread
from rounds import Row, Timings, add_rounds, busy_line, print_table, time_rows, times_as_fast

PLAN_FRAMES = 32
"""Frames of the plan in rows without encoding."""

FRAMES = 12
"""Frames of a round in rows without encoding."""


@dataclass(frozen=True)
class Original:
    """OpenVINO on the network as it was published; ``precision`` None is its default."""

    precision: str | None
    count: int = FRAMES

    def start(self) -> Callable[[], None]:
        """Compile the network."""
        package = generator_zoo.find_model("ffhq-mobile").package
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            with downloads.open_package(package, "ffhq-mobile", folder) as read:
                for suffix in ("xml", "bin"):
                    content = read(f"random_face/data/SynthesisNetwork.{suffix}")
                    (folder / f"network.{suffix}").write_bytes(content)
            settings = {"INFERENCE_PRECISION_HINT": self.precision} if self.precision else {}
            network = openvino.Core().compile_model(folder / "network.xml", "CPU", settings)
        request = network.create_infer_request()
        w = np.random.RandomState(0).randn(1, 512).astype(np.float32)
        return warmed_up(lambda _: request.infer({0: w}), self.count)


def warmed_up(render: Callable[[int], object], count: int) -> Callable[[], None]:
    """Return a function that renders ``count`` frames by number; two are rendered at once."""

    def render_all(frames: int = count) -> None:
        for k in range(frames):
            render(k)

    render_all(2)
    return render_all


def face_and_plan() -> tuple[MobileStyleGAN, torch.Tensor, Plan]:
    """Return the face model, the ``ws`` of the default face, and a plan that counts units."""
    generator = generator_zoo.load("ffhq-mobile")
    assert isinstance(generator, MobileStyleGAN)
    ws = Seed().sample(generator)
    rank = Contribution().rank(RankRequest(generator, Units(generator.layers), ws))
    fraction = torch.linspace(0, 0.6, PLAN_FRAMES).double()
    return generator, ws, Plan((Track(rank, fraction, 0.036, generator.layers),))


@dataclass(frozen=True)
class PlainLoop:
    """The most direct loop in torch.

    It binds the face and runs everything for every frame, and multiplies to ablate.
    """

    count: int = FRAMES

    def start(self) -> Callable[[], None]:
        """Load the network."""
        generator, ws, plan = face_and_plan()
        units = Units(generator.layers)

        @torch.inference_mode()
        def render(k: int) -> None:
            remaining = units.split(1 - plan.row(k % len(plan))[None])

            def edit(x: torch.Tensor, layer: Layer) -> torch.Tensor:
                return x * remaining[layer.name][:, :, None, None]

            to_bytes(generator.bind(ws)(edit))

        return warmed_up(render, self.count)


@dataclass(frozen=True)
class Ours:
    """One of our engines, without encoding."""

    config: EngineConfig
    count: int = FRAMES

    def start(self) -> Callable[[], None]:
        """Start the engine."""
        generator, ws, plan = face_and_plan()
        engine, _ = self.config.choose(AblationTask.of(generator, ws, Zero()), plan.rows([0]))

        def render() -> None:
            for _ in render_rows(engine, (plan.row(k % len(plan)) for k in range(self.count))):
                pass

        render()  # engines compile some graphs when a frame first needs them
        return render


@dataclass(frozen=True)
class MatrixProduct:
    """Products of two square matrices in one precision."""

    precision: str
    count: int = 6

    def start(self) -> Callable[[], None]:
        """Draw the matrices."""
        a = torch.randn(2048, 2048).to(getattr(torch, self.precision))
        return warmed_up(lambda _: a @ a, self.count)

    @property
    def multiply_adds(self) -> int:
        """Those of one product."""
        return 2048**3


@dataclass(frozen=True)
class Copy:
    """Copies of a large block of memory."""

    count: int = 6

    def start(self) -> Callable[[], None]:
        """Allocate the blocks."""
        block = torch.ones(2**26)
        target = torch.empty_like(block)
        return warmed_up(lambda _: target.copy_(block), self.count)

    @property
    def bytes(self) -> int:
        """Those that are read and written by one copy."""
        return 2 * 4 * 2**26


def print_floors(precisions: list[str], rounds: int) -> None:
    """Print the multiply-adds of a frame, and the shortest time that the machine allows for it.

    It follows from the fastest round, because it is what cannot be undercut.
    """
    generator = generator_zoo.load("ffhq-mobile")
    costs = sum(
        cost
        for step, cost in multiply_adds(generator, Seed().sample(generator)).items()
        if step not in ("mapping", "bind")
    )
    maps = sum(layer.channels * layer.size[0] * layer.size[1] for layer in generator.layers)
    products = {precision: MatrixProduct(precision) for precision in precisions}
    timings = time_rows({**products, "copy": Copy()}, rounds)
    bandwidth = Copy().bytes / min(timings["copy"].seconds)
    print(
        f"\n{costs / 1e9:.2f} thousand million multiply-adds a frame, "
        f"{maps / 1e6:.0f} million values in the layers' maps,"
    )
    print(
        f"each written and read once at least; copies run at {bandwidth / 1e9:.0f} GB/s (both ways)"
    )
    for precision, product in products.items():
        rate = product.multiply_adds / min(timings[precision].seconds)
        size = 4 if precision == "float32" else 2
        arithmetic, traffic = costs / rate, 2 * maps * size / bandwidth
        print(
            f"  {precision:9} matrix products {2 * rate / 1e9:6.0f} GFLOP/s; "
            f"floor {1000 * arithmetic:.0f} ms of arithmetic + {1000 * traffic:.0f} ms of traffic"
        )
    print(busy_line(timings))


PLAIN_PASSES: Mapping[str, Row] = {
    "openvino, original, default": Original(None),
    "openvino, original, float32": Original("f32"),
}


def table_rows(precisions: list[str], device: str, frames: int) -> dict[str, Row]:
    """Return the rows of the first table; ``device`` adds those of a GPU."""
    rows: dict[str, Row] = {"plain torch loop": PlainLoop(), "torch float32": Ours(TorchConfig())}
    engines = {name: ("engine=openvino", f"engine.precision={name}") for name in precisions}
    rows |= {f"openvino {name}": Ours(OpenVINOConfig(name)) for name in precisions}
    rows |= {f"default film, {name}": Film(engine, frames) for name, engine in engines.items()}
    even = {name: (*engine, *EVEN) for name, engine in engines.items()}
    rows |= {f"film, openvino {name}": Film(settings, frames) for name, settings in even.items()}
    fine_first = ("ordering=layers", "ordering.order=fine_to_coarse")
    rows["film, fine to coarse, float32"] = Film((*even["float32"], *fine_first), frames)
    last = precisions[-1]
    rows[f"diptych, openvino {last}"] = Film((*even[last], "film.layout=diptych"), frames)
    if device != "cpu":
        for precision in ("float32", "float16", "bfloat16"):
            for batch in (1, 8, 32):
                name = f"{device} {precision}, batch {batch}"
                rows[name] = Ours(TorchConfig(precision, device, batch), 16 * FRAMES)
                settings = {"precision": precision, "device": device, "batch": batch}
                chosen = (f"engine.{key}={value}" for key, value in settings.items())
                rows[f"default film, {name}"] = Film(("engine=torch", *chosen), frames)
    return rows


def print_rows(timings: Mapping[str, Timings]) -> None:
    """Print the first table."""
    plain = min((timings[name] for name in PLAIN_PASSES), key=lambda row: row.spread.median)
    print_table(
        ["", "ms a frame", "times the best plain pass", "processors' ms", "peak GiB"],
        [
            [
                name,
                row.spread.text(0, 1000),
                times_as_fast(plain, row),
                Spread.of(row.processor_seconds).text(0, 1000),
                f"{row.peak_memory / 2**30:.1f}",
            ]
            for name, row in timings.items()
        ],
    )
    print(busy_line(timings))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=240, help=f"of a film; rows without encoding render {FRAMES}"
    )
    add_rounds(parser)
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "mps"),
        help="where rows of the torch engine run besides the CPU",
    )
    options = parser.parse_args()
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = [precision for precision, name in CAPABILITIES.items() if name in capabilities]
    rows = table_rows(precisions, options.device, options.frames)
    chosen = {
        name: row
        for name, row in rows.items()
        if any(fnmatch(name, pattern) for pattern in options.rows)
    }
    if not chosen:
        parser.error(f"--rows {' '.join(options.rows)} matches none of: {'; '.join(rows)}")
    print(
        f"{core.get_property('CPU', 'FULL_DEVICE_NAME')}, {torch.get_num_threads()} threads, "
        f"{platform.system()}; torch {torch.__version__}, "
        f"openvino {openvino.__version__.partition('-')[0]}; "
        f"films of {options.frames} frames, {options.rounds} rounds\n"
    )
    print_rows(time_rows({**PLAIN_PASSES, **chosen}, options.rounds))
    print_floors(precisions, options.rounds)


if __name__ == "__main__":
    main()
