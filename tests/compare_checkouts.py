"""Renders the same small films from two checkouts and compares them byte by byte.

    python tests/compare_checkouts.py BASE NEW [--only GLOB] [--keep FOLDER]

It shows that a refactoring changes no picture: it compares the pixels of every still, of the
poster and of the contact sheet, the packets of encoded films, the arrays of the plan, the measured
curve and the names of all files. The exit status is 0 only if everything is equal.

Each checkout renders in a process of its own, through the command line alone, so its modules may
lie anywhere. BASE also makes the tiny networks that both checkouts open. That takes internal
modules and test helpers of a checkout from before the move of all modules (commit 07c59b3).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Config:
    """One film: its name here, and its command line, in which FILES/ is a folder."""

    name: str
    arguments: tuple[str, ...]


COMMON = (
    "engine=torch engine.device=cpu engine.precision=float32 pacing=units measure.names=none "
    "film=png film.fps=5 film.duration=1 film.size=32 film.stations=5 film.segment=3 "
    "film.preset=ultrafast film.ending=smudge"
)
DREAM = (
    f"{COMMON} film.size=64 ascent.iterations=2 ascent.octaves=2 ascent.jitter=3 "
    "sight=squeezenet-imagenet sight.weights=FILES/squeezenet.safetensors"
)


def face(name: str, *arguments: str) -> Config:
    """A film of a generator; a later argument replaces an earlier one of the same key."""
    return Config(name, ("render", *_latest(COMMON, *arguments)))


def dream(name: str, *arguments: str) -> Config:
    """A film of a classifier's dream."""
    return Config(name, ("dream", *_latest(DREAM, *arguments)))


def _latest(*arguments: str) -> list[str]:
    latest = {argument.partition("=")[0]: argument for argument in " ".join(arguments).split()}
    # Hydra reads options such as --config-dir only in front of all others.
    return sorted(latest.values(), key=lambda argument: not argument.startswith("--"))


def network(file: str) -> str:
    """The arguments that open one of the tiny networks."""
    return f"generator=file generator.path=FILES/{file}"


# Every operator, ordering and schedule. If one film differs, the plan's ``rank`` points to the
# ordering, its ``fraction`` to the schedule, and stills alone to the operator. Under the schedule
# ``never`` no operator shows; most dreams below have it.
OPERATORS: Mapping[str, str] = {
    "zero": "",
    "level": "operator.level=0.3",
    "prune": "",
    "mean": "",
    "average": "",
    "noise": "operator.seed=3",
    "freeze": "operator.seed=4",
    "swap": "operator.seed=5",
    "invert": "",
    "amplify": "operator.factor=-2",
    "saturate": "",
    "quantise": "operator.softness=0",
    "binarise": "",
    "blur": "operator.radius=0.2",
    "spectral": "operator.keep=high",
    "shift": "operator.down=0.3",
    "scale": "",
    "rotate": "",
    "flip": "operator.axis=both",
    "dilate": "operator.radius=0.1",
    "erode": "operator.radius=0.1",
    "shuffle": "operator.seed=2",
    "leak": "",
    "chained": "",
}
ORDERINGS: Mapping[str, tuple[str, str]] = {
    "random": ("ordering.seed=3", "ordering.scope=layer"),
    "activation": ("", "ordering.normalise=rms ordering.scope=network"),
    "contribution": ("", "ordering.first=largest ordering.normalise=mean"),
    "magnitude": ("", "ordering.weights=incoming ordering.norm=l1"),
    "importance": ("ordering.draws=2", "ordering.draws=2 ordering.first=largest"),
    "layers": ("", "ordering@ordering.inside=random ordering.order=fine_to_coarse"),
    "spatial": ("", "ordering.region=mouth ordering.spread=wound"),
    "semantic": ("ordering.steps=2", "ordering.effect=detail ordering.towards=either"),
    "cluster": ("ordering.clusters=4", "ordering.clusters=3 ordering.first=loudest"),
    "contagion": ("", "ordering.seeds=2 ordering.seed=5"),
    "sequence": ("", "ordering.shares=[1,2]"),
    "together": ("", "ordering.layers='b16.*'"),
    "file": ("ordering.path=FILES/scores.npy", "ordering.path=FILES/scores.npy"),
}
SCHEDULES: Mapping[str, str] = {
    "linear": "",
    "ease": "",
    "exponential": "schedule.curve.rate=2",
    "sigmoid": "",
    "gompertz": "",
    "steps": "schedule.curve.count=3",
    "keyframes": "",
    "oscillator": "schedule.curve.periods=1.2 schedule.curve.wave=triangle",
    "acts": "schedule.direction=remember",
    "darkness": "",
}


