"""What ``import forgetting`` offers: networks, plans and films for scripts and notebooks.

import forgetting as fg

network = fg.load("digiface-dcgan")
network.image(seed=7)                                  # a PIL image, which a notebook shows
network.ablate("b16.conv:0-99").image(seed=7)          # the same face without 100 units
plan = network.plan(seed=7, frames=120, ordering=fg.Random(seed=1))
network.film(plan, "film.mp4", seed=7)                 # shown as a video
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from forgetting.ablation.activations import visit_activations
from forgetting.ablation.curves import Linear
from forgetting.ablation.edits import AblationTask, Target, eager_edit
from forgetting.ablation.operators.operator import Operator
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.ordering import Ordering
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.pacing import Pacing, UnitPacing
from forgetting.ablation.plan import Plan
from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec, ablation_task
from forgetting.ablation.tracks import make_plan as make_tracks_plan
from forgetting.engines.engine import Engine, render_rows
from forgetting.engines.pixels import Frame, from_bytes, to_bytes
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import RequestError
from forgetting.files import atomic_write, user_path
from forgetting.film.contact_sheet import draw_sheet, sample_positions, thumbnail
from forgetting.film.encoder import encode, peeked, resolve_encoder
from forgetting.film.settings import FilmSettings
from forgetting.models import generator_zoo
from forgetting.models.checkpoints.foreign import CheckpointFile
from forgetting.models.generator import Generator, edited_picture
from forgetting.models.latents import Seed
from forgetting.models.units import Layer, Units

EMBED_BYTES = 30 * 2**20
"""Films up to this size are embedded into a notebook; of larger ones the path is shown."""


def load(name: str | Path) -> Network:
    """Open a network: a model by name, or a file of weights of your own.

    Args:
        name: a name that ``forgetting models`` lists, or the path of a .pkl, .pt or .safetensors.

    Raises:
        RequestError: there is no such model and no such file.
        CheckpointError: the file cannot be read. Nothing in it is executed.
        FetchError: the model cannot be downloaded.
    """
    path = user_path(name)
    if str(name) not in generator_zoo.MODELS and path.is_file():
        return Network(CheckpointFile(str(path)).load(), path.name)
    return Network(generator_zoo.load(str(name)), str(name))


def to_pil(image: Tensor | Frame) -> Image.Image:
    """Convert a picture [C, H, W] in [-1, 1], or a frame [H, W, 3] uint8, to a PIL image."""
    if isinstance(image, Tensor):
        batch = image if image.ndim == 4 else image[None]
        image = to_bytes(batch.detach().cpu())[0].contiguous().numpy()
    return Image.fromarray(image)


@dataclass(frozen=True)
class Ablation:
    """Units that are ablated in a network.

    Their ``addresses``, the ``operator``, and how far, in [0, 1].
    """

    addresses: tuple[str, ...]
    operator: Operator
    amount: float


@dataclass(frozen=True, repr=False)
class Network:
    """A generator with what a notebook does with it.

    Args:
        generator: the network itself.
        name: what it is called.
        ablations: the units that are ablated in its pictures.
    """

    generator: Generator
    name: str
    ablations: tuple[Ablation, ...] = field(default=())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers of channels, from coarse to fine."""
        return self.generator.layers

    @property
    def units(self) -> Units:
        """All its channels."""
        return Units(self.generator.layers)

    def face(self, seed: int = 10, psi: float = 0.7, label: int | None = None) -> Tensor:
        """Return ``ws`` [1, L, W] of a seed, truncated by ``psi``; ``label`` chooses a class."""
        return Seed(seed, psi, label).sample(self.generator)

    def ablate(
        self, addresses: str | Iterable[str], operator: Operator | None = None, amount: float = 1.0
    ) -> Network:
        """Return the network with these units ablated in all of its pictures.

        Args:
            addresses: such as ``b64.*``, ``b64.conv1:0-99`` or a list of addresses.
            operator: what replaces the units; zero by default.
            amount: from 0, intact, to 1, fully replaced.
        """
        names = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        self.units.select(names)  # raises where an address names nothing
        ablation = Ablation(names, operator or Zero(), amount)
        return replace(self, ablations=(*self.ablations, ablation))

    @torch.no_grad()
    def picture(self, seed: int = 10, psi: float = 0.7, label: int | None = None) -> Tensor:
        """Return the picture of a seed as a tensor [1, C, H, W], nominally in [-1, 1]."""
        ws, units = self.face(seed, psi, label), self.units
        if not self.ablations:
            return self.generator.bind(ws)()
        targets = tuple(Target(ablation.operator, units) for ablation in self.ablations)
        bound = AblationTask(self.generator, ws, targets).bind_operators()
        rows = [
            ablation.amount * units.select(ablation.addresses).float()
            for ablation in self.ablations
        ]
        edit = eager_edit(bound, torch.cat(rows)[None])
        return edited_picture(self.generator.bind(ws, edit), edit)

    def image(self, seed: int = 10, psi: float = 0.7, label: int | None = None) -> Image.Image:
        """Return the picture of a seed as a PIL image."""
        return to_pil(self.picture(seed, psi, label))

    @torch.no_grad()
    def activations(
        self, seed: int = 10, addresses: str | Iterable[str] = "*", psi: float = 0.7
    ) -> dict[str, Tensor]:
        """Record activations of an intact face.

        Returns:
            Layer name -> the maps [C, H, W] of its units that the ``addresses`` select.
        """
        units, maps = self.units, dict[str, Tensor]()
        selected = units.split(units.select(addresses))

        def record(x: Tensor, layer: Layer) -> None:
            if selected[layer.name].any():
                maps[layer.name] = x[0, selected[layer.name]].clone()

        visit_activations(self.generator, units, self.face(seed, psi), record)
        return maps

    def plan(
        self,
        seed: int = 10,
        frames: int = 120,
        ordering: Ordering | None = None,
        operator: Operator | None = None,
        schedule: Schedule | None = None,
        pacing: Pacing | None = None,
        psi: float = 0.7,
    ) -> Plan:
        """Make the plan of a film: one track of channels.

        Args:
            seed: of the face.
            frames: number of frames.
            ordering: by contribution if left out.
            operator: zero if left out; its ``softness`` is what a plan depends on.
            schedule: linear to the last unit if left out.
            pacing: counts units if left out.
            psi: truncation of the face.
        """
        return make_plan(
            self.generator,
            self.face(seed, psi),
            frames,
            ordering or Contribution(),
            operator or Zero(),
            schedule or Schedule(Linear()),
            pacing or UnitPacing(),
        )

    def frames(
        self,
        plan: Plan,
        seed: int = 10,
        operator: Operator | None = None,
        indices: Iterable[int] | None = None,
        psi: float = 0.7,
    ) -> Iterator[Frame]:
        """Render the frames [H, W, 3] of a plan one at a time: all, or those of ``indices``."""
        face = self.face(seed, psi)
        return frames(self.generator, face, plan, operator or Zero(), indices)

    def contact_sheet(
        self,
        plan: Plan,
        seed: int = 10,
        operator: Operator | None = None,
        count: int = 16,
        psi: float = 0.7,
    ) -> Image.Image:
        """Return a contact sheet of ``count`` frames, labelled with the share of ablated units."""
        positions = sample_positions(len(plan), count)
        pictures = self.frames(plan, seed, operator, positions, psi)
        thumbnails = {
            index: thumbnail(frame) for index, frame in zip(positions, pictures, strict=True)
        }
        return to_pil(draw_sheet(thumbnails, plan, 24.0))

    def film(
        self,
        plan: Plan,
        path: str | Path,
        seed: int = 10,
        operator: Operator | None = None,
        fps: float = 24,
        psi: float = 0.7,
    ) -> FilmFile:
        """Render a plan into an .mp4, in the reference precision.

        The film appears whole or not at all.
        """
        pictures = self.frames(plan, seed, operator, None, psi)
        return write_film(pictures, len(plan), fps, Path(path), self.name)

    def __repr__(self) -> str:
        height, width = self.generator.size
        layers, units = self.generator.layers, len(self.units)
        text = (
            f"{self.name}: {units:,} units in {len(layers)} layers, pictures of {width} x {height}"
        )
        return f"<{text}>" if not self.ablations else f"<{text}, ablated: {len(self.ablations)}>"


