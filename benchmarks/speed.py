"""How fast the face model is filmed, against the plain ways: python benchmarks/speed.py [--frames 360] [--rounds 2]

Every row of the table runs in a process of its own, warmed up, and is timed in turn, several times round; the fastest
round counts, because what else the machine does only ever makes a round slower. Ratios are against the best plain
forward pass of OpenVINO on the original network, undamaged and without encoding. Rows for a GPU appear where there is one.
"""

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import openvino
import torch

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.combined import Layers
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.plan import Plan, Track
from forgetting.engines.allocator import keep_memory
from forgetting.engines.engine import Engine, EngineConfig, to_bytes
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

Frames = Callable[[int], object]
"""Makes that many frames."""


@dataclass(frozen=True)
class Original:
    """OpenVINO on the network as it was published; without a precision, its default."""

    precision: str | None

    def __call__(self) -> Frames:
        with tempfile.TemporaryDirectory() as scratch:
            with downloads.open_package(
                generator_zoo.find_model("ffhq-mobile").package, "ffhq-mobile", Path(scratch)
            ) as read:
                for kind in ("xml", "bin"):
                    (Path(scratch) / f"network.{kind}").write_bytes(
                        read(f"random_face/data/SynthesisNetwork.{kind}")
                    )
            settings = {"INFERENCE_PRECISION_HINT": self.precision} if self.precision else {}
            network = openvino.Core().compile_model(Path(scratch) / "network.xml", "CPU", settings)
        request, w = (
            network.create_infer_request(),
            np.random.RandomState(0).randn(1, 512).astype(np.float32),
        )
        return lambda count: [request.infer({0: w}) for _ in range(count)]


def face_and_plan(frames: int, fine: bool = False) -> tuple[MobileStyleGAN, torch.Tensor, Plan]:
    """The face model, the default face, and the default film's plan with units for a clock."""
    generator = generator_zoo.load("ffhq-mobile")
    assert isinstance(generator, MobileStyleGAN)
    ws, units = Seed()(generator), Units(generator.layers)
    rank = (Layers(order="fine_to_coarse") if fine else Contribution())(generator, units, ws)
    return (
        generator,
        ws,
        Plan((Track(rank, torch.linspace(0, 0.6, frames).double(), 0.036, generator.layers),)),
    )


@dataclass(frozen=True)
class PlainLoop:
    """Torch as one would write it: bind anew and run everything for every frame, damage by multiplication."""

    def __call__(self) -> Frames:
        generator, ws, plan = face_and_plan(32)
        units = Units(generator.layers)

        @torch.inference_mode()
        def frames(count: int) -> None:
            for k in range(count):
                alive = units.split(1 - plan.row(k % len(plan))[None])
                to_bytes(
                    generator.bind(ws)(
                        lambda x, layer, alive=alive: x * alive[layer.name][:, :, None, None]
                    )
                )

        return frames


@dataclass(frozen=True)
class Ours:
    """One of our engines, without encoding."""

    start: EngineConfig

    def __call__(self) -> Frames:
        generator, ws, plan = face_and_plan(32)
        engine, _ = self.start(AblationTask.of(generator, ws, Zero()), plan.rows([0]))
        return lambda count: [None for _ in engine(plan.row(k % len(plan)) for k in range(count))]


@dataclass(frozen=True)
class Filmed:
    """One of our engines, from the plan to a finished mp4."""

    start: EngineConfig
    fine: bool = False
    layout: str = "face"

    def __call__(self) -> Frames:
        generator, ws, plan = face_and_plan(2, self.fine)
        scene, listener, intact = AblationTask.of(generator, ws, Zero()), None, None
        engine, _ = self.start(scene, plan.rows([0]))
        if self.layout != "face":
            listener, _ = self.start(replace(scene, listens=True), plan.rows([0]))
            intact = next(listener.shots(plan.rows([0])))[1]

        def frames(count: int) -> None:
            whole = Plan(
                (replace(plan.tracks[0], fraction=torch.linspace(0, 0.6, count).double()),)
            )
            with tempfile.TemporaryDirectory() as scratch:
                film = encoder.resolve_encoder(
                    FilmSettings(fps=24, duration=count / 24, layout=self.layout), engine.device
                )
                store = SegmentStore(
                    Path(scratch) / "segments", film, film.shape(*generator.size), ""
                )
                layout = Compositor(film, whole, generator.size, reference=intact)
                render_segments(
                    FaceFrames(engine, layout, listener=listener),
                    store,
                    store.segments(),
                    time.monotonic(),
                )
                finished = store.finished()
                encoder.join_segments(
                    film,
                    [(finished[s], len(s)) for s in store.segments()],
                    Path(scratch) / "film.mp4",
                    "",
                )

        return frames


