"""How fast films of the face model are, against plain methods.

python benchmarks/speed.py [--frames 360] [--rounds 2] [--device cuda]

Every row of the table runs in a process of its own, is warmed up, and is timed in turn, several
times. The fastest round counts, because other work on the machine only makes a round slower. Ratios
are against the best plain forward pass of OpenVINO on the original network, undamaged and without
encoding. ``--device`` adds rows for a GPU.
"""

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import numpy as np
import openvino
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.combined import Layers
from forgetting.ablation.orderings.ordering import RankRequest
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.plan import Plan, Track
from forgetting.engines.allocator import keep_memory
from forgetting.engines.engine import (
    Engine,
    EngineConfig,
    FrameRequest,
    Outputs,
    render_rows,
    to_bytes,
)
from forgetting.engines.openvino import CAPABILITIES, OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.film import encoder
from forgetting.film.compositor import Compositor
from forgetting.film.memory_map import MemoryMap
from forgetting.film.render import FaceFrames, render_segments
from forgetting.film.segments import SegmentStore
from forgetting.film.settings import FilmSettings
from forgetting.models import downloads, generator_zoo
from forgetting.models.activity import MAX_CELLS
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.flops import multiply_adds
from forgetting.models.latents import Seed
from forgetting.models.units import Layer, Units

LAST_FRACTION = 0.6
"""The fraction of the ranks that the film reaches."""

SOFTNESS = 0.036
"""Of the film: the operator's default, up to that fraction."""

PLAN_FRAMES = 32
"""Frames of the plan in rows without encoding."""

RenderFrames = Callable[[int], object]
"""Renders that many frames."""


class Row(Protocol):
    """A row of a table: something that renders frames."""

    def start(self) -> RenderFrames:
        """Load everything; return the function that is timed."""
        ...


@dataclass(frozen=True)
class Original:
    """OpenVINO on the network as it was published; ``precision`` None is its default."""

    precision: str | None

    def start(self) -> RenderFrames:
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
        return lambda count: [request.infer({0: w}) for _ in range(count)]


def face_and_plan(
    frames: int, fine_first: bool = False
) -> tuple[MobileStyleGAN, torch.Tensor, Plan]:
    """Return the face model, the ``ws`` of the default face, and a plan.

    Args:
        frames: of the plan, which counts units.
        fine_first: whether layers are ablated from fine to coarse instead of by contribution.
    """
    generator = generator_zoo.load("ffhq-mobile")
    assert isinstance(generator, MobileStyleGAN)
    ws = Seed().sample(generator)
    ordering = Layers(order="fine_to_coarse") if fine_first else Contribution()
    rank = ordering.rank(RankRequest(generator, Units(generator.layers), ws))
    track = Track(rank, fractions(frames), SOFTNESS, generator.layers)
    return generator, ws, Plan((track,))


def fractions(frames: int) -> torch.Tensor:
    """Return the fraction of the ranks [F] in every frame of a film."""
    return torch.linspace(0, LAST_FRACTION, frames).double()


@dataclass(frozen=True)
class PlainLoop:
    """The most direct loop in torch.

    It binds the face and runs everything for every frame, and multiplies to ablate.
    """

    def start(self) -> RenderFrames:
        """Load the network."""
        generator, ws, plan = face_and_plan(PLAN_FRAMES)
        units = Units(generator.layers)

        @torch.inference_mode()
        def render(count: int) -> None:
            for k in range(count):
                remaining = units.split(1 - plan.row(k % len(plan))[None])

                def edit(
                    x: torch.Tensor,
                    layer: Layer,
                    remaining: Mapping[str, torch.Tensor] = remaining,
                ) -> torch.Tensor:
                    return x * remaining[layer.name][:, :, None, None]

                to_bytes(generator.bind(ws)(edit))

        return render