@dataclass(frozen=True)
class FilmFile:
    """A film on disk; a notebook shows it as a video."""

    path: Path

    def _repr_html_(self) -> str:
        """Return a looping video, or the path of a film that is too large to embed."""
        if self.path.stat().st_size > EMBED_BYTES:
            return f"<code>{escape(str(self.path))}</code>"
        data = base64.b64encode(self.path.read_bytes()).decode()
        return f'<video controls loop muted src="data:video/mp4;base64,{data}"></video>'


def write_film(
    pictures: Iterable[Frame], count: int, fps: float, path: Path, comment: str
) -> FilmFile:
    """Encode ``count`` pictures [H, W, 3] as an .mp4, which appears whole or not at all."""
    first, pictures = peeked(pictures)
    settings = resolve_encoder(FilmSettings(fps=fps, duration=count / fps), "cpu")
    with atomic_write(path) as part:
        shape = settings.shape(*first.shape[:2])
        encode(settings, pictures, part, shape, comment)
    return FilmFile(path)


@torch.no_grad()
def make_plan(
    generator: Generator,
    ws: Tensor,
    frames: int,
    ordering: Ordering,
    operator: Operator,
    schedule: Schedule,
    pacing: Pacing,
    engine: Engine | None = None,
) -> Plan:
    """Return the plan of a simple film: one track of channels of the face ``ws`` [1, L, W].

    Without an ``engine`` the pacing looks at pictures of the reference: torch in float32.
    """
    spec = TrackSpec(ordering, operator, schedule, pacing)
    renderer = engine or REFERENCE.start(ablation_task(generator, ws, [spec]))

    def render_row(row: Tensor) -> Tensor:
        return from_bytes(next(render_rows(renderer, row)))

    return make_tracks_plan(generator, [spec], [spec.rank(generator, ws)], frames, render_row)


