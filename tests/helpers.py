"""Plain functions and constants that several tests share; fixtures stand in ``conftest.py``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from forgetting import files
from forgetting.ablation.orderings.ordering import RankRequest
from forgetting.ablation.plan import Plan
from forgetting.ablation.tracks import TrackSpec, ablation_task, make_plan
from forgetting.engines import openvino as compiled
from forgetting.engines.engine import FrameRequest
from forgetting.engines.pixels import from_bytes
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.film import encoder
from forgetting.film.finished_frame import FinishedFrame
from forgetting.film.segments import SegmentStore
from forgetting.jobs import run
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.job import parse_job
from forgetting.models.architectures.dcgan import DCGAN
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.stylegan2 import StyleGAN2
from forgetting.models.architectures.stylegan3 import StyleGAN3
from forgetting.models.architectures.toy import Toy
from forgetting.models.units import Units
from forgetting.models.wrappers import WithMapping
from forgetting.parts import TARGET

ROOT = Path(__file__).parents[1]
"""The checkout."""

DATA = Path(__file__).parent / "data"
"""Reference images and photographs."""

COMMENT = json.dumps({"config": {"latent": {"seed": 7}}})
"""A comment as the films of this package carry it."""

THREE_FRAMES = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
]
"""Settings of the smallest film: three frames of the toy network."""

SEGMENTED = [
    "generator=toy",
    "engine=torch",
    "film.preset=ultrafast",
    "film.size=64",
    "film.fps=10",
    "film.segment=10",
    "pacing=units",
    "measure.names=none",
]
"""Settings of a film of the toy network with a segment a second; add ``film.duration``."""

needs_openvino = pytest.mark.skipif(
    not compiled.available(), reason="there is no package of openvino for this machine"
)


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Fill every weight from a seed, so that nothing is zero by construction."""
    draw = np.random.RandomState(seed)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point():
            values = torch.from_numpy(np.asarray(0.3 * draw.randn(*tensor.shape))).float()
            tensor.data.copy_(
                values.abs() + 0.1 if name.endswith(("running_var", "taps", "loudness")) else values
            )
            if name.endswith("taps"):
                tensor.div_(tensor.sum())  # a low-pass filter keeps a constant as it is
    return network.eval().requires_grad_(False)


TINY = {
    "toy": lambda: Toy(),
    "dcgan": lambda: randomised(DCGAN(channels=(12, 8, 6), z_dim=10), 1),
    "dcgan-conditional": lambda: randomised(
        DCGAN((9, 6, 5), 10, labels=4, kernels=(3, 4, 5, 4), image_bias=True), 7
    ),
    "stylegan2": lambda: randomised(
        StyleGAN2((10, 8, 6), (4, 5), 8, (8, 12), labels=3, embed=6, clamp=2.0), 3
    ),
    "stylegan2-orig": lambda: randomised(
        StyleGAN2((8, 6), z_dim=8, mapping=(8,), image_channels=1, skip=False), 4
    ),
    "stylegan2-resnet": lambda: randomised(
        StyleGAN2(
            (8, 6, 5), z_dim=8, mapping=(8,), skip=False, residual=True, activation="swish", taps=6
        ),
        8,
    ),
    "stylegan3-t": lambda: randomised(StyleGAN3(16, (8, 6, 5), 8, (8, 8), margin=2, clamp=2.0), 5),
    "stylegan3-r": lambda: randomised(
        StyleGAN3(16, (8, 6, 4), 8, (8,), kernel=1, margin=3, image_channels=4), 6
    ),
    "mobile_stylegan": lambda: randomised(
        MobileStyleGAN(channels=(16, 16, 8), z_dim=12, mapping_layers=2), 2
    ),
}
"""Name -> a function that makes a small network with random weights, one of every architecture."""