def combinations() -> Iterator[Config]:
    """Every operator once, and with it every ordering and every schedule about twice."""
    for number, (operator, settings) in enumerate(OPERATORS.items()):
        ordering = [*ORDERINGS][number % len(ORDERINGS)]
        schedule = [*SCHEDULES][number % len(SCHEDULES)]
        yield face(
            f"{operator}-{ordering}-{schedule}",
            f"{TOY} operator={operator} {settings}",
            f"ordering={ordering} {ORDERINGS[ordering][number // len(ORDERINGS)]}",
            f"schedule={schedule} {SCHEDULES[schedule]}",
        )


TOY = "generator=toy latent.seed=0"  # with seeds 0, 7 and 12 the fewest pixels are black or white
LINEAR = "ordering=random schedule=linear"
ACTS = "schedule=acts schedule.acts.0.caption=early schedule.acts.1.caption=late"
CLEAR = "film.ending=clear film.ground=transparent"
ANIMATED = "noise=animated noise.turns=1"
TRACKS = "--config-dir=FILES/configs experiment=two_tracks"
KINDS = "--config-dir=FILES/configs experiment=two_kinds"
PERCEPTUAL = "pacing=perceptual pacing.probes=4"
PHOTOGRAPH = "source=photograph source.path=FILES/photograph.png"

ARCHITECTURES = (
    face("toy-mapping-picture", network("toy.safetensors"), "units=[mapping,picture]", LINEAR),
    face("dcgan-channels", network("dcgan.safetensors"), "schedule=linear"),
    face("dcgan-weights", network("dcgan.safetensors"), "units=weights schedule=linear"),
    face("dcgan-labels", network("dcgan-conditional.safetensors"), "latent.label=2", LINEAR),
    face("stylegan2-labels", network("stylegan2.safetensors"), "latent.label=1", LINEAR),
    face(
        "stylegan2-orig-styles-animated",
        network("stylegan2-orig.safetensors"),
        f"units=styles ordering=magnitude {ANIMATED}",
    ),
    face("stylegan3-t-channels", network("stylegan3-t.safetensors"), LINEAR),
    face(
        "stylegan3-t-mapping-average",
        network("stylegan3-t.safetensors"),
        "units=mapping ordering=activation operator=average",
    ),
    face("stylegan3-r-several", network("stylegan3-r.safetensors"), "units=[channels,styles]"),
    face("mobile-channels-mean", network("mobile_stylegan.safetensors"), "operator=mean"),
    face(
        "mobile-weights-mapping-quiet",
        network("mobile_stylegan.safetensors"),
        f"units=[weights,mapping] noise=off {LINEAR}",
    ),
    face("module", "generator=module generator.factory=my_module:make schedule=linear"),
    face(
        "module-range-prune",
        "generator=module generator.factory=my_module:sigmoid generator.shape=[4] generator.low=0",
        f"operator=prune {LINEAR}",
    ),
    face("nvidia-stylegan2", network("stylegan2.pkl"), "units=[channels,mapping]", LINEAR),
    face("nvidia-stylegan3", network("stylegan3.pkl"), "units=styles", LINEAR),
    face("rosinality", network("rosinality.pt"), "operator=average", LINEAR),
)