def frames(
    generator: Generator,
    ws: Tensor,
    plan: Plan,
    operator: Operator | Sequence[Operator],
    indices: Iterable[int] | None = None,
    engine: Engine | None = None,
) -> Iterator[Frame]:
    """Render the frames [H, W, 3] of a plan for the face ``ws`` [1, L, W], one at a time.

    Args:
        generator: the network.
        ws: one face.
        plan: made for a network like it.
        operator: of the plan's track; of a plan with several tracks, one for each.
        indices: of the frames; all of them if left out.
        engine: renders them; the reference if left out.

    Raises:
        RequestError: several faces, a plan for another network, or a wrong number of operators.
    """
    if len(ws) != 1:
        raise RequestError(f"a film shows one face, got ws for {len(ws)}; render them one by one")
    plan.check(generator)
    operators = operator if isinstance(operator, Sequence) else [operator]
    if len(operators) != len(plan.tracks):
        raise RequestError(
            f"the plan has {len(plan.tracks)} tracks and there are {len(operators)} operators; "
            "give one for each track"
        )
    targets = tuple(
        Target(operator, track.units)
        for operator, track in zip(operators, plan.tracks, strict=True)
    )
    engine = engine or REFERENCE.start(AblationTask(generator, ws, targets))
    rows = (plan.row(index) for index in (range(len(plan)) if indices is None else indices))
    return render_rows(engine, rows)