def sample_ws(generator, count: int = 1, seed: int = 0) -> torch.Tensor:
    """Return ``ws`` of ``count`` faces."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(count, generator.z_dim)).float()
    with torch.inference_mode():
        return generator.mapping(z)


def rank(ordering, generator, units=None, ws=None) -> torch.Tensor:
    """Return the ranks [U] of an ordering: by default of all channels, for the face of seed 0."""
    units = Units(generator.layers) if units is None else units
    ws = sample_ws(generator) if ws is None else ws
    return ordering.rank(RankRequest(generator, units, ws))


def render(engine, rows, faces=None) -> list[np.ndarray]:
    """Return the frames of an engine for rows [N, R], each with its face if there are ``faces``."""
    faces = [None] * len(rows) if faces is None else faces
    requests = [FrameRequest(row, ws) for row, ws in zip(rows, faces, strict=True)]
    return [rendered.frame for rendered in engine.render(requests)]


def picture_of_row(engine):
    """Return the function from a row [1, R] to its picture, which pacings need."""
    return lambda row: from_bytes(render(engine, row)[0])


def simple_plan(generator, frames, ordering, operator, schedule, pacing) -> Plan:
    """Return the plan of a film with one track, of channels, for the face of seed 0."""
    spec, ws = TrackSpec(ordering, operator, schedule, pacing), sample_ws(generator)
    engine = REFERENCE.start(ablation_task(generator, ws, [spec]))
    ranks = [spec.rank(generator, ws)]
    return make_plan(generator, [spec], ranks, frames, picture_of_row(engine))


def random_rows(generator, count: int = 4) -> torch.Tensor:
    """Return [count, U] rows of a plan: all units intact, random rows, all ablated."""
    draw = torch.Generator().manual_seed(0)
    random = torch.rand(count - 2, len(Units(generator.layers)), generator=draw)
    return torch.cat((torch.zeros(1, random.shape[1]), random, torch.ones(1, random.shape[1])))


def with_mapping_units(network, kind: str):
    """Return the network, wrapped if ``kind`` is 'mapping', whose units only the wrapper offers."""
    return WithMapping(network) if kind == "mapping" else network


def zeros_inserted(x: torch.Tensor, up: int) -> torch.Tensor:
    """Return [B, C, H * up, W * up]: the samples of ``x`` with ``up`` - 1 zeros between them."""
    batch, channels, height, width = x.shape
    wide = x.new_zeros(batch, channels, height * up, width * up)
    wide[:, :, ::up, ::up] = x
    return wide


def compose_config(*overrides: str, root: str = "config") -> dict[str, Any]:
    """Return the config of a command line with these overrides.

    Nothing is measured unless they ask for it.
    """
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return OmegaConf.to_container(
            compose(root, ["measure.names=none", *overrides]), resolve=True
        )


def part_nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a config that names a part."""
    if isinstance(node, dict):
        if TARGET in node:
            yield node
        node = list(node.values())
    for value in node if isinstance(node, list) else ():
        yield from part_nodes(value)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of a run's files.

    ``plan.npz`` is left out, because the archive holds the time of writing, and so is the render
    time in ``summary.json``.
    """
    summary = files.read_json(folder / "summary.json")
    assert not summary or summary.pop("render_seconds") > 0
    timeless = [path for path in folder.iterdir() if path.name not in ("plan.npz", "summary.json")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in timeless} | (
        {"summary.json": str(summary)} if summary else {}
    )


def gradient_frames(count: int, size: int = 64) -> list[np.ndarray]:
    """Return [size, size, 3] frames of a gradient whose red grows from frame to frame."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    across = np.tile(ramp, (size, 1))
    levels = [255 * k // max(count - 1, 1) for k in range(count)]
    return [np.stack([np.full_like(across, level), across, across.T], -1) for level in levels]


def noise_frame(seed: int = 0, shape: tuple[int, ...] = (96, 80, 3)) -> np.ndarray:
    """Return a frame of uniform noise."""
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def smooth_image(seed: int = 0, size: int = 128) -> torch.Tensor:
    """Return [1, 3, size, size] in [-1, 1]: noise at an eighth of the size, enlarged."""
    noise = torch.randn(1, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(size, size), mode="bicubic").clamp(-1, 1)


def ffmpeg_report(path: Path) -> str:
    """Return what ffmpeg prints about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def ffmpeg_output(path: Path, *arguments: str) -> bytes:
    """Return what ffmpeg writes when it converts a file with these arguments."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), *arguments, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def decode_film(path: Path, width: int, height: int | None = None) -> np.ndarray:
    """Return [F, height, width, 3], decoded by the file's own tags.

    Without a height the film is square.
    """
    raw = ffmpeg_output(path, "-f", "rawvideo", "-pix_fmt", "rgb24")
    return np.frombuffer(raw, np.uint8).reshape(-1, height or width, width, 3)


def dream_stage(settings: dict[str, Any]):
    """Return the frame source of a dream's config."""
    return prepare_config(settings)


def dream_frames(settings: dict[str, Any], indices: list[int] | None = None) -> np.ndarray:
    """Return [F, H, W, 3]: the frames of a dream's config, all of them or those of the indices."""
    source = dream_stage(settings)
    wanted = list(source.film.indices) if indices is None else indices
    return np.stack([rendered.frame for rendered in source.frames(wanted)])


def gallery_data(script: Path) -> dict[str, Any]:
    """Return the data that one of a gallery's scripts assigns."""
    return json.loads(script.read_text().split("\n", 1)[1].partition(" = ")[2].rstrip(";\n"))


def write_film(film, folder, frames, shape=None):
    """Write a film in segments, join them, and return its path."""
    film = encoder.resolve_encoder(film, "cpu")
    store = SegmentStore(
        folder / "segments", film, shape or film.shape(*frames[0].shape[:2]), COMMENT
    )
    arriving = iter(frames)
    for segment in store.segments():
        store.write(segment, map(FinishedFrame, arriving))
    finished = store.finished()
    with files.atomic_write(folder / film.name) as piece:
        encoder.join_segments(
            film,
            [(finished[segment], len(segment)) for segment in store.segments()],
            piece,
            COMMENT,
        )
    shutil.rmtree(store.folder)
    return folder / film.name


def render_config(config, folder, executor=None, force=False) -> Path:
    """Render the film of a resolved config; return its path."""
    return run.render(parse_job(config), folder, executor, force)


def preview_config(config, folder) -> Path:
    """Draw the contact sheet of a resolved config; return its path."""
    return run.preview(parse_job(config), folder)


def prepare_config(config, plan=None):
    """Return the frame source of a resolved config."""
    return parse_job(config).prepare(plan)


def accessibility_violations(page) -> list[str]:
    """Return which rules of axe a page of playwright violates."""
    from axe_playwright_python.sync_playwright import Axe

    # Preloading would read the style sheet, which pages from a disk may not.
    report = Axe().run(page, options={"preload": False})
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'] for node in rule['nodes'][:3]]}"
        for rule in report.response["violations"]
    ]
