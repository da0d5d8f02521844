"""How fast networks of one's own paint and open: python benchmarks/networks.py [--rounds 2]

First the three networks of the StyleGAN papers at 256x256 with random weights, channels as their configurations have
them (base 16384, for StyleGAN3-R 32768 and at most 1024): done operation after operation as the papers say it, by our
torch engine and by OpenVINO, every row in a process of its own, timed in turn; the fastest round counts. Then files of
full size, 1024x1024 and up to 512 channels, in every layout that is read: how long one takes to open, and the most
memory that the process ever had beyond what it had before.
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
from speed import Frames, most_memory, table
from torch import nn

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.engines.engine import EngineConfig
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.models.architectures import reference
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3, bands
from forgetting.models.checkpoints import native
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.units import Units

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # they know the layouts
import foreign
import persistent

T = TypeVar("T", bound=nn.Module)


def stylegan2(resolution: int) -> StyleGAN2:
    """Channels as configuration F has them (Karras et al. 2020), base 16384 at 256, 32768 at 1024."""
    base = 16384 if resolution == 256 else 32768
    sizes = [4 * 2**k for k in range(resolution.bit_length() - 2)]
    return drawn(StyleGAN2([min(base // size, 512) for size in sizes]))


def stylegan3(resolution: int, base: int, most: int, kernel: int) -> StyleGAN3:
    """Channels fall with the cutoff (Karras et al. 2021, appendix C)."""
    layers = bands(resolution, 14, 2, 2.0, 2**2.1, 2**0.3)[:-1]
    return drawn(
        StyleGAN3(
            resolution, [round(min(base / 2 / band.cutoff, most)) for band in layers], kernel=kernel
        )
    )


def drawn(network: T) -> T:
    """Weights as they are drawn at first, and buffers that training would have filled."""
    draw = torch.Generator().manual_seed(0)
    for name, tensor in network.named_buffers():
        if name.endswith(("freqs", "phases")):
            tensor.normal_(generator=draw)
        elif name.endswith("noise"):
            tensor.normal_(std=0.1, generator=draw)
        elif name.endswith("transform"):
            tensor.copy_(torch.eye(3))
    return network.eval().requires_grad_(False)


NETWORKS: dict[str, Callable[[], StyleGAN2 | StyleGAN3]] = {
    "StyleGAN2": lambda: stylegan2(256),
    "StyleGAN3-T": lambda: stylegan3(256, 16384, 512, 3),
    "StyleGAN3-R": lambda: stylegan3(256, 32768, 1024, 1),
}


def face(network: StyleGAN2 | StyleGAN3) -> torch.Tensor:
    """``ws`` of a face."""
    with torch.inference_mode():
        return network.mapping(torch.from_numpy(np.random.RandomState(0).randn(1, 512)).float())


@dataclass(frozen=True)
class AsThePapersSayIt:
    """One of the networks in plain operations."""

    name: str

    def __call__(self) -> Frames:
        network = NETWORKS[self.name]()
        ws, paint = (
            face(network),
            reference.stylegan2 if isinstance(network, StyleGAN2) else reference.stylegan3,
        )

        @torch.inference_mode()
        def frames(count: int) -> None:
            for _ in range(count):
                paint(network, ws)  # type: ignore[arg-type]

        return frames


@dataclass(frozen=True)
class Fast:
    """One of the networks by one of our engines, a third of its units gone."""

    name: str
    start: EngineConfig

    def __call__(self) -> Frames:
        network = NETWORKS[self.name]()
        gone = (
            torch.rand(8, len(Units(network.layers)), generator=torch.Generator().manual_seed(0))
            < 0.3
        ).float()
        engine, _ = self.start(AblationTask.of(network, face(network), Zero()), gone[:1])
        return lambda count: [None for _ in engine(gone[k % 8] for k in range(count))]


def speed(rounds: int) -> None:
    """Print the table of speeds."""
    print(f"{'256 x 256, random weights':26}{'':24} ms an image   times the plain one   peak GiB")
    starts: dict[str, EngineConfig] = {
        "torch": TorchConfig(),
        **{f"openvino {p}": OpenVINOConfig(p) for p in ("float32", "bfloat16")},
    }
    for name in NETWORKS:
        rows: dict[str, Callable[[], Frames]] = {"as the paper says it": AsThePapersSayIt(name)}
        rows |= {f"ours, {engine}": Fast(name, start) for engine, start in starts.items()}
        found = table(rows, lambda row: 1 if row.startswith("as") else 4, rounds)
        base = next(iter(found.values()))[0]
        for row, (seconds, memory) in found.items():
            print(
                f"{name:26}{row:24} {1000 * seconds:11.0f} {base / seconds:21.1f} {memory:10.1f}",
                flush=True,
            )


def written(folder: Path) -> dict[str, Path]:
    """Full-size networks in every layout."""
    found: dict[str, Path] = {}
    networks = {
        "StyleGAN2": stylegan2(1024),
        "StyleGAN3-T": stylegan3(1024, 32768, 512, 3),
        "StyleGAN3-R": stylegan3(1024, 65536, 1024, 1),
    }
    for name, network in networks.items():
        layout = (
            foreign.nvidia_stylegan2 if isinstance(network, StyleGAN2) else foreign.nvidia_stylegan3
        )
        state, made_with = layout(network)  # type: ignore[arg-type]
        whole = persistent.Network("Generator", state, made_with)
        for protocol in (2, 4):
            path = folder / f"{name}-{protocol}.pkl"
            found[f"{name}, .pkl of NVIDIA, protocol {protocol}"] = persistent.write_nvidia(
                path, {"G": whole, "G_ema": whole}, protocol
            )
        found[f"{name}, safetensors"] = path = folder / f"{name}.safetensors"
        native.write_checkpoint(
            path,
            name.lower().partition("-")[0],
            network.hyperparameters,
            network.state_dict(),
            "a benchmark",
        )
        if isinstance(network, StyleGAN2):
            for kind, zipped in ((".pt, zip", True), (".pt, legacy", False)):
                found[f"{name}, {kind}"] = path = folder / f"{name}-{zipped}.pt"
                content = {"g_ema": foreign.rosinality(network), "latent_avg": network.style.w_avg}
                torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return found


def opened(path: Path) -> tuple[float, float]:
    """Seconds to open a file, and the MB by which the process has grown at most."""
    before, started = most_memory(), time.perf_counter()
    CheckpointFile(str(path))()
    return time.perf_counter() - started, (most_memory() - before) / 1e6


def loading() -> None:
    """Print the table of files."""
    print(f"\n{'1024 x 1024, full size':48} MB on disk   s to open   MB beyond before")
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in written(Path(scratch)).items():
            path.read_bytes()  # from memory, not from whatever disk there is
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, memory = pool.apply(opened, (path,))
            print(
                f"{name:48} {path.stat().st_size / 1e6:10.0f} {seconds:11.2f} {memory:18.0f}",
                flush=True,
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="0: files alone")
    options = parser.parse_args()
    if options.rounds:
        speed(options.rounds)
    loading()


if __name__ == "__main__":
    main()