def work(row: Callable[[], Frames], link: Connection) -> None:
    """A row's own process: make ready, then time as many frames as asked."""
    keep_memory()
    frames = row()
    frames(2)
    link.send(None)
    while (count := link.recv()) is not None:
        started = time.perf_counter()
        frames(count)
        link.send(((time.perf_counter() - started) / count, most_memory() / 2**30))


def most_memory() -> int:
    """Bytes that this process had at most. Linux counts what the parent had before it into what ``getrusage`` says."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if platform.system() == "Darwin" else 1024
    )


def table(
    rows: dict[str, Callable[[], Frames]], frames: Callable[[str], int], rounds: int
) -> dict[str, tuple[float, float]]:
    """Name -> (fastest seconds a frame, peak memory in GiB); ``frames`` says how many a row makes in a round."""
    spawn, links = multiprocessing.get_context("spawn"), {}
    for name, row in rows.items():
        links[name], theirs = spawn.Pipe()
        spawn.Process(target=work, args=(row, theirs), daemon=True).start()
        links[name].recv()  # one gets ready at a time
    found = dict.fromkeys(rows, (np.inf, 0.0))
    for _ in range(rounds):
        for name, link in links.items():
            link.send(frames(name))
            seconds, memory = link.recv()
            found[name] = min(found[name][0], seconds), memory
    for link in links.values():
        link.send(None)
    return found


def rates(precisions: list[str]) -> tuple[dict[str, float], float]:
    """Multiply-adds a second of a large matrix product in each precision, and bytes a second of a copy, both ways."""
    products = {}
    for precision in precisions:
        a = torch.randn(2048, 2048).to(getattr(torch, precision))
        products[precision] = 2048**3 / fastest(lambda a=a: a @ a)
    block = torch.ones(2**26)
    target = torch.empty_like(block)
    return products, 2 * block.nbytes / fastest(lambda: target.copy_(block))


def fastest(task: Callable[[], object], rounds: int = 6) -> float:
    """Seconds of the fastest round."""
    best = np.inf
    for _ in range(rounds):
        started = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - started)
    return best


def smaller(generator: MobileStyleGAN, blocks: int, share: float) -> MobileStyleGAN:
    """A network of the first blocks and the first channels of another: it paints nothing, and costs what it would."""
    channels = tuple(
        max(16, int(c * share)) for c in generator.hyperparameters["channels"][:blocks]
    )
    network = MobileStyleGAN(channels).eval().requires_grad_(False)
    source = generator.state_dict()
    for name, tensor in network.state_dict().items():
        values = source[name]
        for dimension, n in enumerate(tensor.shape):
            values = values.index_select(dimension, torch.arange(n) % values.shape[dimension])
        tensor.copy_(values)
    return network


def drawing(frame: float) -> None:
    """What drawing a memory map costs, of a finished frame of ``frame`` seconds that has one."""
    print("\ncells of the map   ms to draw   of a frame of the diptych")
    for layers in (
        generator_zoo.load("ffhq-mobile").layers,
        tuple(Layer(f"l{k}", MAX_CELLS) for k in range(12)),
    ):
        count = sum(layer.channels for layer in layers)
        levels = np.linspace(0, 1, count, dtype=np.float32)
        drawn, gone = (
            MemoryMap.of(layers, levels, (1024, 1024)),
            {layer.name: torch.rand(layer.channels) for layer in layers},
        )
        seconds = fastest(
            lambda drawn=drawn, levels=levels, gone=gone: drawn.draw(levels, gone), 20
        )
        print(f"{count:16} {1000 * seconds:12.1f} {seconds / frame:27.0%}")


def growth(start: OpenVINOConfig, generator: MobileStyleGAN) -> None:
    """How cost grows with frames, resolution, units and dead share."""
    draw = torch.Generator().manual_seed(0)

    def engine(network: MobileStyleGAN) -> Engine:
        return start(
            AblationTask.of(network, Seed()(network), Zero()),
            torch.zeros(1, len(Units(network.layers))),
        )[0]

    def rows(network: MobileStyleGAN, count: int, gone: float) -> torch.Tensor:
        return (torch.rand(count, len(Units(network.layers)), generator=draw) < gone).float()

    whole = engine(generator)
    list(whole(rows(generator, 4, 0.3)))
    times = {
        n: fastest(lambda n=n: list(whole(rows(generator, n, 0.3))), 2) for n in (1, 4, 16, 64)
    }
    print("\nframes           " + "".join(f"{n:9}" for n in times))
    print("  ms in all      " + "".join(f"{1000 * t:9.0f}" for t in times.values()))
    print("share gone       " + "".join(f"{p:9.0%}" for p in (0, 0.25, 0.5, 0.75, 0.95)))
    times = [
        fastest(lambda p=p: list(whole(rows(generator, 8, p))), 3) / 8
        for p in (0.001, 0.25, 0.5, 0.75, 0.95)
    ]
    print("  ms a frame     " + "".join(f"{1000 * t:9.1f}" for t in times))
    for title, networks in (
        ("resolution", {f"{8 * 2**k}": smaller(generator, k + 1, 1) for k in range(3, 8)}),
        (
            "units",
            {
                f"{len(Units(n.layers))}": n
                for n in (smaller(generator, 8, share) for share in (0.25, 0.5, 0.75, 1))
            },
        ),
    ):
        print(f"{title:17}" + "".join(f"{name:>9}" for name in networks))
        costs, times = [], []
        for network in networks.values():
            run = engine(network)
            list(run(rows(network, 4, 0.3)))
            costs.append(sum(multiply_adds(network, Seed()(network)).values()))
            times.append(
                fastest(lambda run=run, network=network: list(run(rows(network, 8, 0.3))), 3) / 8
            )
        print("  ms a frame     " + "".join(f"{1000 * t:9.1f}" for t in times))
        print("  million MACs   " + "".join(f"{c / 1e6:9.0f}" for c in costs))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--frames",
        type=int,
        default=360,
        help="frames in a film; rows without encoding make twelve at a time",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "mps"),
        help="where our torch rows run besides the CPU",
    )
    options = parser.parse_args()
    keep_memory()
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = [precision for precision, name in CAPABILITIES.items() if name in able]
    rows: dict[str, Callable[[], Frames]] = {
        "openvino, original, default": Original(None),
        "openvino, original, float32": Original("f32"),
        "plain torch loop": PlainLoop(),
        "torch float32": Ours(TorchConfig()),
    }
    plain = list(rows)[:2]
    rows |= {f"openvino {precision}": Ours(OpenVINOConfig(precision)) for precision in precisions}
    rows |= {
        f"film, openvino {precision}": Filmed(OpenVINOConfig(precision)) for precision in precisions
    }
    rows["film, fine to coarse, float32"] = Filmed(OpenVINOConfig("float32"), fine=True)
    rows[f"diptych, openvino {precisions[-1]}"] = Filmed(
        OpenVINOConfig(precisions[-1]), layout="diptych"
    )
    if options.device != "cpu":
        for precision in ("float32", "float16", "bfloat16"):
            for batch in (1, 8, 32):
                start = TorchConfig(precision, options.device, batch)
                rows[f"{options.device} {precision}, batch {batch}"] = Ours(start)
                rows[f"film, {options.device} {precision}, batch {batch}"] = Filmed(start)
    found = table(
        rows, lambda name: options.frames if isinstance(rows[name], Filmed) else 12, options.rounds
    )
    generator, ws, _ = face_and_plan(2)
    base = min(found[name][0] for name in plain)
    name = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    print(
        f"{name}, {torch.get_num_threads()} threads, {platform.system()}; torch {torch.__version__}, openvino {openvino.__version__}\n"
    )
    print(f"{'':32} ms a frame   times the best plain pass   peak GiB")
    for row, (seconds, memory) in found.items():
        print(f"{row:32} {1000 * seconds:10.0f} {base / seconds:27.2f} {memory:10.1f}")
    costs = sum(
        cost
        for step, cost in multiply_adds(generator, ws).items()
        if step not in ("mapping", "bind")
    )
    maps = sum(layer.channels * layer.size[0] * layer.size[1] for layer in generator.layers)
    products, copies = rates(precisions)
    print(
        f"\n{costs / 1e9:.2f} thousand million multiply-adds a frame, {maps / 1e6:.0f} million values in the layers' maps,"
    )
    print(f"each written and read once at least; copies run at {copies / 1e9:.0f} GB/s (both ways)")
    for precision, rate in products.items():
        arithmetic, traffic = costs / rate, 2 * maps * (4 if precision == "float32" else 2) / copies
        print(
            f"  {precision:9} matrix products {2 * rate / 1e9:6.0f} GFLOP/s; "
            f"floor {1000 * arithmetic:.0f} ms of arithmetic + {1000 * traffic:.0f} ms of traffic"
        )
    best = min(precisions, key=lambda precision: found[f"openvino {precision}"][0])
    drawing(found[f"diptych, openvino {precisions[-1]}"][0])
    print(f"\nGrowth, openvino {best}, without encoding")
    growth(OpenVINOConfig(best), generator)


if __name__ == "__main__":
    main()
