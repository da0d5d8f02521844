"""How fast networks of one's own compute pictures, and how fast their files open.

python benchmarks/networks.py [--rounds 5] [--tables speed files]

The first table has the three networks of the StyleGAN papers at 256x256 with random weights and
the channels of their configurations (base 16384, for StyleGAN3-R 32768 and at most 1024): computed
operation after operation as in the papers, by our torch engine and by OpenVINO. The second table
has files of full size, 1024x1024 and up to 512 channels, in every layout that can be read: the
seconds to open one, and the peak memory of the process beyond what it had before. Rows of both are
timed as ``rounds.py`` describes; a file is opened by a new process in every round.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines.engine import EngineConfig, render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.processor import fast_precisions
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.models.architectures import reference
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3, bands
from forgetting.models.checkpoints import native
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.units import Units
from paired_ratios import Spread
from rounds import (
    Row,
    add_rounds,
    busy_line,
    interleave,
    peak_memory,
    print_table,
    time_rows,
    times_as_fast,
)
from stopwatch import Lap, Stopwatch, other_work_line

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # these write foreign layouts
import foreign_layouts
import nvidia_pickles

T = TypeVar("T", bound=nn.Module)

ABLATED_SHARE = 0.3
"""The share of units that is ablated while networks are timed."""


def stylegan2(resolution: int) -> StyleGAN2:
    """Return a StyleGAN2 with the channels of configuration F (Karras et al. 2020).

    Their base is 16384 at 256 pixels and 32768 at 1024.
    """
    base = 16384 if resolution == 256 else 32768
    sizes = [4 * 2**k for k in range(resolution.bit_length() - 2)]
    return fill_buffers(StyleGAN2([min(base // size, 512) for size in sizes]))


def stylegan3(resolution: int, base: int, most: int, kernel: int) -> StyleGAN3:
    """Return a StyleGAN3, whose channels fall with the cutoff (Karras et al. 2021, appendix C)."""
    layers = bands(resolution, 14, 2, 2.0, 2**2.1, 2**0.3)[:-1]
    channels = [round(min(base / 2 / band.cutoff, most)) for band in layers]
    return fill_buffers(StyleGAN3(resolution, channels, kernel=kernel))


def fill_buffers(network: T) -> T:
    """Draw the buffers that training would have filled; return the network."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.named_buffers():
        if name.endswith(("freqs", "phases")):
            tensor.normal_(generator=generator)
        elif name.endswith("noise"):
            tensor.normal_(std=0.1, generator=generator)
        elif name.endswith("transform"):
            tensor.copy_(torch.eye(3))
    return network.eval().requires_grad_(False)


NETWORKS: dict[str, Callable[[], StyleGAN2 | StyleGAN3]] = {
    "StyleGAN2": lambda: stylegan2(256),
    "StyleGAN3-T": lambda: stylegan3(256, 16384, 512, 3),
    "StyleGAN3-R": lambda: stylegan3(256, 32768, 1024, 1),
}


def face(network: StyleGAN2 | StyleGAN3) -> torch.Tensor:
    """Return the ``ws`` [1, L, W] of a face."""
    z = torch.from_numpy(np.random.RandomState(0).randn(1, 512)).float()
    with torch.inference_mode():
        return network.mapping(z)


@dataclass(frozen=True)
class Reference:
    """A network in plain operations, as in its paper."""

    name: str
    count: int = 1

    def start(self) -> Callable[[], None]:
        """Load the network."""
        network = NETWORKS[self.name]()
        ws = face(network)

        @torch.inference_mode()
        def render() -> None:
            for _ in range(self.count):
                if isinstance(network, StyleGAN2):
                    reference.stylegan2(network, ws)
                else:
                    reference.stylegan3(network, ws)

        render()
        return render


@dataclass(frozen=True)
class Ours:
    """A network by one of our engines, with some of its units ablated."""

    name: str
    engine: EngineConfig
    count: int = 4

    def start(self) -> Callable[[], None]:
        """Load the network and start the engine."""
        network = NETWORKS[self.name]()
        draws = torch.rand(
            self.count, len(Units(network.layers)), generator=torch.Generator().manual_seed(0)
        )
        rows = (draws < ABLATED_SHARE).float()
        engine, _ = self.engine.choose(AblationTask.of(network, face(network), Zero()), rows[:1])

        def render() -> None:
            for _ in render_rows(engine, rows):
                pass

        render()
        return render


