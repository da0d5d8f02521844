"""How fast networks of one's own compute pictures, and how fast their files open.

python benchmarks/networks.py [--rounds 2]

The first table has the three networks of the StyleGAN papers at 256x256 with random weights and
the channels of their configurations (base 16384, for StyleGAN3-R 32768 and at most 1024): computed
operation after operation as in the papers, by our torch engine and by OpenVINO. Every row runs in a
process of its own and is timed in turn; the fastest round counts. The second table has files of
full size, 1024x1024 and up to 512 channels, in every layout that can be read: the seconds to open
one, and the peak memory of the process beyond what it had before.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines.engine import EngineConfig, render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.models.architectures import reference
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3, bands
from forgetting.models.checkpoints import native
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.units import Units
from speed import RenderFrames, Row, consume, peak_memory, time_rows

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

    def start(self) -> RenderFrames:
        """Load the network."""
        network = NETWORKS[self.name]()
        ws = face(network)

        @torch.inference_mode()
        def render(count: int) -> None:
            for _ in range(count):
                if isinstance(network, StyleGAN2):
                    reference.stylegan2(network, ws)
                else:
                    reference.stylegan3(network, ws)

        return render


@dataclass(frozen=True)
class Ours:
    """A network by one of our engines, with some of its units ablated."""

    name: str
    engine: EngineConfig

    def start(self) -> RenderFrames:
        """Load the network and start the engine."""
        network = NETWORKS[self.name]()
        draws = torch.rand(
            8, len(Units(network.layers)), generator=torch.Generator().manual_seed(0)
        )
        rows = (draws < ABLATED_SHARE).float()
        engine, _ = self.engine.choose(AblationTask.of(network, face(network), Zero()), rows[:1])

        def render(count: int) -> None:
            consume(render_rows(engine, (rows[k % 8] for k in range(count))))

        return render


def print_speed(rounds: int) -> None:
    """Print the table of speeds."""
    print(f"{'256 x 256, random weights':26}{'':24} ms an image   times the plain one   peak GiB")
    engines: dict[str, EngineConfig] = {"torch": TorchConfig()}
    engines |= {f"openvino {p}": OpenVINOConfig(p) for p in ("float32", "bfloat16")}
    plain = "as the paper says it"
    for name in NETWORKS:
        rows: dict[str, Row] = {plain: Reference(name)}
        rows |= {f"ours, {engine}": Ours(name, config) for engine, config in engines.items()}
        timings = time_rows(rows, lambda row: 1 if row == plain else 4, rounds)
        base = timings[plain][0]
        for row, (seconds, memory) in timings.items():
            print(
                f"{name:26}{row:24} {1000 * seconds:11.0f} {base / seconds:21.1f} {memory:10.1f}",
                flush=True,
            )


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


def open_file(path: Path) -> tuple[float, float]:
    """Return the seconds to open a file, and the MB by which the process grew at most."""
    before, started = peak_memory(), time.perf_counter()
    CheckpointFile(str(path)).load()
    return time.perf_counter() - started, (peak_memory() - before) / 1e6


def print_loading() -> None:
    """Print the table of files."""
    print(f"\n{'1024 x 1024, full size':48} MB on disk   s to open   MB beyond before")
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in write_files(Path(scratch)).items():
            path.read_bytes()  # from then on it is in the page cache
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, memory = pool.apply(open_file, (path,))
            print(
                f"{name:48} {path.stat().st_size / 1e6:10.0f} {seconds:11.2f} {memory:18.0f}",
                flush=True,
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="0 prints the table of files only")
    options = parser.parse_args()
    if options.rounds:
        print_speed(options.rounds)
    print_loading()


if __name__ == "__main__":
    main()