FRAMES = (  # latents, layouts, endings and what surrounds the picture
    face(
        "walk-map-black",
        "generator=toy latent=walk latent.seeds=[0,7,12] film.layout=map film.ending=black",
        LINEAR,
    ),
    face(
        "wander-diptych-white",
        f"{TOY} latent=wander film.layout=diptych film.ending=white {LINEAR}",
    ),
    face("drift-inset-hold", TOY, "latent=drift film.layout=inset film.ending=hold"),
    face(
        "breathe-triptych-captions",
        f"{TOY} latent=breathe latent.breaths=1.3 film.layout=triptych film.size=96 {ACTS}",
    ),
    face(
        "clear-title-canvas",
        f"{TOY} {CLEAR} film.title=Darkness film.fps=1.5 film.duration=4 film.canvas=[120,64]",
        LINEAR,
    ),
    face("clear-diptych-prores", TOY, CLEAR, "film=prores film.layout=diptych", LINEAR),
    face(
        "wall-crop-ground",
        f"{TOY} film.wall=2x2 film.size=64 film.crop=[9,16] film.canvas=[80,90]",
        f"film.ground='#204060' {LINEAR}",
    ),
    face(
        "wall-walk-animated",
        network("stylegan2-orig.safetensors"),
        f"film.wall=2x1 latent=walk {ANIMATED} {LINEAR}",
    ),
    face("tracks", TRACKS, TOY, "film.layout=diptych film.ending=black"),
    face("tracks-styles", KINDS, TOY),
    Config(  # without a pacing, which a plan has decided already
        "plan-edited",
        (
            "render",
            *(argument for argument in _latest(COMMON, TOY) if argument != "pacing=units"),
            "plan=FILES/plan.npz",
            "film.layout=triptych",
        ),
    ),
    face("perceptual-measured", TOY, PERCEPTUAL, "measure.names=plain measure.rate=0", LINEAR),
    face("perceptual-tracks", TRACKS, TOY, PERCEPTUAL, "film.every=2"),
)

EXPERIMENTS = (  # in every film format
    face("experiment-darkness-mp4", TOY, "experiment=darkness film=mp4 film.ending=black"),
    face(
        "experiment-diptych-webm",
        f"{TOY} experiment=diptych film=webm film.size=64 film.ending=black",
    ),
    face("experiment-dissolve-gif", TOY, "experiment=dissolve film=gif"),
    face("experiment-bleaching-h265", TOY, "experiment=bleaching film=h265 film.size=64"),
    face("experiment-pendulum-av1", TOY, "experiment=pendulum film=av1 film.size=64"),
    face("experiment-remember-ffv1", TOY, "experiment=remember film=ffv1"),
    face("experiment-coarse-first", TOY, "experiment=coarse_first"),
    face("experiment-fine-first", TOY, "experiment=fine_first"),
    face("experiment-quick", TOY, "experiment=quick film.size=null"),
    face("experiment-study", TOY, "experiment=study measure.names=plain"),
)

DREAMS = (
    dream("dive-energy-static", "dream=dive dream.rotation=40 dream.drift=[0.1,0]"),
    dream("dive-loop-channel", "dream=dive dream.loop=0.4 objective=channel ascent=light"),
    dream("journey-ladder-captions", "dream=journey objective.captions=true"),
    dream(
        "still-class-photograph",
        f"dream=still objective=class objective.name=1 {PHOTOGRAPH}",
    ),
    dream(
        "still-sum-mask-tiles",
        f"dream=still {PHOTOGRAPH} ascent.mask=FILES/mask.png film.size=96 ascent.tile=64",
        "ascent.overlap=32 objective=unit +objective@objectives.second=direction",
        "objectives.second.weight=-0.5",
    ),
    dream(
        "breathe-guide-colour",
        "dream=breathe dream.amount.periods=1 objective=guide film=mp4",
        "objective.path=FILES/photograph.png",
        "source=colour source.colour=teal source.ratio=[3,2]",
    ),
    dream(
        "over-film",
        "dream=over source=film source.path=FILES/footage.mp4",
        "film.size=null film.fps=null film.duration=null",
    ),
    dream("still-face", "dream=still source=face generator@source.generator=toy"),
    dream(
        "dive-ablated-diptych",
        "dream=dive dream.feed=0.1 schedule=linear units=[channels,weights]",
        "film.layout=diptych film.ending=black measure.names=plain",
    ),
    dream("last-dream", "experiment=last_dream film.ending=hold"),
    dream(
        "efficientnet",
        "dream=still sight=efficientnet-lite2 sight.weights=FILES/efficientnet.safetensors",
    ),
)