@dataclass(frozen=True)
class Ours:
    """One of our engines, without encoding."""

    config: EngineConfig

    def start(self) -> RenderFrames:
        """Start the engine."""
        generator, ws, plan = face_and_plan(PLAN_FRAMES)
        engine, _ = self.config.choose(AblationTask.of(generator, ws, Zero()), plan.rows([0]))

        def render(count: int) -> None:
            consume(render_rows(engine, (plan.row(k % len(plan)) for k in range(count))))

        return render


def consume(frames: Iterable[object]) -> None:
    """Iterate to the end and keep nothing."""
    deque(frames, maxlen=0)


@dataclass(frozen=True)
class Film:
    """One of our engines, from the plan to a finished mp4."""

    config: EngineConfig
    fine_first: bool = False
    layout: str = "face"

    def start(self) -> RenderFrames:
        """Start the engine."""
        generator, ws, plan = face_and_plan(2, self.fine_first)
        engine, _ = self.config.choose(AblationTask.of(generator, ws, Zero()), plan.rows([0]))
        intact = None
        if self.layout != "face":
            request = FrameRequest(plan.row(0), outputs=Outputs(activity=True))
            intact = next(engine.render([request])).activity[:, 0, 0]

        def render(count: int) -> None:
            film_plan = Plan((replace(plan.tracks[0], fraction=fractions(count)),))
            film = FilmSettings(fps=24, duration=count / 24, layout=self.layout)
            film = encoder.resolve_encoder(film, engine.device)
            compositor = Compositor(film, film_plan, generator.size, reference=intact)
            source = FaceFrames(engine, compositor)
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                shape = film.shape(*generator.size)
                store = SegmentStore(folder / "segments", film, shape, "")
                render_segments(source, store, store.segments(), time.monotonic())
                finished = store.finished()
                segments = [(finished[segment], len(segment)) for segment in store.segments()]
                encoder.join_segments(film, segments, folder / "film.mp4", "")

        return render


def run_row(row: Row, link: Connection) -> None:
    """Run in the process of a row: start it, then time as many frames as are asked for."""
    keep_memory()
    render = row.start()
    render(2)
    link.send(None)
    while (count := link.recv()) is not None:
        started = time.perf_counter()
        render(count)
        link.send(((time.perf_counter() - started) / count, peak_memory() / 2**30))