def print_speed(rounds: int) -> None:
    """Print the table of speeds: the rows of one network are timed together."""
    engines: dict[str, EngineConfig] = {"torch": TorchConfig()}
    engines |= {f"openvino {p}": OpenVINOConfig(p) for p in ("float32", *fast_precisions("cpu"))}
    plain = "as the paper says it"
    for name in NETWORKS:
        rows: dict[str, Row] = {plain: Reference(name)}
        rows |= {f"ours, {engine}": Ours(name, config) for engine, config in engines.items()}
        timings = time_rows(rows, rounds)
        print_table(
            [f"{name}, 256 x 256", "ms an image", "times the plain one", "peak GiB"],
            [
                [
                    label,
                    row.spread.text(0, 1000),
                    times_as_fast(timings[plain], row),
                    f"{row.peak_memory / 2**30:.1f}",
                ]
                for label, row in timings.items()
            ],
        )
        print(f"{busy_line(timings)}\n", flush=True)


def write_files(folder: Path) -> dict[str, Path]:
    """Write networks of full size in every layout; return the files by description."""
    files: dict[str, Path] = {}
    networks = {
        "StyleGAN2": stylegan2(1024),
        "StyleGAN3-T": stylegan3(1024, 32768, 512, 3),
        "StyleGAN3-R": stylegan3(1024, 65536, 1024, 1),
    }
    for name, network in networks.items():
        if isinstance(network, StyleGAN2):
            state, arguments = foreign_layouts.nvidia_stylegan2(network)
        else:
            state, arguments = foreign_layouts.nvidia_stylegan3(network)
        persistent = nvidia_pickles.PersistentNetwork("Generator", state, arguments)
        content = {"G": persistent, "G_ema": persistent}
        for protocol in (2, 4):
            path = folder / f"{name}-{protocol}.pkl"
            files[f"{name}, .pkl of NVIDIA, protocol {protocol}"] = nvidia_pickles.write_nvidia(
                path, content, protocol
            )
        files[f"{name}, safetensors"] = path = folder / f"{name}.safetensors"
        architecture = name.lower().partition("-")[0]
        native.write_checkpoint(
            path, architecture, network.hyperparameters, network.state_dict(), "a benchmark"
        )
        if isinstance(network, StyleGAN2):
            port = {
                "g_ema": foreign_layouts.rosinality(network),
                "latent_avg": network.style.w_avg,
            }
            for kind, zipped in ((".pt, zip", True), (".pt, legacy", False)):
                files[f"{name}, {kind}"] = path = folder / f"{name}-{zipped}.pt"
                torch.save(port, path, _use_new_zipfile_serialization=zipped)
    return files


def open_file(path: Path) -> tuple[Lap, float]:
    """Open a file; return how long that took, and the MB by which the process grew at most."""
    before, watch = peak_memory(), Stopwatch()
    CheckpointFile(str(path)).load()
    return watch.lap(), (peak_memory() - before) / 1e6


def print_loading(rounds: int) -> None:
    """Print the table of files."""

    def open_in_new_process(path: Path) -> tuple[Lap, float]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(open_file, (path,))

    with tempfile.TemporaryDirectory() as scratch:
        files = write_files(Path(scratch))
        for path in files.values():
            path.read_bytes()  # from then on it is in the page cache
        opened = interleave(
            {name: partial(open_in_new_process, path) for name, path in files.items()}, rounds
        )
        lines = []
        for name, results in opened.items():
            seconds = Spread.of([lap.seconds for lap, _ in results])
            memory = Spread.of([grown for _, grown in results])
            size = f"{files[name].stat().st_size / 1e6:.0f}"
            lines.append([name, size, seconds.text(2), f"{memory.median:.0f}"])
    print_table(["1024 x 1024, full size", "MB on disk", "s to open", "MB beyond before"], lines)
    laps = [[lap for lap, _ in results] for results in zip(*opened.values(), strict=True)]
    print(other_work_line(laps))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rounds(parser)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    options = parser.parse_args()
    for table in options.tables:
        TABLES[table](options.rounds)


TABLES: dict[str, Callable[[int], None]] = {"speed": print_speed, "files": print_loading}


if __name__ == "__main__":
    main()