CONFIGS = (*combinations(), *ARCHITECTURES, *FRAMES, *EXPERIMENTS, *DREAMS)

TWO_TRACKS = """\
# @package _global_
defaults:
  - darkness
  - /operator@tracks.loud.operator: amplify
  - /ordering@tracks.loud.ordering: together
  - /schedule@tracks.loud.schedule: oscillator
  - /pacing@tracks.loud.pacing: units
tracks:
  quiet: {}
  loud:
    ordering: {layers: b16.*}
    schedule: {until: 0.5, curve: {periods: 1.3}, window: [0.1, 0.8]}
"""

TWO_KINDS = """\
# @package _global_
defaults:
  - darkness
  - /operator@tracks.style.operator: shuffle
  - /ordering@tracks.style.ordering: random
  - override /schedule: linear
tracks:
  map: {units: channels}
  style: {units: styles}
"""

MODULE = """\
import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 4 * 16)
        self.act = nn.LeakyReLU(0.2)
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 12, 4, 2, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.image = nn.Conv2d(3, 3, 1)

    def forward(self, z):
        x = self.act(self.first(z)).view(-1, 4, 4, 4)
        x = self.act(self.norm(self.conv(x)))
        x = x + self.twice(F.relu(self.twice(x)))
        x = self.act(self.up(x))
        x = x + 0.1 * torch.randn(x.shape[2:])
        return torch.tanh(3 * self.image(self.shuffle(x)))


def make():
    return Residual()


def sigmoid():
    torch.manual_seed(1)
    layers = (nn.Linear(4, 48), nn.ConvTranspose2d(3, 6, 4, 2, 1), nn.Conv2d(6, 3, 3, padding=1))
    for layer in layers:
        layer.weight.data.mul_(4)
    first, up, image = layers
    return nn.Sequential(first, nn.Unflatten(1, (3, 4, 4)), up, nn.ReLU(), image, nn.Sigmoid())
"""

# Runs in BASE with its tests on the path, and writes the tiny networks into the folder argv[1].
NETWORKS = """\
import sys
from pathlib import Path

import foreign
import persistent
import torch
from conftest import TINY, randomised
from forgetting import checkpoints
from forgetting.generators.stylegan2 import StyleGAN2
from forgetting.seeing.networks import KINDS
from safetensors.torch import save_file

folder = Path(sys.argv[1])
contrast = {"stylegan2-orig": 10, "stylegan3-t": 300, "stylegan3-r": 300}


def contrasted(name):
    network = TINY[name]()
    for key, tensor in network.state_dict().items():
        if key.startswith("to_image") and key.endswith("weight") and "affine" not in key:
            tensor.mul_(contrast.get(name, 1))  # else one grey level would hide most changes
    return network


for name in TINY:
    network, architecture = contrasted(name), name.split("-")[0]
    made_with, state = network.hyperparameters, network.state_dict()
    checkpoints.write(folder / f"{name}.safetensors", architecture, made_with, state, "random")
for name, write in (
    ("stylegan2", foreign.nvidia_stylegan2),
    ("stylegan3-t", foreign.nvidia_stylegan3),
):
    whole = persistent.Network("Generator", *write(contrasted(name)))
    path = folder / f"{name.split('-')[0]}.pkl"
    persistent.write_nvidia(path, {"G": persistent.network(), "G_ema": whole})
port = randomised(StyleGAN2((10, 8, 6), (4, 5), 8, (8, 12)), 3)
content = {"g_ema": foreign.rosinality(port), "latent_avg": port.style.w_avg}
torch.save(content, folder / "rosinality.pt")
for name in ("squeezenet-imagenet", "efficientnet-lite2"):
    weights = randomised(KINDS[name].build(3), 5).state_dict()
    weights = {key: (0.3 * tensor).to(tensor.dtype) for key, tensor in weights.items()}
    save_file(weights, folder / f"{name.split('-')[0]}.safetensors")
"""

