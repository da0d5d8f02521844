"""How fast the face model is filmed, against the plain ways: python benchmarks/speed.py [--frames 48]

One table from one run. Every row is timed in turn, several times round, and the fastest round counts: what else the
machine does only ever makes a round slower. Ratios are against the best plain forward pass of OpenVINO on the original
network, undamaged and without encoding.
"""

import argparse
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch

from forgetting import zoo
from forgetting.allocator import keep_memory
from forgetting.engines import to_bytes
from forgetting.engines.compiled import CAPABILITIES, OpenVINO
from forgetting.engines.eager import Torch
from forgetting.film import Film, writer
from forgetting.generators import Generator
from forgetting.latents import Seed
from forgetting.operators import Zero
from forgetting.orderings import Contribution, Layers
from forgetting.plan import ablation
from forgetting.units import Units

Frames = Callable[[int], object]
"""Makes that many frames."""


def original(folder: Path, precision: str | None) -> Frames:
    """OpenVINO on the network as it was published; without a precision, its default."""
    with zipfile.ZipFile(zoo._download(zoo.find("ffhq-mobile"), folder)) as archive:
        archive.extractall(folder)
    settings = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    network = openvino.Core().compile_model(folder / "random_face/data/SynthesisNetwork.xml", "CPU", settings)
    request, w = network.create_infer_request(), np.random.RandomState(0).randn(1, 512).astype(np.float32)
    return lambda count: [request.infer({0: w}) for _ in range(count)]


def with_hooks(generator: Generator, ws: torch.Tensor, rows: torch.Tensor) -> Frames:
    """The plain loop: bind anew and run everything for every frame, damage by multiplication."""
    units = Units(generator.layers)

    @torch.inference_mode()
    def frames(count: int) -> None:
        for k in range(count):
            alive = units.split(1 - rows[k % len(rows), None])
            to_bytes(generator.bind(ws)(lambda x, layer, alive=alive: x * alive[layer.name][:, :, None, None]))

    return frames


def engine(start: OpenVINO | Torch, generator: Generator, ws: torch.Tensor, rows: torch.Tensor) -> Frames:
    """One of ours, without encoding."""
    run, _ = start(generator, ws, Zero(), rows[:3])
    return lambda count: [run(rows[k % len(rows)]) for k in range(count)]


def filmed(frames_of: OpenVINO | Torch, generator: Generator, ws: torch.Tensor, rows: torch.Tensor, folder: Path) -> Frames:
    """One of ours, from the plan to a finished mp4."""
    run, _ = frames_of(generator, ws, Zero(), rows[:3])

    def frames(count: int) -> None:
        with writer(Film(fps=24, duration=count / 24), folder, (1024, 1024), "") as put:
            for k in range(count):
                put(run(rows[k * len(rows) // count]))

    return frames


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=48, help="frames in a film; plain rows make a sixth of them")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_memory()
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = [precision for precision, name in CAPABILITIES.items() if name in able]
    generator = zoo.load("ffhq-mobile")
    ws, units = Seed()(generator), Units(generator.layers)
    way = torch.linspace(0, 0.6, 4 * options.frames)
    rows = ablation(Contribution()(generator, units, ws), way, 0.036)
    fine = ablation(Layers(order="fine_to_coarse")(generator, units, ws), way, 0.036)
    print(f"{openvino.Core().get_property('CPU', 'FULL_DEVICE_NAME')}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plain = {
            "openvino, original, default": original(folder, None),
            "openvino, original, float32": original(folder, "f32"),
        }
        table = plain | {"plain torch loop": with_hooks(generator, ws, rows), "torch float32": engine(Torch(), generator, ws, rows)}
        for precision in precisions:
            table[f"openvino {precision}"] = engine(OpenVINO(precision), generator, ws, rows)
        whole = {f"film, openvino {precision}": filmed(OpenVINO(precision), generator, ws, rows, folder) for precision in precisions}
        whole["film, fine to coarse, float32"] = filmed(OpenVINO("float32"), generator, ws, fine, folder)
        best: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, frames in (table | whole).items():
                count = options.frames if name in whole else max(2, options.frames // 6)
                started = time.perf_counter()
                frames(count)
                best[name] = min(best.get(name, np.inf), (time.perf_counter() - started) / count)
    base = min(best[name] for name in plain)
    print(f"{'':32} ms a frame   times the best plain forward pass")
    for name, seconds in best.items():
        print(f"{name:32} {1000 * seconds:10.0f} {base / seconds:8.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