def peak_memory() -> int:
    """Return the most bytes that this process has used.

    On Linux ``getrusage`` includes what the parent had used before.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def time_rows(
    rows: Mapping[str, Row], frames: Callable[[str], int], rounds: int
) -> dict[str, tuple[float, float]]:
    """Time all rows in turn.

    Args:
        rows: by name.
        frames: name -> how many frames the row renders in a round.
        rounds: how often.

    Returns:
        Name -> the seconds per frame in the fastest round, and the peak memory in GiB.
    """
    spawn, links = multiprocessing.get_context("spawn"), dict[str, Connection]()
    for name, row in rows.items():
        links[name], far_end = spawn.Pipe()
        spawn.Process(target=run_row, args=(row, far_end), daemon=True).start()
        links[name].recv()  # rows start one after another
    timings = dict.fromkeys(rows, (np.inf, 0.0))
    for _ in range(rounds):
        for name, link in links.items():
            link.send(frames(name))
            seconds, memory = link.recv()
            timings[name] = min(timings[name][0], seconds), memory
    for link in links.values():
        link.send(None)
    return timings


def machine_rates(precisions: list[str]) -> tuple[dict[str, float], float]:
    """Measure the machine.

    Returns:
        The multiply-adds per second of a large matrix product in each precision, and the bytes per
        second of a copy, read and written.
    """
    products = {}
    for precision in precisions:
        a = torch.randn(2048, 2048).to(getattr(torch, precision))
        products[precision] = 2048**3 / fastest(lambda a=a: a @ a)
    block = torch.ones(2**26)
    target = torch.empty_like(block)
    return products, 2 * block.nbytes / fastest(lambda: target.copy_(block))


def fastest(task: Callable[[], object], rounds: int = 6) -> float:
    """Return the seconds of the fastest round."""
    best = np.inf
    for _ in range(rounds):
        started = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - started)
    return best


def smaller(generator: MobileStyleGAN, blocks: int, share: float) -> MobileStyleGAN:
    """Return a network of the first blocks and channels of another.

    Its pictures show nothing; it costs what such a network would cost.
    """
    channels = generator.hyperparameters["channels"][:blocks]
    network = MobileStyleGAN(tuple(max(16, int(c * share)) for c in channels))
    network.eval().requires_grad_(False)
    source = generator.state_dict()
    for name, tensor in network.state_dict().items():
        values = source[name]
        for dimension, n in enumerate(tensor.shape):
            values = values.index_select(dimension, torch.arange(n) % values.shape[dimension])
        tensor.copy_(values)
    return network


def print_drawing(frame_seconds: float) -> None:
    """Print what drawing a memory map costs.

    Args:
        frame_seconds: the time of a finished frame that has a map.
    """
    print("\ncells of the map   ms to draw   of a frame of the diptych")
    large = tuple(Layer(f"l{k}", MAX_CELLS) for k in range(12))
    for layers in (generator_zoo.load("ffhq-mobile").layers, large):
        count = sum(layer.channels for layer in layers)
        activity = np.linspace(0, 1, count, dtype=np.float32)
        memory_map = MemoryMap.of(layers, activity, (1024, 1024))
        ablation = {layer.name: torch.rand(layer.channels) for layer in layers}

        def draw(
            memory_map: MemoryMap = memory_map,
            activity: np.ndarray = activity,
            ablation: Mapping[str, torch.Tensor] = ablation,
        ) -> object:
            return memory_map.draw(activity, ablation)

        seconds = fastest(draw, 20)
        print(f"{count:16} {1000 * seconds:12.1f} {seconds / frame_seconds:27.0%}")


def print_growth(config: OpenVINOConfig, generator: MobileStyleGAN) -> None:
    """Print how cost grows with frames, ablated share, resolution and units."""
    draws = torch.Generator().manual_seed(0)

    def start(network: MobileStyleGAN) -> Engine:
        task = AblationTask.of(network, Seed().sample(network), Zero())
        return config.choose(task, torch.zeros(1, len(task)))[0]

    def rows(network: MobileStyleGAN, count: int, share: float) -> torch.Tensor:
        return (torch.rand(count, len(Units(network.layers)), generator=draws) < share).float()

    def seconds(
        engine: Engine, network: MobileStyleGAN, count: int, share: float, rounds: int
    ) -> float:
        return fastest(lambda: consume(render_rows(engine, rows(network, count, share))), rounds)

    whole = start(generator)
    seconds(whole, generator, 4, 0.3, 1)  # warms up
    print("\nframes           " + "".join(f"{count:9}" for count in (1, 4, 16, 64)))
    times = [seconds(whole, generator, count, 0.3, 2) for count in (1, 4, 16, 64)]
    print("  ms in all      " + "".join(f"{1000 * t:9.0f}" for t in times))
    print("share gone       " + "".join(f"{p:9.0%}" for p in (0, 0.25, 0.5, 0.75, 0.95)))
    times = [seconds(whole, generator, 8, p, 3) / 8 for p in (0.001, 0.25, 0.5, 0.75, 0.95)]
    print("  ms a frame     " + "".join(f"{1000 * t:9.1f}" for t in times))
    resolutions = {f"{8 * 2**k}": smaller(generator, k + 1, 1) for k in range(3, 8)}
    widths = [smaller(generator, 8, share) for share in (0.25, 0.5, 0.75, 1)]
    units = {f"{len(Units(network.layers))}": network for network in widths}
    for title, networks in (("resolution", resolutions), ("units", units)):
        print(f"{title:17}" + "".join(f"{name:>9}" for name in networks))
        costs, times = [], []
        for network in networks.values():
            engine = start(network)
            seconds(engine, network, 4, 0.3, 1)  # warms up
            costs.append(sum(multiply_adds(network, Seed().sample(network)).values()))
            times.append(seconds(engine, network, 8, 0.3, 3) / 8)
        print("  ms a frame     " + "".join(f"{1000 * t:9.1f}" for t in times))
        print("  million MACs   " + "".join(f"{c / 1e6:9.0f}" for c in costs))


def print_floors(precisions: list[str]) -> None:
    """Print the multiply-adds of a frame, and the shortest time that the machine allows for it."""
    generator, ws, _ = face_and_plan(2)
    costs = sum(
        cost
        for step, cost in multiply_adds(generator, ws).items()
        if step not in ("mapping", "bind")
    )
    maps = sum(layer.channels * layer.size[0] * layer.size[1] for layer in generator.layers)
    products, copies = machine_rates(precisions)
    print(
        f"\n{costs / 1e9:.2f} thousand million multiply-adds a frame, "
        f"{maps / 1e6:.0f} million values in the layers' maps,"
    )
    print(f"each written and read once at least; copies run at {copies / 1e9:.0f} GB/s (both ways)")
    for precision, rate in products.items():
        arithmetic, traffic = costs / rate, 2 * maps * (4 if precision == "float32" else 2) / copies
        print(
            f"  {precision:9} matrix products {2 * rate / 1e9:6.0f} GFLOP/s; "
            f"floor {1000 * arithmetic:.0f} ms of arithmetic + {1000 * traffic:.0f} ms of traffic"
        )


def table_rows(precisions: list[str], device: str) -> dict[str, Row]:
    """Return the rows of the first table; ``device`` adds those of a GPU."""
    rows: dict[str, Row] = {
        "openvino, original, default": Original(None),
        "openvino, original, float32": Original("f32"),
        "plain torch loop": PlainLoop(),
        "torch float32": Ours(TorchConfig()),
    }
    configs = {precision: OpenVINOConfig(precision) for precision in precisions}
    rows |= {f"openvino {precision}": Ours(config) for precision, config in configs.items()}
    rows |= {f"film, openvino {precision}": Film(config) for precision, config in configs.items()}
    rows["film, fine to coarse, float32"] = Film(configs["float32"], fine_first=True)
    last = precisions[-1]
    rows[f"diptych, openvino {last}"] = Film(configs[last], layout="diptych")
    if device != "cpu":
        for precision in ("float32", "float16", "bfloat16"):
            for batch in (1, 8, 32):
                config = TorchConfig(precision, device, batch)
                rows[f"{device} {precision}, batch {batch}"] = Ours(config)
                rows[f"film, {device} {precision}, batch {batch}"] = Film(config)
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=360, help="of a film; rows without encoding render 12"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "mps"),
        help="where rows of the torch engine run besides the CPU",
    )
    options = parser.parse_args()
    keep_memory()
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = [precision for precision, name in CAPABILITIES.items() if name in capabilities]
    rows = table_rows(precisions, options.device)
    timings = time_rows(
        rows, lambda name: options.frames if isinstance(rows[name], Film) else 12, options.rounds
    )
    base = min(timings[name][0] for name, row in rows.items() if isinstance(row, Original))
    print(
        f"{core.get_property('CPU', 'FULL_DEVICE_NAME')}, {torch.get_num_threads()} threads, "
        f"{platform.system()}; torch {torch.__version__}, openvino {openvino.__version__}\n"
    )
    print(f"{'':32} ms a frame   times the best plain pass   peak GiB")
    for name, (seconds, memory) in timings.items():
        print(f"{name:32} {1000 * seconds:10.0f} {base / seconds:27.2f} {memory:10.1f}")
    print_floors(precisions)
    print_drawing(timings[f"diptych, openvino {precisions[-1]}"][0])
    best = min(precisions, key=lambda precision: timings[f"openvino {precision}"][0])
    print(f"\nGrowth, openvino {best}, without encoding")
    print_growth(OpenVINOConfig(best), face_and_plan(2)[0])


if __name__ == "__main__":
    main()