# Runs in each checkout: argv[1] is the checkout, argv[2] the jobs, argv[3] the file of outcomes.
DRIVER = """\
import io
import json
import sys
import traceback
from pathlib import Path

import forgetting

checkout, jobs, outcomes = sys.argv[1:]
if not Path(forgetting.__file__).is_relative_to(checkout):
    sys.exit(f"imported {forgetting.__file__}, which is not in {checkout}")
from forgetting.__main__ import main
from hydra.core.global_hydra import GlobalHydra

output = sys.stdout = sys.stderr = io.StringIO()
with open(outcomes, "w", encoding="utf-8") as file:
    for job in json.loads(Path(jobs).read_text(encoding="utf-8")):
        output.seek(0)
        output.truncate()
        GlobalHydra.instance().clear()
        sys.argv, status = ["forgetting", *job["arguments"]], 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):
                print(status)
        except BaseException:
            traceback.print_exc()
            status = 1
        outcome = {"name": job["name"], "status": status, "output": output.getvalue()}
        file.write(json.dumps(outcome) + "\\n")
        file.flush()
"""


def make_files(base: Path, folder: Path) -> None:
    """Write into ``folder`` all networks, pictures and configs that the films are made from."""
    (folder / "my_module.py").write_text(MODULE, encoding="utf-8")
    experiments = folder / "configs" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "two_tracks.yaml").write_text(TWO_TRACKS, encoding="utf-8")
    (experiments / "two_kinds.yaml").write_text(TWO_KINDS, encoding="utf-8")
    draw = np.random.RandomState(4)
    picture = Image.fromarray(draw.randint(0, 255, (12, 16, 3), np.uint8))
    picture.resize((96, 72), Image.Resampling.BICUBIC).save(folder / "photograph.png")
    mask = np.array([[0, 255]], np.uint8).repeat(32, axis=1).repeat(8, axis=0)
    Image.fromarray(mask).save(folder / "mask.png")
    coarse = Image.fromarray(draw.randint(0, 255, (9, 16, 3), np.uint8))
    pattern = np.asarray(coarse.resize((128, 72), Image.Resampling.BICUBIC))
    frames = np.stack([pattern[:, 40 - 4 * k : 104 - 4 * k] for k in range(5)])
    _ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x72", "-r", "4", "-i", "-"),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "1", folder / "footage.mp4"),
        data=frames.tobytes(),
    )
    channels = np.array([16, 16, 12, 8])
    np.save(folder / "scores.npy", draw.rand(channels.sum()))
    rank = draw.rand(channels.sum()).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "rank": rank,
        "fraction": np.linspace(0, 1, 5) ** 2,
        "softness": np.array(0.1),
        "layers": np.array(["b4.conv", "b8.conv", "b16.conv", "b32.conv"]),
        "channels": channels,
        "resolutions": np.array([[4, 4], [8, 8], [16, 16], [32, 32]]),
        "recipe": np.array(""),
        "ablation": np.linspace(0, 1, 5, dtype=np.float32)[:, None] * rank,
    }
    np.savez(folder / "plan.npz", allow_pickle=False, **arrays)
    environment = _environment(base, folder / "cache")
    environment["PYTHONPATH"] = f"{base}{os.pathsep}{base / 'tests'}"
    command = [sys.executable, "-c", NETWORKS, str(folder)]
    made = subprocess.run(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    if made.returncode:
        sys.exit(f"{base} cannot make the networks: {_last_line(made.stderr)}")


def _environment(checkout: Path, cache: Path) -> dict[str, str]:
    """One thread, no GPU, a cache of its own, and nothing written into the checkout."""
    return os.environ | {
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "FORGETTING_CACHE": str(cache),
        "COLUMNS": "1000",
    }


def renamings(checkout: Path) -> dict[str, str]:
    """The keys that a checkout spells in another way than the list above does."""
    candidates = (checkout / "configs", checkout / "forgetting" / "configs")
    configs = next((path for path in candidates if path.is_dir()), candidates[0])
    renamed: dict[str, str] = {}
    if (configs / "classifier").is_dir():
        renamed |= {"sight": "classifier", "sight.weights": "classifier.weights"}
    film = "".join(path.read_text(encoding="utf-8") for path in (configs / "film").glob("*.yaml"))
    for old, new in (("wall", "grid"), ("ground", "background")):
        if f"\n{new}:" in film:
            renamed[f"film.{old}"] = f"film.{new}"
    return renamed


def start(
    checkout: Path,
    configs: list[Config],
    files: Path,
    folder: Path,
) -> subprocess.Popen[str]:
    """Start to render all configs with the code of a checkout, each into a folder of its name."""
    folder.mkdir()
    renamed, jobs = renamings(checkout), []
    for config in configs:
        arguments = []
        for argument in config.arguments:
            key, equals, value = argument.replace("FILES/", f"{files}/").partition("=")
            arguments.append(f"{renamed.get(key, key)}{equals}{value}")
        arguments.append(f"hydra.run.dir={folder / config.name}")
        jobs.append({"name": config.name, "arguments": arguments})
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    with (folder / "errors.txt").open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [
                *(sys.executable, "-c", DRIVER),
                *map(str, (checkout, folder / "jobs.json", folder / "outcomes.jsonl")),
            ],
            cwd=files,
            env=_environment(checkout, folder / "cache"),
            stderr=errors,
            text=True,
        )


def failures(configs: list[Config], folder: Path) -> dict[str, str]:
    """Name of every config that made no film -> the last line of what was said about it."""
    outcomes = folder / "outcomes.jsonl"
    lines = outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else []
    known: dict[str, Any] = {outcome["name"]: outcome for outcome in map(json.loads, lines)}
    crash = _last_line((folder / "errors.txt").read_text(encoding="utf-8"))
    failed = {}
    for name in (config.name for config in configs):
        if name not in known:
            failed[name] = crash or "the process ended before this config"
        elif known[name]["status"]:
            failed[name] = _last_line(known[name]["output"])
        elif not any((folder / name).glob("film*")):
            failed[name] = "there is no film in its folder"
    return failed


def differences(old: Path, new: Path) -> Iterator[str]:
    """What differs between two folders of the same film."""
    before, after = _files(old), _files(new)
    for extra, side in ((before - after, "BASE"), (after - before, "NEW")):
        if extra:
            yield f"only in {side}: {', '.join(map(str, sorted(extra)))}"
    stills = []
    for name in sorted(before & after):
        if name.suffix == ".png" and name.name != "curve.png":
            if difference := _pixels(old / name, new / name):
                stills.append(f"{name} {difference}")
        elif name.name == "plan.npz":
            yield from _arrays(old / name, new / name)
        elif name.name == "curve.csv" and (old / name).read_bytes() != (new / name).read_bytes():
            yield str(name)
        elif name.stem == "film" and _packets(old / name) != _packets(new / name):
            yield f"packets of {name}"
    if stills:
        yield f"{len(stills)} stills, such as {stills[0]}"


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def _pixels(old: Path, new: Path) -> str:
    """How two pictures differ, or nothing."""
    pictures = [Image.open(path) for path in (old, new)]
    kinds = [f"{picture.mode} {picture.width}x{picture.height}" for picture in pictures]
    if kinds[0] != kinds[1]:
        return f"is {kinds[1]}, was {kinds[0]}"
    before, after = (np.asarray(picture).astype(int) for picture in pictures)
    change = np.abs(after - before)
    share = (change.reshape(*change.shape[:2], -1).max(2) > 0).mean()
    return f"by up to {change.max()} of 255 in {share:.0%} of its pixels" if change.max() else ""


def _arrays(old: Path, new: Path) -> Iterator[str]:
    """The arrays of two plans that differ, but for the recipe, which names versions and paths."""
    plans = []
    for path in (old, new):
        with np.load(path, allow_pickle=False) as file:
            plans.append({name: file[name] for name in file.files if name != "recipe"})
    for name in sorted({*plans[0], *plans[1]}):
        if not _same(*(plan.get(name) for plan in plans)):
            yield f"plan.npz {name}"


def _same(old: NDArray[Any] | None, new: NDArray[Any] | None) -> bool:
    if old is None or new is None or old.dtype != new.dtype or old.shape != new.shape:
        return False
    return old.tobytes() == new.tobytes()


def _packets(film: Path) -> bytes:
    """Times and hashes of the encoded packets of a film, without the metadata of its container.

    In a GIF the metadata is a part of the first packet, so its decoded frames count.
    """
    copy = () if film.suffix == ".gif" else ("-c", "copy")
    return _ffmpeg("-i", film, *copy, "-f", "framemd5", "-")


def _ffmpeg(*arguments: str | Path, data: bytes | None = None) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, arguments)]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def compare(base: Path, new: Path, configs: list[Config], folder: Path) -> bool:
    """Render all configs from both checkouts into ``folder`` and print how they compare."""
    files = folder / "files"
    files.mkdir()
    make_files(base, files)
    sides = {"BASE": (base, folder / "base"), "NEW": (new, folder / "new")}
    processes = [start(checkout, configs, files, films) for checkout, films in sides.values()]
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()
    failed = {side: failures(configs, films) for side, (_, films) in sides.items()}
    width, equal = max(len(config.name) for config in configs), 0
    for name in (config.name for config in configs):
        reasons = [f"{side}: {lines[name]}" for side, lines in failed.items() if name in lines]
        if reasons:
            outcome = f"FAILED  {'; '.join(reasons)}"
        elif reasons := list(differences(folder / "base" / name, folder / "new" / name)):
            outcome = f"DIFFERENT  {'; '.join(reasons)}"
        else:
            outcome, equal = "equal", equal + 1
        print(f"{name:{width}}  {outcome}")
    print(f"{equal} of {len(configs)} equal")
    return equal == len(configs)


def main() -> int:
    """Compare two checkouts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", metavar="BASE", type=Path, help="the checkout before the change")
    parser.add_argument("new", metavar="NEW", type=Path, help="the changed checkout")
    parser.add_argument("--only", metavar="GLOB", default="*", help="compare these configs alone")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="leave all films here")
    arguments = parser.parse_args()
    started = time.monotonic()
    base, new = arguments.base.resolve(), arguments.new.resolve()
    for checkout in (base, new):
        if not (checkout / "forgetting" / "__main__.py").is_file():
            parser.error(f"{checkout} is no checkout of forgetting")
    configs = [config for config in CONFIGS if fnmatch.fnmatch(config.name, arguments.only)]
    if not configs:
        parser.error(f"no config is named like {arguments.only}")
    if arguments.keep is None:
        with tempfile.TemporaryDirectory() as folder:
            equal = compare(base, new, configs, Path(folder))
    else:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        if any(arguments.keep.iterdir()):
            parser.error(f"{arguments.keep} is not empty; name another folder for --keep")
        equal = compare(base, new, configs, arguments.keep.resolve())
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
